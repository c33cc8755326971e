"""Has anything moved between two windows? Mergeable sketches, and detectors with a stated false-alarm rate."""

from evalsvc.drift.sketches import (
    OTHER,
    Block,
    CategoricalSketch,
    MeanEmbeddingSketch,
    NumericSketch,
    TokenSketch,
)

__all__ = [
    "OTHER",
    "Block",
    "CategoricalSketch",
    "MeanEmbeddingSketch",
    "NumericSketch",
    "TokenSketch",
]
