"""Honest numbers from samples: estimates of all traffic, with intervals that hold. Pure functions."""

from evalsvc.stats.alike import TextBlock, estimate_distinct_words, estimate_self_similarity
from evalsvc.stats.check import SamplingFault, sampling_check
from evalsvc.stats.comparison import Comparison, Question
from evalsvc.stats.corpus import estimate_corpus
from evalsvc.stats.extreme import sample_extreme
from evalsvc.stats.mean import estimate_mean, estimate_proportion
from evalsvc.stats.multiplicity import (
    Discoveries,
    Online,
    adjust_p_values,
    adjust_tree,
    e_benjamini_hochberg,
    e_from_p,
    e_lond,
    lord,
    online,
)
from evalsvc.stats.paired import compare_paired
from evalsvc.stats.power import (
    Need,
    PairedMeans,
    PairedShares,
    TwoMeans,
    TwoShares,
    cases_for,
    cases_needed,
    detectable,
    power_of,
)
from evalsvc.stats.quantile import bin_edges, bin_of, bin_value, estimate_quantile
from evalsvc.stats.total import estimate_total
from evalsvc.stats.unpaired import Side, compare_estimates, compare_unpaired

__all__ = [
    "Comparison",
    "Discoveries",
    "Need",
    "Online",
    "PairedMeans",
    "PairedShares",
    "Question",
    "SamplingFault",
    "Side",
    "TextBlock",
    "TwoMeans",
    "TwoShares",
    "adjust_p_values",
    "adjust_tree",
    "bin_edges",
    "bin_of",
    "bin_value",
    "cases_for",
    "cases_needed",
    "compare_estimates",
    "compare_paired",
    "compare_unpaired",
    "detectable",
    "e_benjamini_hochberg",
    "e_from_p",
    "e_lond",
    "estimate_corpus",
    "estimate_distinct_words",
    "estimate_mean",
    "estimate_proportion",
    "estimate_quantile",
    "estimate_self_similarity",
    "estimate_total",
    "lord",
    "online",
    "power_of",
    "sample_extreme",
    "sampling_check",
]
