"""What ``--power`` says before anything is asked, held against gates that decide."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evalsvc.cases import Case, CaseSet
from evalsvc.disk_cache import DiskCache
from evalsvc.gate.baselines import promote
from evalsvc.gate.deciding import decide
from evalsvc.gate.evaluated import Evaluated, MetricScores, Missing
from evalsvc.gate.keeping import RunKeeper
from evalsvc.gate.needed import UNTOLD
from evalsvc.gate.power import BEST, SAME, UNKNOWN, Planned, as_json, plan_power
from evalsvc.gate.power_spread import FEWEST, Spread, signature_named, spread_of
from evalsvc.gate.production import Production
from evalsvc.gate.reading import load_suite
from evalsvc.gate.running import Run, run_suite
from evalsvc.gate.suite import CasesPlace, Suite
from evalsvc.gate.values import AtLeast, AtMost, Better, Critical, Equivalent, GapAtMost, Gate, NotWorse, Robust
from evalsvc.generation.callable import CallableModel
from evalsvc.generation.command import CommandModel
from evalsvc.types import Scale, ScorerSpec, Window
from suites_made import CountingModel, write_project

YES = Scale(0.0, 1.0, "higher", binary=True)
GRADED = Scale(0.0, 1.0, "higher")
LATENCY = Scale(0.0, None, "lower", "ms")


def some_cases(n: int, **fields) -> tuple[Case, ...]:
    rows = [{name: values[i] for name, values in fields.items()} for i in range(n)]
    return tuple(Case(case_id=f"c{i}", prompt=f"question {i}", **row) for i, row in enumerate(rows))


def grouped(groups: int, size: int) -> tuple[Case, ...]:
    return some_cases(groups * size, group=[f"g{i // size}" for i in range(groups * size)])


def version(values, scale=GRADED, cases=None, production=None) -> Evaluated:
    table = np.asarray(values, dtype=float)
    table = table if table.ndim == 2 else table[:, None]
    gone = {(int(r), int(c)): Missing("failed", "HTTP 429") for r, c in np.argwhere(np.isnan(table))}
    cases = some_cases(len(table)) if cases is None else cases
    return Evaluated(
        cases=cases,
        digests=tuple(case.digest for case in cases),
        answers=((),) * len(cases),
        scores={"m": MetricScores(ScorerSpec("m", 1, scale), table, gone)},
        model="m",
        model_version="1",
        signature="",
        production=production,
    )


def power(*asks, old=None, new=None, cases=None, looks=1, **fields) -> list[Planned]:
    suite = Suite(
        name="s",
        path=Path("/s.suite.yaml"),
        cases=CasesPlace(path=Path("/c.jsonl")),
        model=None,
        scorers=(),
        gates=tuple(Gate(metric="m", ask=ask, **fields) for ask in asks),
        looks=looks,
    )
    spread = None if old is None and new is None else Spread(old, new, "")
    return plan_power(suite, CaseSet("c", cases or (new or old).cases), spread)


def one(ask, **rest) -> Planned:
    (found,) = power(ask, **rest)
    return found


class TestFromTheBaseline:
    def test_cases_that_move_together_are_worth_less_than_as_many_lone_ones(self) -> None:
        rng = np.random.default_rng(0)
        of_groups, alone = rng.normal(0.0, 0.1, 20), rng.normal(0.0, 0.02, 400)
        values = np.clip(0.5 + np.repeat(of_groups, 20) + alone, 0.0, 1.0)
        together = one(NotWorse(0.03), old=version(values, cases=grouped(20, 20)))
        lone = one(NotWorse(0.03), old=version(values))
        assert (together.n, together.groups) == (400, 20)
        assert lone.chance > 0.95
        assert together.chance < 0.6
        # By √20 for their spread, and by 20 for what so many groups may not have met.
        assert lone.smallest * math.sqrt(20.0) < together.smallest < lone.smallest * 20.0
        assert together.cases > 900

    def test_what_the_numbers_alone_do_not_say_is_noted(self) -> None:
        values = np.random.default_rng(1).random(200)
        better = one(Better(), old=version(values))
        assert (better.chance, better.cases) == (None, None)
        assert better.reason == "the margin is the improvement that is shown: an equal version is not better"
        assert one(NotWorse(0.1), old=version(values)).reason == ""
        cost = version(0.01 + values / 1e4, LATENCY)
        assert one(NotWorse(0.1, relative=True), old=cost).chance > 0.95
        assert one(NotWorse(0.1, relative=True), old=cost).reason == SAME
        (result,) = decide([Gate(metric="m", ask=NotWorse(0.1, relative=True))], cost, cost, level=0.05)
        assert result.decision == "INCONCLUSIVE"

    def test_a_run_with_the_very_same_scores_on_an_open_scale_promises_nothing(self) -> None:
        cost = version(0.01 + np.random.default_rng(1).random(200) / 1e4, LATENCY)
        for ask in (NotWorse(0.1, relative=True), NotWorse(0.1)):
            found = one(ask, old=cost, new=cost)
            assert (found.chance, found.reason) == (0.0, SAME)

    def test_unequal_weights_cost(self) -> None:
        values = np.random.default_rng(1).random(100)
        weights = np.where(np.arange(100) < 10, 20.0, 1.0).tolist()
        weighted = one(NotWorse(0.1), old=version(values, cases=some_cases(100, weight=weights)))
        plain = one(NotWorse(0.1), old=version(values))
        assert weighted.smallest > 2.0 * plain.smallest

    @pytest.mark.parametrize(
        ("heavy", "size", "told"), [(60.0, 1, False), (1.0, 1, True), (15.0, 1, True), (1.0, 100, False)]
    )
    def test_where_few_outweigh_the_others_it_names_no_number_and_neither_does_the_gate(
        self, heavy: float, size: int, told: bool
    ) -> None:
        rng = np.random.default_rng(3)
        weight = [heavy if i < 3 else 1.0 for i in range(400)]
        group = ["large" if i < size else f"g{i}" for i in range(400)]
        cases = some_cases(400, weight=weight, group=group)
        old = np.clip(rng.normal(0.7, 0.15, 400), 0.0, 1.0)
        new = np.clip(old + rng.normal(0.0, 0.2, 400), 0.0, 1.0)
        new[:3] = 0.75
        versions = [version(values, cases=cases) for values in (old, new)]
        for ask in (NotWorse(0.005), NotWorse(0.005, relative=True), AtLeast(0.695)):
            found = one(ask, old=versions[0], new=versions[1])
            (result,) = decide([Gate(metric="m", ask=ask)], versions[1], versions[0])
            assert result.decision == "INCONCLUSIVE"
            assert (UNTOLD in result.findings[0].reason) != told, ask
            assert (found.cases is not None, UNTOLD in found.reason) == (told, not told), ask
            assert found.chance is not None

    def test_looks_spend_a_part_of_the_error_rate(self) -> None:
        old = version(np.random.default_rng(2).random(120))
        assert one(NotWorse(0.1), old=old, looks=4).smallest > one(NotWorse(0.1), old=old).smallest

    def test_what_is_assumed_is_varied(self) -> None:
        found = one(NotWorse(0.06), old=version(np.random.default_rng(3).random(200)))
        low, high = found.varied
        assert low < found.chance < high

    def test_scores_that_are_all_equal_leave_what_unseen_differences_could_do(self) -> None:
        assert one(NotWorse(0.03), old=version(np.ones(60), YES)).chance == 0.0
        assert one(NotWorse(0.06), old=version(np.ones(60), YES)).chance == 1.0


class TestNearTheEndOfTheScale:
    """60 cases, 10 groups of 4 and 20 alone; of a baseline that is right in nearly all, a version can gain no more."""

    cases = some_cases(60, group=[f"g{i // 4}" if i < 40 else f"g{i}" for i in range(60)])
    right = np.ones((60, 3))

    def failing(self, *rows: int) -> Evaluated:
        values = self.right.copy()
        values[list(rows)] = 0.0
        return version(values, YES, self.cases)

    @pytest.mark.parametrize("statistic", ["pass@3", "pass^3", "mean"])
    @pytest.mark.parametrize("new", [None, (7,), (45,)])
    def test_what_not_even_the_best_version_passes_is_hopeless(self, statistic, new) -> None:
        old = self.failing(50)
        sides = {"old": old, "new": None if new is None else self.failing(*new), "statistic": statistic}
        gate = Gate(metric="m", ask=NotWorse(0.1), statistic=statistic)
        assert [decide([gate], best, old)[0].decision for best in (self.failing(), old)] == ["INCONCLUSIVE"] * 2
        found = one(NotWorse(0.1), **sides)
        assert (found.hopeless, found.chance, found.reason) == (True, 0.0, BEST)
        assert found.smallest > 0.1
        assert found.cases > 72
        wider = one(NotWorse(0.15), **sides)
        assert (wider.hopeless, wider.chance > 0.5, wider.reason) == (False, True, "")

    @pytest.mark.parametrize("new", [None, ()])
    @pytest.mark.parametrize("margin", [0.1, 0.12, 0.13, 0.14, 0.16])
    def test_the_next_run_has_as_many_large_groups(self, new, margin) -> None:
        same = self.failing()
        gate = Gate(metric="m", ask=NotWorse(margin), statistic="pass@3")
        passes = decide([gate], same, same)[0].decision == "PASS"
        found = one(NotWorse(margin), old=same, new=None if new is None else same, statistic="pass@3")
        assert found.chance == float(passes)

    def test_few_that_fail_are_few_that_differ(self) -> None:
        old, gate = self.failing(50), Gate(metric="m", ask=NotWorse(0.12), statistic="pass@3")
        rng = np.random.default_rng(5)
        # Equal versions: correlated by one half, as is assumed.
        others = [np.flatnonzero(rng.random(60) < np.where(np.arange(60) == 50, 0.51, 1 / 120)) for _ in range(100)]
        rate = np.mean([decide([gate], self.failing(*rows), old)[0].decision == "PASS" for rows in others])
        found = one(NotWorse(0.12), old=old, statistic="pass@3")
        assert found.chance == pytest.approx(rate, abs=0.15)

    def test_variants_have_no_baseline_that_bounds_them(self) -> None:
        plain = some_cases(60)
        kinds = tuple(
            Case(case_id=f"v{i}", prompt=f"QUESTION {i}", variant="case", variant_of=case.digest, group=case.digest)
            for i, case in enumerate(plain)
        )
        found = one(Robust(0.02), new=version(np.ones(120), YES, (*plain, *kinds)))
        assert BEST not in found.reason


class TestFromTheLastRun:
    @pytest.mark.parametrize("scale", [YES, GRADED])
    @pytest.mark.parametrize("size", [1, 3])
    def test_an_identical_version_passes_on_as_many_cases_as_are_named(self, scale, size) -> None:
        cases = grouped(40 // size, size) if size > 1 else some_cases(40)
        same = version((np.arange(len(cases)) % 3 > 0).astype(float), scale, cases)
        found = one(NotWorse(0.02), old=same, new=same)
        assert found.chance == 0.0

        def decided(n: int, margin: float) -> str:
            more = grouped(n // size, size) if size > 1 else some_cases(n)
            again = version((np.arange(n) % 3 > 0).astype(float), scale, more)
            return decide([Gate(metric="m", ask=NotWorse(margin))], again, again)[0].decision

        assert decided(len(cases), found.smallest + 1e-4) == "PASS"
        assert decided(len(cases), found.smallest - 1e-4) == "INCONCLUSIVE"
        named = -(-found.cases // size) * size
        assert decided(round(1.05 * named / size) * size, 0.02) == "PASS"
        assert decided(round(0.9 * named / size) * size, 0.02) == "INCONCLUSIVE"

    def test_that_the_last_version_was_worse_says_nothing_of_an_equal_one(self) -> None:
        rng = np.random.default_rng(4)
        old = (rng.random(300) < 0.9).astype(float)
        worse = np.where(rng.random(300) < 0.1, 0.0, old)
        found = one(NotWorse(0.1), old=version(old, YES), new=version(worse, YES))
        assert found.chance > 0.9
        shifted = one(NotWorse(0.1), old=version(old - 0.2), new=version(np.maximum(0.0, worse - 0.5)))
        assert shifted.chance > 0.9

    def test_both_sides_of_a_margin_are_asked_for_more(self) -> None:
        rng = np.random.default_rng(5)
        old = rng.random(100)
        sides = {"old": version(old), "new": version(np.clip(old + rng.normal(0.0, 0.1, 100), 0.0, 1.0))}
        assert one(Equivalent(0.03), **sides).smallest > one(NotWorse(0.03), **sides).smallest

    def test_of_better_it_is_the_improvement_that_is_shown(self) -> None:
        rng = np.random.default_rng(6)
        old = rng.normal(0.0, 1.0, 200)
        new = old + rng.normal(0.0, 0.5, 200)
        scale = Scale(None, None, "higher")
        found = one(Better(0.1), old=version(old, scale), new=version(new, scale))
        assert found.chance is None
        # (1.645 + 0.842) standard errors beyond the margin.
        assert found.smallest == pytest.approx(0.1 + 2.49 * 0.5 / math.sqrt(200), rel=0.15)

    def test_of_a_baseline_of_0_no_share_is_a_margin_and_it_says_so(self) -> None:
        scale = Scale(0.0, 1.0, "lower")
        found = one(NotWorse(0.1, relative=True), old=version(np.zeros(60), scale), new=version(np.zeros(60), scale))
        assert (found.hopeless, found.chance, found.relative) == (True, 0.0, True)
        assert found.reason.startswith("it cannot pass: the baseline's value is not above 0, so that no share of it ")
        assert found.reason.endswith("write the margin in the metric's unit, without %")

    def test_a_relative_margin_is_a_share(self) -> None:
        rng = np.random.default_rng(7)
        old = 1000.0 + 100.0 * rng.random(100)
        new = old * rng.normal(1.0, 0.05, 100)
        found = one(NotWorse(0.05, relative=True), old=version(old, LATENCY), new=version(new, LATENCY))
        assert found.relative
        assert found.smallest == pytest.approx(2.49 * 0.05 / 10.0, rel=0.2)

    def test_scores_that_were_missing_count_against_it(self) -> None:
        rng = np.random.default_rng(8)
        old = rng.random(200)
        new = np.clip(old + rng.normal(0.0, 0.05, 200), 0.0, 1.0)
        gone = np.where(np.arange(200) < 8, np.nan, new)
        plain, lost = (one(NotWorse(0.025), old=version(old), new=version(values)) for values in (new, gone))
        assert plain.chance > 0.95
        assert lost.chance < 0.6
        many = np.where(np.arange(200) < 40, np.nan, new)
        assert "40 of 200 cases have no m" in one(NotWorse(0.03), old=version(old), new=version(many)).reason

    def test_cases_without_an_answer_of_the_baseline_are_not_counted(self) -> None:
        rng = np.random.default_rng(9)
        cases = some_cases(200)
        old = version(rng.random(150), cases=cases[:150])
        found = one(NotWorse(0.1), old=old, cases=cases)
        assert found.n == 150
        assert found.reason == "50 of 200 cases have no answer of the baseline"
        few = one(NotWorse(0.1), old=version(rng.random(50), cases=cases[:50]), cases=cases)
        assert few.hopeless
        assert few.chance == 0.0


class TestSegments:
    def test_each_has_its_own_and_one_case_shows_nothing(self) -> None:
        rng = np.random.default_rng(10)
        cases = some_cases(201, segments=[{"plan": "c" if i == 200 else "ab"[i % 5 == 0]} for i in range(201)])
        old = rng.random(201)
        sides = {
            "old": version(old, cases=cases),
            "new": version(np.clip(old + 0.2 * rng.normal(size=201), 0, 1), cases=cases),
        }
        found = power(NotWorse(0.05), by=("segments.plan",), **sides)
        assert [(row.segment, row.n) for row in found] == [("plan=a", 160), ("plan=b", 40), ("plan=c", 1)]
        assert found[0].smallest < 0.7 * found[1].smallest
        assert [row.hopeless for row in found] == [False, False, True]

    def test_a_field_chooses_the_cases(self) -> None:
        cases = some_cases(100, segments=[{"plan": "ab"[i % 2]} for i in range(100)])
        found = power(
            NotWorse(0.05),
            where={"segments.plan": ("a",)},
            old=version(np.random.default_rng(11).random(100), cases=cases),
        )
        assert found[0].n == 50


class TestAlone:
    @pytest.mark.parametrize("n", [60, 200])
    @pytest.mark.parametrize(("ask", "scale"), [(AtLeast(0.8), YES), (AtMost(0.95), YES), (AtLeast(0.5), GRADED)])
    def test_the_chance_is_that_of_the_gate_if_the_value_is_the_one_seen(self, n, ask, scale) -> None:
        rng = np.random.default_rng(12)

        def draw() -> Evaluated:
            if scale.binary:
                return version((rng.random(n) < 0.875).astype(float), scale)
            return version(np.clip(0.53 + 0.2 * rng.normal(size=n), 0.0, 1.0))

        chances = [one(ask, new=draw()).chance for _ in range(25)]
        gate = Gate(metric="m", ask=ask)
        rate = np.mean([decide([gate], draw(), None)[0].decision == "PASS" for _ in range(100)])
        # What is seen is not the truth: the mean chance is drawn towards a half.
        assert np.mean(chances) == pytest.approx(rate, abs=0.2)

    @pytest.mark.parametrize("statistic", ["mean", "p90"])
    @pytest.mark.parametrize(("groups", "size", "repeats"), [(60, 1, 1), (60, 20, 1), (40, 1, 3), (30, 4, 2)])
    def test_it_is_not_hopeless_what_passes_on_the_scores_that_are_known(
        self, groups, size, repeats, statistic
    ) -> None:
        cases, rng = grouped(groups, size), np.random.default_rng(9)
        passing = 0
        for failing in (0, 1, 3, 9, 10):
            values = np.ones((groups * size, repeats))
            values[rng.choice(groups * size, failing, replace=False), 0] = 0.0
            new = version(values, YES if statistic == "mean" else LATENCY, cases)
            for limit in (0.05, 0.1, 0.2, 0.3):
                ask = AtLeast(1.0 - limit) if statistic == "mean" else AtLeast(0.5)
                statistics = {"statistic": statistic if statistic == "mean" else f"p{round(100 * limit)}"}
                gate = Gate(metric="m", ask=ask, **statistics)
                if decide([gate], new, None)[0].decision == "PASS":
                    passing += 1
                    found = one(ask, new=new, **statistics)
                    assert (found.hopeless, found.chance > 0.4) == (False, True), (failing, limit)
        assert passing

    def test_a_quantile_counts_weights(self) -> None:
        values = np.where(np.arange(200) % 50 == 0, 2000.0, 1000.0)
        plain = one(AtMost(1500.0), new=version(values, LATENCY), statistic="p95")
        weights = np.where(np.arange(200) % 7 == 1, 10.0, 1.0).tolist()
        cases = some_cases(200, weight=weights)
        weighted = one(AtMost(1500.0), new=version(values, LATENCY, cases), statistic="p95")
        assert plain.assumed == 1000.0
        assert 0.0 < plain.chance < 1.0
        assert weighted.chance < plain.chance

    def test_critical_cases_leave_nothing_to_chance(self) -> None:
        cases = some_cases(40, critical=[i < 5 for i in range(40)])
        found = one(Critical(0.5), new=version(np.ones(40), cases=cases))
        assert found.reason == "every one of 5 critical cases has to reach it: no chance is allowed for"
        assert (found.n, found.groups) == (5, 5)
        assert one(Critical(0.5), new=version(np.ones(40))).hopeless

    def test_a_gap_is_named_and_not_predicted(self) -> None:
        cases = some_cases(40, segments=[{"plan": "ab"[i % 2]} for i in range(40)])
        found = one(GapAtMost("segments.plan", 0.1), new=version(np.ones(40), cases=cases))
        assert found.reason.startswith("not predicted: ")

    def test_variants_are_held_against_their_cases(self) -> None:
        rng = np.random.default_rng(13)
        plain = some_cases(100)
        kinds = tuple(
            Case(case_id=f"v{i}", prompt=f"QUESTION {i}", variant="case", variant_of=case.digest, group=case.digest)
            for i, case in enumerate(plain)
        )
        values = rng.random(100)
        both = np.r_[values, np.clip(values + 0.05 * rng.normal(size=100), 0.0, 1.0)]
        found = one(Robust(0.03), new=version(both, cases=(*plain, *kinds)))
        assert (found.segment, found.n) == ("variant=case", 100)
        assert found.chance > 0.9
        # 1.133 · 0.5 / 100 for a loss that none of 100 has met, which adds as much to the error of .005.
        assert found.smallest == pytest.approx(0.0057 + 1.66 * 0.0076 + 0.84 * 0.005, rel=0.25)


def test_nothing_is_left_out_where_nothing_is_known() -> None:
    cases = some_cases(40, critical=[True] * 40)
    found = power(NotWorse(0.1), Better(), AtLeast(0.5), Critical(0.5), cases=cases)
    assert [row.reason for row in found] == [
        UNKNOWN,
        UNKNOWN,
        "not predicted before a first run or a baseline: its value is not known",
        "every one of 40 critical cases has to reach it: no chance is allowed for",
    ]


def test_production_is_not_compared_case_by_case() -> None:
    from datetime import UTC, datetime

    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    frozen = version(np.empty((0, 1)), cases=(), production=Production(window=window, estimates=()))
    (found,) = power(NotWorse(0.1), old=frozen, cases=some_cases(40))
    assert found.reason == "not predicted: production's estimate is compared with, not its cases"


def test_as_json_every_field_has_its_name() -> None:
    line = json.loads(as_json(power(NotWorse(0.1), old=version(np.random.default_rng(0).random(50)))))
    assert list(line) == [*Planned._fields, "spread"]
    assert len(line["varied"]) == 2


def test_a_run_that_was_promoted_leaves_the_baseline_s_scores_to_tell_the_spread(tmp_path) -> None:
    path = write_project(tmp_path, 120)
    suite = load_suite(path)
    with DiskCache.open(None) as cache:
        alone = msgspec.structs.replace(suite, gates=(), baseline="")
        found = run_suite(alone, cache, generator=CountingModel(0.2))
    keeper = RunKeeper(tmp_path)
    keeper.keep(found.verdict, {}, found.record)
    promote(found.record, "run", suite.folder, "main", by="Ada", because="first", now=datetime(2026, 3, 1, tzinfo=UTC))
    spread = spread_of(suite, suite.cases.read(), "", tmp_path)
    assert spread is not None
    assert spread.after is None
    assert "taken from the baseline's scores" in spread.said


class TestWhoseScoresTellTheSpread:
    """Of several runs that are kept, the one that tells most of the next one's."""

    @pytest.fixture
    def suite(self, tmp_path: Path) -> Suite:
        suite = load_suite(write_project(tmp_path, 120))
        self.root = tmp_path
        alone = msgspec.structs.replace(suite, gates=(), baseline="")
        content = self.run(alone, CountingModel(0.2)).record
        promote(content, "run", suite.folder, "main", by="Ada", because="first", now=datetime(2026, 3, 1, tzinfo=UTC))
        return suite

    def run(self, suite: Suite, model: CountingModel, hour: int = 0, sample: int | None = None) -> Run:
        now = datetime(2026, 3, 2, hour, 30, tzinfo=UTC)
        with DiskCache.open(None) as cache:
            found = run_suite(suite, cache, generator=model, sample=sample, now=now)
        RunKeeper(self.root).keep(
            found.verdict, {}, found.record, *([found.baseline.content] if found.baseline else [])
        )
        return found

    def told(self, suite: Suite) -> str:
        spread = spread_of(suite, suite.cases.read(), "", self.root)
        assert spread is not None
        assert spread.before is not None
        return spread.said

    def test_a_later_sample_does_not_take_the_place_of_a_whole_run(self, suite) -> None:
        whole = self.run(suite, CountingModel(0.2, "2", seed=4), 1)
        assert whole.verdict.decision != "FAIL"
        sample = self.run(suite, CountingModel(0.2, "2", seed=4), 2, sample=60)
        assert sample.verdict.sampled
        assert not whole.verdict.sampled
        assert self.told(suite) == (
            f"the spread is that of counting 2, run on 2026-03-02 at 01:30 UTC on 120 cases: {whole.verdict.decision} "
            f"({whole.verdict.verdict_id}), beside the baseline main (counting 1)"
        )

    def test_one_that_failed_is_taken_only_where_there_is_no_other_and_says_so(self, suite) -> None:
        failed = self.run(suite, CountingModel(0.9, "3"), 3)
        assert failed.verdict.decision == "FAIL"
        assert "on 120 cases: FAIL" in self.told(suite)
        assert self.told(suite).endswith(
            "it failed, and no other such run is kept: a worse version may differ more than an equal one"
        )
        self.run(suite, CountingModel(0.2, "2", seed=4), 1)
        self.run(suite, CountingModel(0.9, "4", seed=5), 5)
        assert "that of counting 2, run on 2026-03-02 at 01:30 UTC" in self.told(suite)
        assert "failed" not in self.told(suite)

    def test_the_version_that_the_suite_names_comes_first_then_the_better_verdict(self, suite) -> None:
        kept = {
            decision: self.run(suite, CountingModel(0.2, version, seed=4), hour).verdict
            for hour, (decision, version) in enumerate((("PASS", "2"), ("FAIL", "3"), ("INCONCLUSIVE", "4")), start=1)
        }
        for decision, verdict in kept.items():
            other = msgspec.structs.replace(verdict, decision=decision)
            (RunKeeper(self.root).folder(other) / "verdict.json").write_bytes(msgspec.json.encode(other))
        assert "that of counting 2" in self.told(suite)
        for version in ("4", "2", "3"):
            named = msgspec.structs.replace(suite, model=CountingModel(0.2, version))
            assert f"that of counting {version}" in self.told(named)
        assert self.told(named).endswith(
            "; it failed, and is the version that the suite names: a worse version may differ more than an equal one"
        )

    def test_a_function_is_known_again_without_being_imported(self, suite) -> None:
        bot = suite.folder / "bot.py"
        bot.write_text("def reply(prompt):\n    return prompt\n")
        asked, read = (CallableModel("bot.py:reply", suite.folder, version="7") for _ in range(2))
        assert signature_named(read) == asked.signature
        bot.write_text("raise SystemExit('imported')\n")
        changed = signature_named(CallableModel("bot.py:reply", suite.folder, version="7"))
        assert changed not in ("", asked.signature)
        bot.unlink()
        assert signature_named(CallableModel("bot.py:reply", suite.folder)) != asked.signature
        assert signature_named(CommandModel(["./no-such-program"], suite.folder)) == ""

    def test_a_sample_alone_says_that_it_is_one_and_a_tiny_one_is_no_ground(self, suite) -> None:
        self.run(suite, CountingModel(0.2, "2", seed=4), 1, sample=20)
        assert "taken from the baseline's scores (main, 120 cases)" in self.told(suite)
        self.run(suite, CountingModel(0.2, "2", seed=4), 2, sample=60)
        assert "on 60 cases" in self.told(suite)
        assert self.told(suite).endswith("this one asked a sample: run it without `--sample` first")

    def test_a_run_that_a_look_ended_is_a_part_and_says_so(self, suite) -> None:
        looking = msgspec.structs.replace(suite, looks=3)
        stopped = self.run(looking, CountingModel(0.9, "3"), 3).verdict
        assert (stopped.decision, stopped.sampled) == ("FAIL", False)
        assert FEWEST <= stopped.stopped_at < stopped.n_cases == 120
        assert (
            f"; no run of all cases is kept, and this one stopped after {stopped.stopped_at} of 120: they tell less "
            "than all would; it failed, and no other such run is kept"
        ) in self.told(suite)
        self.run(suite, CountingModel(0.2, "2", seed=4), 1)
        named = msgspec.structs.replace(suite, model=CountingModel(0.9, "3"))
        assert "that of counting 2" in self.told(named), "all of the cases before a part of them"
        assert "stopped" not in self.told(named)

    def test_what_did_not_answer_was_scored_otherwise_or_is_not_kept_tells_nothing(self, suite) -> None:
        run = self.run(suite, CountingModel(0.2, "2", seed=4), 1)
        for decision, scorers in (("ERROR", run.verdict.scorers), ("PASS", {"token_f1": "0|other"})):
            other = msgspec.structs.replace(run.verdict, decision=decision, scorers=scorers)
            (RunKeeper(self.root).folder(other) / "verdict.json").write_bytes(msgspec.json.encode(other))
            assert "taken from the baseline's scores" in self.told(suite)
        (RunKeeper(self.root).folder(run.verdict) / "verdict.json").write_text("{")
        assert "taken from the baseline's scores" in self.told(suite)
        RunKeeper(self.root).keep(run.verdict, {})
        assert "counting 2" in self.told(suite)
        RunKeeper(self.root).record_path(run.verdict.candidate.digest).unlink()
        assert "taken from the baseline's scores" in self.told(suite)

    def test_a_run_of_other_cases_gives_way_to_one_of_these(self, suite) -> None:
        self.run(suite, CountingModel(0.2, "2", seed=4), 1)
        lines = suite.cases.path.read_text().splitlines()
        changed = [line.replace("question", "another question") for line in lines[:80]] + lines[80:]
        suite.cases.path.write_text("\n".join(changed) + "\n")
        later = load_suite(suite.path)
        self.run(later, CountingModel(0.2, "3", seed=4), 0)
        assert "counting 2" in self.told(suite)
        assert "counting 3" in self.told(later)

    @pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:60]), Path.unlink])
    @pytest.mark.parametrize("whose", ["candidate", "baseline"])
    def test_a_record_that_is_damaged_or_gone_leaves_the_next_run_to_tell_it(self, suite, whose, damage) -> None:
        older = self.run(suite, CountingModel(0.2, "2", seed=4), 1)
        later = self.run(suite, CountingModel(0.2, "3", seed=5), 2)
        keeper, asked = RunKeeper(self.root), suite
        if whose == "candidate":
            damage(keeper.record_path(later.verdict.candidate.digest))
            assert f"({older.verdict.verdict_id})" in self.told(suite)
            damage(keeper.record_path(older.verdict.candidate.digest))
            assert "taken from the baseline's scores" in self.told(suite)
        else:
            # A suite that compares with nothing any more: a run's own baseline stands beside it.
            asked = msgspec.structs.replace(suite, baseline="", gates=())
            assert "beside the baseline" in self.told(asked)
            damage(keeper.record_path(later.verdict.baseline.digest))
            assert spread_of(asked, asked.cases.read(), "", self.root) is None
