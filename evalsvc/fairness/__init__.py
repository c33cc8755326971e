"""Fairness."""

from evalsvc.fairness.disaggregation import disaggregate
from evalsvc.fairness.gaps import gap, spread, worst_gap
from evalsvc.fairness.groups import Group, group_of_cells

__all__ = ["Group", "disaggregate", "gap", "group_of_cells", "spread", "worst_gap"]
