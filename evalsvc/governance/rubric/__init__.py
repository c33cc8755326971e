"""Which model to choose, by a rubric: categories with weights, scores of 1 to 5 with their intervals, and a record.

A criterion is scored from a measured metric through a written map, or by named people with evidence. What is not
scored is never a number: a total then has bounds, and a model with a gap cannot win outright.
"""

from evalsvc.governance.rubric.comparison import Comparison, Difference, Standing, Total, compare
from evalsvc.governance.rubric.dominance import Place, dominance
from evalsvc.governance.rubric.maps import ScoreMap
from evalsvc.governance.rubric.playbook import PLAYBOOK
from evalsvc.governance.rubric.reading import load_choice, read_choice
from evalsvc.governance.rubric.record import Report, report
from evalsvc.governance.rubric.robustness import Robustness, WeightChange, robustness
from evalsvc.governance.rubric.scoring import CriterionScore, Sheet, score_sheet
from evalsvc.governance.rubric.values import (
    Category,
    Choice,
    Criterion,
    Decision,
    Measure,
    Measured,
    Model,
    Opinion,
    Rubric,
)

__all__ = [
    "PLAYBOOK",
    "Category",
    "Choice",
    "Comparison",
    "Criterion",
    "CriterionScore",
    "Decision",
    "Difference",
    "Measure",
    "Measured",
    "Model",
    "Opinion",
    "Place",
    "Report",
    "Robustness",
    "Rubric",
    "ScoreMap",
    "Sheet",
    "Standing",
    "Total",
    "WeightChange",
    "compare",
    "dominance",
    "load_choice",
    "read_choice",
    "report",
    "robustness",
    "score_sheet",
]
