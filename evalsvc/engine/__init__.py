"""Torch inference: token-budget batches, device policy, failures as values, one encoder shared by all.

Importing this package loads no torch; loading a model does.
"""

from evalsvc.engine.batching import padding_waste, plan
from evalsvc.engine.cache import EmbeddingCache
from evalsvc.engine.encoder import Embeddings, Encoder
from evalsvc.engine.registry import shared_encoder
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.statistics import EngineStats

__all__ = [
    "EmbeddingCache",
    "Embeddings",
    "Encoder",
    "EngineSettings",
    "EngineStats",
    "padding_waste",
    "plan",
    "shared_encoder",
]
