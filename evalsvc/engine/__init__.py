"""Torch inference: token-budget batches, device policy, failures as values, one model shared by all that need it.

Importing this package loads no torch; loading a model does.
"""

from evalsvc.engine.batching import padding_waste, plan
from evalsvc.engine.cache import EmbeddingCache
from evalsvc.engine.causal import CausalModel, Likelihood
from evalsvc.engine.classifier import PairClassifier, TokenClassifier
from evalsvc.engine.encoder import Embeddings, Encoder
from evalsvc.engine.registry import shared_encoder, shared_model
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.statistics import EngineStats

__all__ = [
    "CausalModel",
    "EmbeddingCache",
    "Embeddings",
    "Encoder",
    "EngineSettings",
    "EngineStats",
    "Likelihood",
    "PairClassifier",
    "TokenClassifier",
    "padding_waste",
    "plan",
    "shared_encoder",
    "shared_model",
]
