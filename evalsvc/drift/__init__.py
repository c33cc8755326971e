"""Has anything moved between two windows? Mergeable sketches, and detectors with a stated false-alarm rate."""

from evalsvc.drift.attribution import Attribution, Change, attribute
from evalsvc.drift.classifier import Vectors, compare_by_classifier
from evalsvc.drift.clusters import Growth, Texts, cluster_growth
from evalsvc.drift.detectors import (
    MINIMA,
    DriftTest,
    compare_categories,
    compare_embeddings,
    compare_numeric,
    compare_tokens,
)
from evalsvc.drift.seasons import baseline_hours
from evalsvc.drift.sketches import (
    OTHER,
    Block,
    CategoricalSketch,
    MeanEmbeddingSketch,
    NumericSketch,
    TokenSketch,
)

__all__ = [
    "MINIMA",
    "OTHER",
    "Attribution",
    "Block",
    "CategoricalSketch",
    "Change",
    "DriftTest",
    "Growth",
    "MeanEmbeddingSketch",
    "NumericSketch",
    "Texts",
    "TokenSketch",
    "Vectors",
    "attribute",
    "baseline_hours",
    "cluster_growth",
    "compare_by_classifier",
    "compare_categories",
    "compare_embeddings",
    "compare_numeric",
    "compare_tokens",
]
