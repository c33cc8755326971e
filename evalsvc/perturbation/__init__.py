"""Robustness: variants of cases, attacks on a model, and what both do to its scores."""

from evalsvc.perturbation.analysis import KindEffect, robustness
from evalsvc.perturbation.attacks import attack_cases, injection_cases, leakage_cases
from evalsvc.perturbation.values import Amounts
from evalsvc.perturbation.varying import KINDS, Varied, vary

__all__ = [
    "KINDS",
    "Amounts",
    "KindEffect",
    "Varied",
    "attack_cases",
    "injection_cases",
    "leakage_cases",
    "robustness",
    "vary",
]
