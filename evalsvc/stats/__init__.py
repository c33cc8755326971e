"""Honest numbers from samples: estimates of all traffic, with intervals that hold. Pure functions.

What a query always needs comes at once; the rest, which needs numpy, when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evalsvc.stats.check import SamplingFault, sampling_check
from evalsvc.stats.corpus import estimate_corpus
from evalsvc.stats.extreme import sample_extreme
from evalsvc.stats.mean import estimate_mean, estimate_proportion
from evalsvc.stats.quantile import bin_edges, bin_of, bin_value, estimate_quantile
from evalsvc.stats.total import estimate_total

if TYPE_CHECKING:
    from evalsvc.stats import change, sequential
    from evalsvc.stats.agreement import Agreement, cohen_kappa, gwet_ac, krippendorff_alpha, percent_agreement
    from evalsvc.stats.alike import TextBlock, estimate_distinct_words, estimate_self_similarity
    from evalsvc.stats.bounds import WorstCase, worst_case
    from evalsvc.stats.comparison import Comparison, Question
    from evalsvc.stats.misclassification import RoganGladen, rogan_gladen
    from evalsvc.stats.multiplicity import (
        Discoveries,
        Online,
        OnlineStep,
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
    from evalsvc.stats.ppi import PPIMean, ppi_mean
    from evalsvc.stats.prediction_powered import (
        PredictionPowered,
        prediction_powered_difference,
        prediction_powered_mean,
    )
    from evalsvc.stats.ratio import Pair, estimate_ratio
    from evalsvc.stats.unpaired import Side, compare_estimates, compare_unpaired

_NAMES = {
    "agreement": "Agreement cohen_kappa gwet_ac krippendorff_alpha percent_agreement",
    "alike": "TextBlock estimate_distinct_words estimate_self_similarity",
    "bounds": "WorstCase worst_case",
    "comparison": "Comparison Question",
    "multiplicity": (
        "Discoveries Online OnlineStep adjust_p_values adjust_tree e_benjamini_hochberg e_from_p e_lond lord online"
    ),
    "paired": "compare_paired",
    "power": "Need PairedMeans PairedShares TwoMeans TwoShares cases_for cases_needed detectable power_of",
    "ppi": "PPIMean ppi_mean",
    "prediction_powered": "PredictionPowered prediction_powered_difference prediction_powered_mean",
    "misclassification": "RoganGladen rogan_gladen",
    "ratio": "Pair estimate_ratio",
    "unpaired": "Side compare_estimates compare_unpaired",
}
_MODULES = ("change", "sequential")
"""Whose names, as ``start`` and ``step``, are read with the module's."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "Agreement",
    "Comparison",
    "Discoveries",
    "Need",
    "Online",
    "OnlineStep",
    "PPIMean",
    "Pair",
    "PairedMeans",
    "PairedShares",
    "PredictionPowered",
    "Question",
    "RoganGladen",
    "SamplingFault",
    "Side",
    "TextBlock",
    "TwoMeans",
    "TwoShares",
    "WorstCase",
    "adjust_p_values",
    "adjust_tree",
    "bin_edges",
    "bin_of",
    "bin_value",
    "cases_for",
    "cases_needed",
    "change",
    "cohen_kappa",
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
    "estimate_ratio",
    "estimate_self_similarity",
    "estimate_total",
    "gwet_ac",
    "krippendorff_alpha",
    "lord",
    "online",
    "percent_agreement",
    "power_of",
    "ppi_mean",
    "prediction_powered_difference",
    "prediction_powered_mean",
    "rogan_gladen",
    "sample_extreme",
    "sampling_check",
    "sequential",
    "worst_case",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    if name in _MODULES:
        return import_module(f"evalsvc.stats.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"evalsvc.stats.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
