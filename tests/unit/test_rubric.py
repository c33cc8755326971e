"""Rubrics computed: totals, intervals, chances, dominance and weights against the same sums done another way."""

from __future__ import annotations

import itertools
import json
import math
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.governance.rubric import (
    Category,
    Choice,
    Criterion,
    Decision,
    Measure,
    Measured,
    Model,
    Opinion,
    Rubric,
    ScoreMap,
    compare,
    dominance,
    report,
    robustness,
    score_sheet,
)
from evalsvc.governance.rubric.picture import pareto_picture
from evalsvc.governance.rubric.rendering import html, markdown

ROOT = Path(__file__).parents[2]
DAY = date(2026, 3, 31)
LINE = ScoreMap("lines", "higher", ((1.0, 1.0), (5.0, 5.0)))
"""The metric itself, between 1 and 5."""

RUBRIC = Rubric(
    (
        Category("quality", "Quality", 60.0, (Criterion("right", "Right", 40.0), Criterion("kind", "Kind", 20.0))),
        Category("cost", "Cost", 40.0, (Criterion("price", "Price", 40.0),)),
    )
)
MEASURES = {name: Measure(name, LINE) for name in ("right", "kind", "price")}


def measured(value: float, below: float = 0.0, above: float | None = None) -> Measured:
    return Measured(value=value, low=value - below, high=value + (below if above is None else above), source="x.json")


def model(name: str, **metrics: Measured) -> Model:
    return Model(name=name, measured=metrics)


def choice(*models: Model, rubric: Rubric = RUBRIC, **more: object) -> Choice:
    fields = {"title": "T", "at": DAY, "rubric": rubric, "models": models, "measures": MEASURES}
    return Choice(**{**fields, **more})


def said(by: str, score: float) -> Opinion:
    return Opinion(by, DAY, score, "read")


A = model("a", right=measured(4.0, 0.3, 0.2), kind=measured(3.0, 0.4), price=measured(2.0))
B = model("b", right=measured(3.0, 0.1), kind=measured(3.0, 0.2), price=measured(4.0, 0.1))


def test_a_sheet_worked_by_hand() -> None:
    """As in a spreadsheet: quality is (4 + 3)/2 = 3.5 for a, so its total is .6·3.5 + .4·2 = 2.9."""
    found = compare(score_sheet(choice(A, B)))
    a, b = found.totals["a"], found.totals["b"]
    assert (a.categories, b.categories) == ({"quality": 3.5, "cost": 2.0}, {"quality": 3.0, "cost": 4.0})
    assert a.value == pytest.approx(2.9)
    assert b.value == pytest.approx(3.4)
    # Shares of the total are .3, .3 and .4: MOVER by hand.
    assert a.low == pytest.approx(2.9 - math.sqrt((0.3 * 0.3) ** 2 + (0.3 * 0.4) ** 2))
    assert a.high == pytest.approx(2.9 + math.sqrt((0.3 * 0.2) ** 2 + (0.3 * 0.4) ** 2))
    (difference,) = found.differences
    below = math.sqrt((a.value - a.low) ** 2 + (b.high - b.value) ** 2)
    assert difference.value == pytest.approx(-0.5)
    assert difference.low == pytest.approx(-0.5 - below)
    assert (found.standing.verdict, found.standing.leader) == ("clear", "b")


def test_the_finer_weights_count_where_the_file_says_so() -> None:
    finer = Rubric(RUBRIC.categories, "criteria")
    assert compare(score_sheet(choice(A, B, rubric=finer))).totals["a"].value == pytest.approx(
        0.4 * 4.0 + 0.2 * 3.0 + 0.4 * 2.0
    )


def test_a_metric_behind_two_criteria_is_off_once() -> None:
    """Right and kind, .3 of the total each, from one number: they reach .6 of its interval, and not .3·√2."""
    twice = {**MEASURES, "kind": Measure("right", LINE)}
    a, b = (
        model(name, right=measured(value, 0.5, 0.4), price=measured(3.0)) for name, value in (("a", 3.4), ("b", 3.0))
    )
    found = compare(score_sheet(choice(a, b, measures=twice)), draws=100_000)
    total, (difference,) = found.totals["a"], found.differences
    assert (total.low, total.high) == pytest.approx((total.value - 0.3, total.value + 0.24))
    assert difference.low == pytest.approx(0.24 - math.hypot(0.3, 0.24))
    once = choice(a, b, measures=twice, rubric=Rubric((Category("all", "All", 1.0, (Criterion("right", "R", 1.0),)),)))
    best = compare(score_sheet(once), draws=100_000).totals["a"].best[0]
    assert found.totals["a"].best[0] == pytest.approx(best, abs=0.01)


def test_a_metric_that_counts_for_and_against_takes_itself_back() -> None:
    down = ScoreMap("lines", "lower", ((1.0, 5.0), (5.0, 1.0)))
    both = {**MEASURES, "kind": Measure("right", down)}
    a, b = (model(name, right=measured(3.0, 0.5), price=measured(3.0)) for name in "ab")
    total = compare(score_sheet(choice(a, b, measures=both))).totals["a"]
    assert (total.low, total.high) == pytest.approx((total.value, total.value))


def test_the_chance_to_be_best_is_the_normal_one() -> None:
    """Two totals whose difference is normal: its chance is known in closed form."""
    a = model("a", right=measured(3.1, 0.6), kind=measured(3.0), price=measured(3.0))
    b = model("b", right=measured(3.0, 0.5), kind=measured(3.0), price=measured(3.0))
    found = compare(score_sheet(choice(a, b)), draws=200_000)
    sd = math.hypot(0.6, 0.5) / stats.norm.ppf(0.975)
    expected = stats.norm.cdf(0.1 / sd)
    assert found.totals["a"].best[0] == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 200_000))
    assert found.totals["a"].best[0] + found.totals["b"].best[0] == pytest.approx(1.0)
    assert found.totals["a"].best[0] == found.totals["a"].best[1]
    assert found.standing.verdict == "ahead"


def test_an_interval_of_unequal_sides_is_drawn_with_its_ends_as_quantiles() -> None:
    from evalsvc.governance.rubric.scoring import drawn

    sheet = score_sheet(choice(A, B))
    found = drawn(sheet, "a", "right", np.random.default_rng(1), 400_000, {})
    assert np.quantile(found, [0.025, 0.5, 0.975]) == pytest.approx([3.7, 4.0, 4.2], abs=0.004)


def test_what_is_missing_gives_bounds_and_never_wins_outright() -> None:
    gap = model("gap", right=measured(5.0, 0.1), kind=measured(5.0, 0.1))
    found = compare(score_sheet(choice(gap, B)))
    total = found.totals["gap"]
    assert (total.value, total.missing, total.categories["cost"]) == (None, ("price",), None)
    assert (total.least, total.most) == pytest.approx((0.6 * 5.0 + 0.4 * 1.0, 0.6 * 5.0 + 0.4 * 5.0))
    assert found.differences[0].value is None
    assert found.differences[0].low < total.least - found.totals["b"].value < found.differences[0].high
    # With 1 for what is missing it loses or is level; with 5 it wins.
    assert total.best[0] < 0.6
    assert total.best[1] == pytest.approx(1.0)
    assert (found.standing.verdict, found.standing.leader) == ("open", None)
    assert "gap lacks price" in found.standing.because


def test_a_model_with_a_gap_that_would_win_even_with_1_does_not_win_but_the_others_do_not_either() -> None:
    gap = model("gap", right=measured(5.0), kind=measured(5.0))
    poor = model("poor", right=measured(1.0), kind=measured(1.0), price=measured(1.0))
    found = compare(score_sheet(choice(gap, poor)))
    assert found.totals["gap"].best == (1.0, 1.0)
    assert (found.standing.verdict, found.standing.leader) == ("open", None)


def test_a_gap_that_cannot_matter_leaves_the_leader() -> None:
    gap = model("gap", right=measured(1.0), kind=measured(1.0))
    found = compare(
        score_sheet(choice(gap, model("top", right=measured(5.0), kind=measured(5.0), price=measured(4.0))))
    )
    assert found.standing.leader == "top"


def test_equal_totals_have_no_leader_and_share_the_chance() -> None:
    twin = Model(name="twin", measured=B.measured)
    same = [model(name, right=measured(3.0), kind=measured(3.0), price=measured(3.0)) for name in ("x", "y", "z")]
    found = compare(score_sheet(choice(*same)))
    assert found.standing.leader is None
    assert found.totals["x"].best == pytest.approx((1 / 3, 1 / 3))
    assert compare(score_sheet(choice(B, twin))).standing.verdict == "open"
    assert robustness(score_sheet(choice(B, twin))).leader is None


def test_totals_that_a_report_cannot_tell_apart_have_no_leader() -> None:
    near = model("near", right=measured(3.0), kind=measured(3.0), price=measured(3.009))
    level, below = (
        model(n, right=measured(3.0), kind=measured(3.0), price=measured(p)) for n, p in (("a", 3.0), ("b", 2))
    )
    found = compare(score_sheet(choice(near, level, below)))
    assert found.standing == ("open", None, "near, a share the highest total, to within 0.005")
    made = report(choice(near, level, below))
    assert made.robustness.leader is None
    assert "The smallest change of a weight" not in [part.title for part in made.parts]
    further = model("far", right=measured(3.0), kind=measured(3.0), price=measured(3.02))
    assert compare(score_sheet(choice(further, level))).standing.verdict == "clear"


def test_a_lead_within_the_intervals_is_said_where_a_weight_would_end_it() -> None:
    wide = model("wide", right=measured(4.5, 0.5), kind=measured(3.0, 0.7), price=measured(3.0, 0.7))
    low = model("low", right=measured(3.0, 0.7), kind=measured(3.0, 0.7), price=measured(4.0, 0.7))
    made = report(choice(wide, low))
    assert made.comparison.standing.verdict == "ahead"
    (part,) = (part for part in made.parts if part.title == "The smallest change of a weight")
    assert part.sentences[1] == (
        "No weight has to change for a tie: wide has the highest total, but the interval of its lead over low holds 0."
    )
    assert part.table is not None
    assert "leads" not in " ".join(part.sentences) + "".join(part.table.rows[0])
    clear = report(choice(A, model("zero", right=measured(1.0), kind=measured(1.0), price=measured(1.0))))
    assert "No weight has to change" not in markdown(clear)


def test_a_weight_at_which_nothing_is_beyond_is_none() -> None:
    """Level in the two others at weight 0 of the third, which no weight below it can turn."""
    ahead = model("ahead", right=measured(4.0), kind=measured(4.0), price=measured(3.0))
    level = model("level", right=measured(3.0), kind=measured(3.0), price=measured(3.0))
    found = robustness(score_sheet(choice(ahead, level)), draws=10)
    assert [(change.needed, change.winner) for change in found.changes] == [(None, None)] * 2


def test_what_rounds_to_nothing_has_no_sign() -> None:
    nearly = model("nearly", right=measured(3.0), kind=measured(3.0), price=measured(3.0))
    made = report(choice(nearly, model("same", right=measured(3.0), kind=measured(3.0), price=measured(3.0 + 1e-6))))
    text = markdown(made)
    assert not re.search(r"[-+]0\.0+(?![0-9])", text)


def test_people_count_by_their_pooled_spread() -> None:
    """Spreads within (1, 3 | 4, 4, 5) have squares 2 and 2/3, 3 degrees of freedom; 4 of variance 1/3 are assumed."""
    models = (
        Model(name="a", opinions={"right": (said("x", 1.0), said("y", 3.0)), "kind": (said("x", 4.0),)}),
        Model(name="b", opinions={"right": (said("x", 4.0), said("y", 4.0), said("z", 5.0))}),
    )
    sheet = score_sheet(choice(*models, measures={}))
    sd = math.sqrt((2.0 + 2.0 / 3.0 + 4.0 / 3.0) / 7.0)
    assert (sheet.spread.sd, sheet.spread.degrees) == pytest.approx((sd, 7.0))
    score = sheet.scores["b"]["right"]
    half = stats.t.ppf(0.975, 7) * sd / math.sqrt(3)
    assert score.value == pytest.approx(13 / 3)
    assert (score.low, score.high) == pytest.approx((13 / 3 - half, min(5.0, 13 / 3 + half)))
    assert sheet.scores["b"]["kind"].kind == "missing"
    assert sheet.agreement is not None
    assert sheet.agreement.n_items == 2


def test_people_who_agree_fully_are_not_certain_and_one_alone_is_less_so() -> None:
    agreed = choice(*(Model(name=n, opinions={"right": (said("x", 3.0), said("y", 3.0))}) for n in "ab"), measures={})
    alone = choice(*(Model(name=n, opinions={"right": (said("x", 3.0),)}) for n in "ab"), measures={})
    first, second = (score_sheet(each).scores["a"]["right"] for each in (agreed, alone))
    assert first.high - 3.0 == pytest.approx(stats.t.ppf(0.975, 6) * math.sqrt(4.0 / 3.0 / 6.0 / 2.0))
    assert second.high - 3.0 == pytest.approx(stats.t.ppf(0.975, 4) / math.sqrt(3))
    assert "nobody scored what another one did" in score_sheet(alone).spread.source


@pytest.mark.parametrize(
    ("made", "values", "scores"),
    [
        (ScoreMap("lines", "higher", ((0.2, 1.0), (0.4, 2.0), (0.6, 5.0))), [0.0, 0.3, 0.5, 9.0], [1.0, 1.5, 3.5, 5.0]),
        (ScoreMap("lines", "lower", ((10.0, 5.0), (20.0, 1.0))), [5.0, 15.0, 30.0], [5.0, 3.0, 1.0]),
        (ScoreMap("steps", "higher", ((0.5, 3.0), (0.9, 5.0))), [0.49, 0.5, 0.89, 0.9], [1.0, 3.0, 3.0, 5.0]),
        (ScoreMap("steps", "lower", ((300.0, 5.0), (900.0, 2.0))), [300.0, 300.1, 900.0, 901.0], [5.0, 2.0, 2.0, 1.0]),
    ],
)
def test_maps(made: ScoreMap, values: list[float], scores: list[float]) -> None:
    assert [made(value) for value in values] == pytest.approx(scores)
    low, high = made.interval(values[0], values[-1])
    assert (low, high) == (min(scores), max(scores))


@pytest.mark.parametrize(
    ("kind", "better", "points"),
    [
        ("lines", "higher", ((1.0, 1.0),)),
        ("lines", "higher", ((1.0, 1.0), (1.0, 2.0))),
        ("steps", "higher", ((1.0, 3.0), (2.0, 2.0))),
        ("steps", "lower", ((1.0, 0.0),)),
    ],
)
def test_a_map_that_is_none_is_refused(kind: str, better: str, points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(InputError, match="Expected"):
        ScoreMap(kind, better, points)


def dominated(points: np.ndarray) -> list[set[int]]:
    """By the definition, over all pairs; all three axes are the less the better."""
    return [
        {j for j in range(len(points)) if (points[j] <= points[i]).all() and (points[j] < points[i]).any()}
        for i in range(len(points))
    ]


def test_dominance_is_that_of_its_definition() -> None:
    axes = {"quality": "q", "cost": "c", "latency": "l"}
    generator = np.random.default_rng(5)
    for _ in range(20):
        points = generator.integers(1, 4, (6, 3)).astype(float)
        models = [model(str(i), q=measured(-q), c=measured(c), l=measured(ms)) for i, (q, c, ms) in enumerate(points)]
        given = choice(*models, axes=axes)
        found = dominance(given, compare(score_sheet(given), draws=10))
        assert [set(map(int, found[str(i)].dominated_by)) for i in range(6)] == dominated(points)
        assert all(place.surely_by == place.dominated_by for place in found.values())


def test_overlapping_intervals_are_not_sure_and_a_missing_value_says_so() -> None:
    models = [
        model("good", q=measured(4.0, 0.5), c=measured(1.0), l=measured(1.0)),
        model("worse", q=measured(3.8, 0.5), c=measured(2.0), l=measured(1.0)),
        model("unknown", q=measured(3.8, 0.5), c=measured(2.0)),
    ]
    given = choice(*models, axes={"quality": "q", "cost": "c", "latency": "l"})
    found = dominance(given, compare(score_sheet(given), draws=10))
    assert (found["worse"].dominated_by, found["worse"].surely_by) == (("good",), ())
    assert found["unknown"].dominated_by == ()
    assert found["unknown"].reason == "no latency"


def test_a_picture_draws_no_interval_that_is_not_known() -> None:
    models = [
        model("a", q=measured(4.0, 0.5), c=Measured(value=2.0, source="bill"), l=measured(1.0)),
        model("<b>", q=measured(3.0, 0.5), c=measured(1.0, 0.5), l=measured(1.0)),
    ]
    given = choice(*models, axes={"quality": "q", "cost": "c", "latency": "l"})
    drawn = pareto_picture(dominance(given, compare(score_sheet(given), draws=10)))
    assert "&lt;b&gt;" in drawn
    lines = [re.findall(r"-?[0-9.]+", line) for line in drawn.splitlines() if line.startswith("<path")]
    for numbers in lines:
        assert all(0.0 <= float(number) <= 640.0 for number in numbers)
    # The first model's cost has no interval: its line has no length.
    start, _, end = map(float, lines[1][:3])
    assert start == end


def test_wins_over_all_weights_have_their_closed_form() -> None:
    """Two categories, evenly drawn weights: a wins where .5·w < 2·(1 - w) fails, that is w > .8."""
    found = robustness(score_sheet(choice(A, B)), draws=100_000)
    assert found.any_weights["a"][0] == pytest.approx(0.2, abs=0.006)
    around = stats.beta.sf(0.8, 50 * 0.6, 50 * 0.4)
    assert found.wins["a"][0] == pytest.approx(around, abs=0.002)
    assert found.ranks["a"][0] + found.ranks["b"][0] == pytest.approx(1.0)
    assert sum(found.ranks["a"]) == pytest.approx(1.0)


def test_the_smallest_change_of_a_weight_is_where_the_totals_meet() -> None:
    """Against a root finder on the totals, with three categories and three models."""
    generator = np.random.default_rng(11)
    names = ("right", "kind", "price")
    rubric = Rubric(
        tuple(Category(f"c{n}", n, w, (Criterion(n, n, w),)) for n, w in zip(names, (5, 3, 2), strict=True))
    )
    given, met = np.array([0.5, 0.3, 0.2]), 0
    for _ in range(20):
        scores = generator.uniform(1, 5, (3, 3))
        models = [
            model(str(i), **{n: measured(s) for n, s in zip(names, row, strict=True)}) for i, row in enumerate(scores)
        ]
        found = robustness(score_sheet(choice(*models, rubric=rubric)), draws=10)
        leader = int(np.argmax(scores @ given))
        assert found.leader == str(leader)
        for change in found.changes:
            place = [f"c{n}" for n in names].index(change.category)

            def lead(
                t: float, rival: int, place: int = place, scores: np.ndarray = scores, leader: int = leader
            ) -> float:
                weights = given * (1 - t) / (1 - given[place])
                weights[place] = t
                return float((scores[leader] - scores[rival]) @ weights)

            roots = [
                optimize.brentq(lead, 0.0, 1.0, args=(rival,))
                for rival in range(3)
                if rival != leader and lead(0.0, rival) * lead(1.0, rival) < 0.0
            ]
            if not roots:
                assert change.needed is None
                continue
            met += 1
            assert change.needed == pytest.approx(min(roots, key=lambda root: abs(root - given[place])), abs=1e-9)
    assert met > 10


def test_models_with_a_gap_are_not_ranked_and_their_wins_are_bounds() -> None:
    gap = model("gap", right=measured(5.0), kind=measured(5.0))
    found = robustness(score_sheet(choice(A, B, gap)))
    assert found.unranked == ("gap",)
    assert set(found.ranks) == {"a", "b"}
    assert found.wins["gap"][0] < found.wins["gap"][1]
    assert robustness(score_sheet(choice(A, gap))).ranks == {}


def test_arguments_that_make_no_sense_are_refused() -> None:
    sheet = score_sheet(choice(A, B))
    for call in (lambda: compare(sheet, draws=0), lambda: robustness(sheet, concentration=0.0)):
        with pytest.raises(InputError, match="Expected"):
            call()
    with pytest.raises(InputError, match="is there twice"):
        Rubric((Category("a", "A", 1.0, (Criterion("a", "A", 1.0),)),))
    with pytest.raises(InputError, match="at least one"):
        Rubric(())
    with pytest.raises(InputError, match="above 0"):
        Rubric((Category("a", "A", 0.0, (Criterion("b", "B", 1.0),)),))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "circle", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


EVIL = '<script>alert(1)</script> | a" onload="x [b](javascript:alert(1)) https://example.com/a"b'


def test_the_page_and_the_record_show_texts_and_run_none() -> None:
    opinion = Opinion(EVIL, DAY, 3.0, EVIL)
    a = Model(name="a", measured=A.measured, speaks_for=(EVIL,))
    b = Model(name="b", measured={k: v for k, v in B.measured.items() if k != "price"}, opinions={"price": (opinion,)})
    decision = Decision("a", EVIL, DAY, EVIL)
    axes = {"quality": "total", "cost": "right", "latency": "kind"}
    made = report(choice(a, b, title=EVIL, decision=decision, axes=axes))
    page, tags = html(made), Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "svg" in tags.seen
    assert set(tags.links) == {"https://example.com/a"}
    text = markdown(made)
    assert "<script" not in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 6
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert re.search(r"(?<!\\)\]\(", text) is None


def test_the_record_is_the_same_each_time_and_names_what_a_decision_overrides() -> None:
    gap = model("gap", right=measured(1.0), kind=measured(1.0))
    decision = Decision("gap", "Ada", DAY, "it is the only one with a licence")
    given = choice(gap, A, B, decision=decision)
    text = markdown(report(given))
    assert text == markdown(report(given))
    assert "Ada chose gap on 2026-03-31: it is the only one with a licence" in text
    assert "gap was chosen without a score of price." in text
    assert "The rubric's total is highest for b." in text
    assert "missing: price was not measured" in text


def write(folder: Path, text: str) -> Path:
    path = folder / "x.rubric.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.skipif(not (ROOT / "suites").is_dir(), reason="the example is in the checkout")
def test_the_command_prints_the_example_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "suites" / "support" / "model.rubric.yaml")
    shown = {}
    for form in ("table", "json", "markdown", "html"):
        assert main(["rubric", file, "--format", form]) == 0
        shown[form] = capsys.readouterr().out
    found = json.loads(shown["json"])
    weights = found["shares"]
    scores = {name: {c: s["value"] for c, s in cells.items()} for name, cells in found["scores"].items()}
    for name, total in found["totals"].items():
        assert total["value"] == pytest.approx(sum(weights[c] * scores[name][c] for c in weights))
    assert sum(found["categories"].values()) == pytest.approx(1.0)
    leader = max(found["totals"], key=lambda name: found["totals"][name]["value"])
    for form in ("table", "markdown", "html"):
        assert f"{leader} has the highest total" in shown[form]
        assert "plain mean of its criteria" in shown[form]
    names = {name for name, _ in itertools.groupby(found["robustness"]["changes"], key=lambda c: c["category"])}
    assert names == {"performance", "responsibility", "deployment", "language"}


def test_the_command_tells_every_mistake_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "rubric: A model\ndate: never\nuse: playbook\nmodels: {a: {}, b: {}}\n")
    assert main(["rubric", str(path)]) == 2
    assert f"{path}:2:7: expected `date` to be a date" in capsys.readouterr().err
    assert main(["rubric", str(tmp_path / "none.rubric.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_models_of_which_nothing_is_known_are_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "rubric: A model\ndate: 2026-03-31\nuse: playbook\nmodels: {a: {}, b: {}}\n")
    assert main(["rubric", str(path)]) == 0
    out = capsys.readouterr().out
    assert "Open: every model lacks scores" in out
    assert "1.00 to 5.00" in out
