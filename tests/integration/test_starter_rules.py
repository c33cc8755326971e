"""The rules to start with do what their tests say: each fires on its own fault, and is over when the fault is."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsvc import project
from evalsvc.project.checking import Suite
from evalsvc.ruler.ruletests import run_test
from evalsvc.rules.rule_tests import RuleTest

FILE = Path(__file__).parents[2] / "alerts" / "quality.test.yaml"


def suite() -> Suite:
    found = project.check([FILE], here=False)
    assert found.problems == ()
    return found.suites[0]


SUITE = suite() if FILE.exists() else None
TESTS = SUITE.tests if SUITE else ()

pytestmark = pytest.mark.skipif(not TESTS, reason="the operator's files are not part of the installed package")


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name.replace(" ", "-"))
def test_rules_do_what_their_tests_say(test: RuleTest) -> None:
    assert SUITE is not None
    assert [failure.message for failure in run_test(test, SUITE.groups, SUITE.scale_of).failures] == []


def test_every_rule_is_seen_silent_firing_and_over() -> None:
    assert SUITE is not None
    names = {rule.alert for group in SUITE.groups for rule in group.rules}
    seen = {phase: {one.alert for test in TESTS for one in test.expect if one.phase == phase} for phase in PHASES}
    assert seen == {"firing": names, "resolved": names, "inactive": names - {"PlansGetUnequalAnswers"}}
    ordinary = TESTS[0]
    assert ({one.alert for one in ordinary.never}, ordinary.pages) == (names, 0)


PHASES = ("inactive", "firing", "resolved")
