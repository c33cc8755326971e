"""Honest numbers from samples: estimates of all traffic, with intervals that hold. Pure functions."""

from evalsvc.stats.agreement import Agreement, cohen_kappa, gwet_ac, krippendorff_alpha, percent_agreement
from evalsvc.stats.check import SamplingFault, sampling_check
from evalsvc.stats.corpus import estimate_corpus
from evalsvc.stats.extreme import sample_extreme
from evalsvc.stats.mean import estimate_mean, estimate_proportion
from evalsvc.stats.ppi import PPIMean, ppi_mean
from evalsvc.stats.prediction_powered import (
    PredictionPowered,
    prediction_powered_difference,
    prediction_powered_mean,
)
from evalsvc.stats.quantile import bin_edges, bin_of, bin_value, estimate_quantile
from evalsvc.stats.rogan_gladen import RoganGladen, rogan_gladen
from evalsvc.stats.total import estimate_total

__all__ = [
    "Agreement",
    "PPIMean",
    "PredictionPowered",
    "RoganGladen",
    "SamplingFault",
    "bin_edges",
    "bin_of",
    "bin_value",
    "cohen_kappa",
    "estimate_corpus",
    "estimate_mean",
    "estimate_proportion",
    "estimate_quantile",
    "estimate_total",
    "gwet_ac",
    "krippendorff_alpha",
    "percent_agreement",
    "ppi_mean",
    "prediction_powered_difference",
    "prediction_powered_mean",
    "rogan_gladen",
    "sample_extreme",
    "sampling_check",
]
