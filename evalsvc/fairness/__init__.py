"""Groups compared without being fooled by chance: estimates by group, gaps, rates, pairs. Pure functions."""

from evalsvc.fairness.comparison import Comparison, compare
from evalsvc.fairness.counterfactual import (
    PairComparison,
    Swapped,
    compare_pairs,
    identity_terms,
    mark_dialect,
    swap_gender,
    swap_identity,
    swap_names,
)
from evalsvc.fairness.disaggregation import disaggregate
from evalsvc.fairness.gaps import (
    Difference,
    Gap,
    Shrunken,
    Spread,
    WorstGap,
    adjust_p_values,
    differences,
    gap,
    ratio,
    shrink,
    spread,
    worst_gap,
)
from evalsvc.fairness.groups import Group, GroupEstimate, group_of_cells, groups_of_values
from evalsvc.fairness.rates import (
    EqualisedOdds,
    demographic_parity,
    equal_opportunity,
    equalised_odds,
    metric_groups,
    rate_groups,
)
from evalsvc.fairness.scorer_bias import Auc, BbqBias, BiasAucs, auc, bbq_bias, bias_aucs, power_mean
from evalsvc.fairness.standardise import Standardised, standardise
from evalsvc.fairness.trend import Slope, Step, most_often_worst, slope

__all__ = [
    "Auc",
    "BbqBias",
    "BiasAucs",
    "Comparison",
    "Difference",
    "EqualisedOdds",
    "Gap",
    "Group",
    "GroupEstimate",
    "PairComparison",
    "Shrunken",
    "Slope",
    "Spread",
    "Standardised",
    "Step",
    "Swapped",
    "WorstGap",
    "adjust_p_values",
    "auc",
    "bbq_bias",
    "bias_aucs",
    "compare",
    "compare_pairs",
    "demographic_parity",
    "differences",
    "disaggregate",
    "equal_opportunity",
    "equalised_odds",
    "gap",
    "group_of_cells",
    "groups_of_values",
    "identity_terms",
    "mark_dialect",
    "metric_groups",
    "most_often_worst",
    "power_mean",
    "rate_groups",
    "ratio",
    "shrink",
    "slope",
    "spread",
    "standardise",
    "swap_gender",
    "swap_identity",
    "swap_names",
    "worst_gap",
]
