"""Honest numbers from samples: estimates of all traffic, with intervals that hold. Pure functions."""

from evalsvc.stats.alike import TextBlock, estimate_distinct_words, estimate_self_similarity
from evalsvc.stats.check import SamplingFault, sampling_check
from evalsvc.stats.corpus import estimate_corpus
from evalsvc.stats.extreme import sample_extreme
from evalsvc.stats.mean import estimate_mean, estimate_proportion
from evalsvc.stats.quantile import bin_edges, bin_of, bin_value, estimate_quantile
from evalsvc.stats.total import estimate_total

__all__ = [
    "SamplingFault",
    "TextBlock",
    "bin_edges",
    "bin_of",
    "bin_value",
    "estimate_corpus",
    "estimate_distinct_words",
    "estimate_mean",
    "estimate_proportion",
    "estimate_quantile",
    "estimate_self_similarity",
    "estimate_total",
    "sample_extreme",
    "sampling_check",
]
