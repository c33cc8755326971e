"""Contract checks for stores: what any :class:`~evalsvc.protocols.ScoreStore` holds in any order of writes.

Each check takes an empty store and raises ``AssertionError`` with what was promised and what came::

    from evalsvc.testing.stores import check_store

    def test_my_store() -> None:
        check_store(lambda: MyStore())

Longer than a file should be, since who writes a store reads the whole contract.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from evalsvc.protocols import (
    CellColumns,
    CellGroup,
    CellQuery,
    DeadLetterQuery,
    MissingReason,
    ScoreStore,
    StatisticSums,
    StatusQuery,
)
from evalsvc.stats.quantile import bin_of
from evalsvc.testing._expected import expect, refused
from evalsvc.types import (
    Cell,
    DeadLetter,
    DeadReason,
    Event,
    KeptEvent,
    KnownEvent,
    LedgerCount,
    LedgerEntry,
    LedgerOutcome,
    Sample,
    Scale,
    Score,
    ScorerSpec,
    Status,
    Subject,
    Window,
    WriteBatch,
)

MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)
"""A Sunday on which Europe's clocks change: a store that thinks in local hours shows it."""

DAY = Window(MIDNIGHT, MIDNIGHT + timedelta(days=1))
HOUR = 3600


def check_store(factory: Callable[[], ScoreStore]) -> None:
    """Run every check, each on a fresh, empty store of ``factory``, which it closes."""
    for check in STORE_CHECKS:
        store = factory()
        try:
            check(store)
        finally:
            store.close()


def make_subject(index: int, **changes: object) -> Subject:
    """Return the facts of the ``index``-th event: a pure function of it, as of a real event's id.

    Events come every 7 minutes from :data:`MIDNIGHT`; applications, versions, languages and strata alternate.
    """
    facts: dict[str, object] = {
        "event_id": f"event-{index}",
        "occurred_at": MIDNIGHT + timedelta(minutes=7 * index, microseconds=index),
        "consumer": "quality",
        "application": f"app-{index % 3}",
        "model": "model",
        "model_version": f"v{index % 2}",
        "segments": {"language": "de"} if index % 2 else {"language": "en", "tier": f"t{index % 5}"},
        "session_id": f"session-{index // 4}" if index % 5 else "",
        "stratum": f"stratum-{index % 2}",
        "design_version": 1,
    }
    return Subject(**{**facts, **changes})  # type: ignore[arg-type]


def make_score(
    index: int,
    value: float | None = 0.5,
    metric: str = "quality",
    status: Status | None = None,
    subject: Subject | None = None,
    reason: str = "no answer",
) -> Score:
    """Return a score of the ``index``-th event; without a value ``abstained``, or what ``status`` says."""
    pi = 0.25 if index % 2 else 1.0
    state: Status = status or ("abstained" if value is None else "ok")
    why = reason if value is None else ""
    return Score(subject or make_subject(index), metric, 1, "options:none", pi, state, value, why)


def check_same_score_counts_once(store: ScoreStore) -> None:
    """Written twice, re-cut and shuffled, scores change no aggregate: raw or rolled up."""
    scores = [make_score(index, index % 8 / 8) for index in range(120)]
    _write(store, scores)
    before = _both(store)
    shuffled = random.Random(7).sample(scores, len(scores))  # noqa: S311
    for start in range(0, len(shuffled), 37):
        _write(store, shuffled[start : start + 37])
    expect("aggregates after redelivery with other boundaries", before, _both(store))
    expect("the number of scores", 120, _n(before[0]))


def check_order_of_versions_is_no_matter(store: ScoreStore) -> None:
    """Of versions of one score the same one stays in any order: ok before abstained before failed."""
    orders: list[tuple[int, ...]] = [(0, 1, 2), (2, 1, 0), (1, 2, 0)]
    for index, order in enumerate(orders):
        subject = make_subject(0, event_id=f"order-{index}", application=f"order-{index}")
        versions = [
            make_score(0, None, status="failed", subject=subject),
            make_score(0, None, status="abstained", subject=subject),
            make_score(0, 0.75, subject=subject),
        ]
        for place in order:
            _write(store, [versions[place]])
    for pair, twins in enumerate(((0.25, 0.5), (0.5, 0.25))):
        for value in twins:
            subject = make_subject(0, event_id="twin", application=f"twin-{pair}")
            _write(store, [make_score(0, value, subject=subject)])
    groups = store.cells(CellQuery("quality", DAY, HOUR, ("application",)))
    totals = {
        group.key["application"]: [(c.n, c.n_abstained, c.n_failed, c.total) for c in group.cells] for group in groups
    }
    for index in range(3):
        expect(
            f"what stays of three versions in order {orders[index]}",
            [(1, 0, 0, 0.75)],
            totals[f"order-{index}"],
        )
    expect("what stays of two ok values in either order", totals["twin-0"], totals["twin-1"])


def check_unscored_is_counted(store: ScoreStore) -> None:
    """Abstained and failed scores are counted beside the values and never enter a sum."""
    _write(store, [make_score(0, 1.0), make_score(2, None), make_score(4, None, status="failed")])
    (group,) = store.cells(CellQuery("quality", DAY, 24 * HOUR))
    (cell,) = group.cells
    found = (cell.n, cell.n_abstained, cell.n_failed, cell.total, cell.squares, cell.minimum, cell.maximum)
    expect("n, abstained, failed, Σ, Σ², minimum, maximum", (1, 1, 1, 1.0, 1.0, 1.0, 1.0), found)
    _write(store, [make_score(0, None, metric="silent")])
    (group,) = store.cells(CellQuery("silent", DAY, 24 * HOUR))
    silent = (group.cells[0].n, group.cells[0].minimum, group.cells[0].maximum)
    expect("n and extremes where nothing was scored", (0, None, None), silent)


def check_windows_are_half_open(store: ScoreStore) -> None:
    """A moment on a boundary belongs to the later step, and steps count from the window's start."""
    noon = MIDNIGHT + timedelta(hours=12)
    moments = [
        noon - timedelta(microseconds=1),
        noon,
        noon + timedelta(minutes=30),
        noon + timedelta(hours=1),
    ]
    subjects = [make_subject(0, event_id=f"edge-{place}", occurred_at=moment) for place, moment in enumerate(moments)]
    _write(store, [make_score(0, 2.0**place, subject=subject) for place, subject in enumerate(subjects)])
    for start, end, step, expected in (
        (noon, noon + timedelta(hours=1), HOUR, {noon: 6.0}),
        (
            noon - timedelta(hours=1),
            noon + timedelta(hours=2),
            HOUR,
            {noon - timedelta(hours=1): 1.0, noon: 6.0, noon + timedelta(hours=1): 8.0},
        ),
        (
            noon - timedelta(minutes=30),
            noon + timedelta(hours=3),
            5400,
            {noon - timedelta(minutes=30): 7.0, noon + timedelta(hours=1): 8.0},
        ),
        (noon, noon + timedelta(minutes=31), 900, {noon: 2.0, noon + timedelta(minutes=30): 4.0}),
    ):
        groups = store.cells(CellQuery("quality", Window(start, end), step))
        found = {group.window.start: sum(cell.total for cell in group.cells) for group in groups}
        expect(f"sums by step of {step} s from {start.time()} to {end.time()}", expected, found)
        expect("that no step passes the window's end", True, all(group.window.end <= end for group in groups))


def check_groups_and_filters(store: ScoreStore) -> None:
    """``by`` splits and ``where`` selects by columns and segments; an absent segment is the empty text."""
    _write(store, [make_score(index, 1.0) for index in range(60)])
    groups = store.cells(CellQuery("quality", DAY, 24 * HOUR, ("segments.tier", "model_version")))
    found = {(group.key["segments.tier"], group.key["model_version"]): _n([group]) for group in groups}
    expected = {("", "v1"): 30, **{(f"t{tier}", "v0"): 6 for tier in range(5)}}
    expect("counts by tier and version", expected, found)
    where = {"application": ("app-0", "app-1"), "segments.language": ("en",)}
    expect("a filtered count", 20, _n(store.cells(CellQuery("quality", DAY, 24 * HOUR, (), where))))
    expect("a count of nothing", [], list(store.cells(CellQuery("quality", DAY, 24 * HOUR, (), {"model": ()}))))
    strata = {cell.stratum: (cell.pi, cell.n) for cell in store.cells(CellQuery("quality", DAY, 24 * HOUR))[0].cells}
    expect("π and n by stratum", {"stratum-0": (1.0, 30), "stratum-1": (0.25, 30)}, strata)
    for wrong in ("stratum", "segments.", "event_id; DROP TABLE scores"):
        refused(f"by={wrong!r}", lambda name=wrong: store.cells(CellQuery("quality", DAY, HOUR, (name,))))  # type: ignore[misc]


def check_versions_are_not_pooled(store: ScoreStore) -> None:
    """Scores of two scorer versions, signatures or consumers stand in groups of their own."""
    base = make_score(0)
    other = make_subject(0, consumer="canary")
    variants = [
        base,
        Score(base.subject, "quality", 2, base.signature, base.pi, "ok", 0.5),
        Score(base.subject, "quality", 1, "options:other", base.pi, "ok", 0.5),
        Score(other, "quality", 1, base.signature, base.pi, "ok", 0.5),
    ]
    _write(store, variants)
    groups = store.cells(CellQuery("quality", DAY, 24 * HOUR))
    found = sorted((group.consumer, group.scorer_version, group.signature, _n([group])) for group in groups)
    expected = sorted((s.subject.consumer, s.scorer_version, s.signature, 1) for s in variants)
    expect("one group a consumer, version and signature", expected, found)


def check_cluster_moments(store: ScoreStore) -> None:
    """With ``clusters`` the sums over sessions (or events without one) come with the cells."""
    values = {"a": (0.5, 0.25), "b": (1.0,), "": (0.125, 0.75)}
    scores, index = [], 0
    for session, members in values.items():
        for value in members:
            subject = make_subject(0, event_id=f"member-{index}", session_id=session)
            scores.append(make_score(0, value, subject=subject))
            index += 1
    _write(store, scores)
    (group,) = store.cells(CellQuery("quality", DAY, 24 * HOUR, clusters=True))
    (cell,) = group.cells
    totals = [(2, 0.75), (1, 1.0), (1, 0.125), (1, 0.75)]
    expected = (
        4,
        sum(n * n for n, _ in totals),
        sum(n * total for n, total in totals),
        sum(total * total for _, total in totals),
    )
    found = (cell.clusters, cell.cluster_n2, cell.cluster_ny, cell.cluster_y2)
    expect("clusters, Σn², Σn·y, Σy²", expected, found)
    awkward = 'plan="a"/\\\'ü\u2028\t%2C|always=q'
    subjects = [
        make_subject(0, event_id=f"awkward-{place}", session_id="s'\"\\", stratum=awkward, segments={"tier": awkward})
        for place in range(2)
    ]
    _write(store, [Score(subject, "awkward", 1, awkward, 0.3, "ok", 0.5) for subject in subjects])
    (group,) = store.cells(CellQuery("awkward", DAY, 24 * HOUR, ("segments.tier",), clusters=True))
    named = (group.signature, group.key["segments.tier"], group.cells[0].stratum, group.cells[0].clusters)
    expect("texts and clusters of awkward names", (awkward, awkward, awkward, 1), named)


def check_cells_since(store: ScoreStore) -> None:
    """Windows with one end are read at once, and each is what it is alone: a session is whole in each of them."""
    other = [msgspec.structs.replace(make_score(index), metric="other") for index in range(0, 40, 3)]
    _write(store, [*(make_score(index, None if index % 7 == 0 else index / 50) for index in range(40)), *other])
    starts = [DAY.start + timedelta(minutes=minutes) for minutes in (300, 20, 185)]
    for clusters, where in ((True, {}), (False, {"segments.language": ("de", "fr")})):
        query = CellQuery("", DAY, 1, ("segments.language",), where, clusters)
        found = store.cells_since(["quality", "other", "never"], query, starts)
        for metric in ("quality", "other", "never"):
            alone: list[CellGroup] = []
            for start in starts:
                window = Window(start, DAY.end)
                alone += store.cells(query._replace(metric=metric, window=window, step_seconds=int(window.seconds)))
            expect(f"groups of {metric}", list(map(_compared, alone)), list(map(_compared, found[metric])))
    outside = [DAY.start - timedelta(seconds=1)]
    refused("a start before the window", lambda: store.cells_since(["quality"], CellQuery("", DAY, 1), outside))


def _compared(group: CellGroup) -> tuple[object, ...]:
    return *group[:5], [_summed(cell) for cell in group.cells]


def check_group_counts(store: ScoreStore) -> None:
    """Groups are counted once, whatever their scorers, strata and steps; metrics without a score have none."""
    scores = [make_score(index, None if index % 7 == 0 else index / 50) for index in range(40)]
    _write(store, [*scores, *(msgspec.structs.replace(score, scorer_version=9) for score in scores[:5])])
    halves = Window(DAY.start + timedelta(minutes=30), DAY.start + timedelta(hours=2, minutes=5))
    for window, by, where in (
        (DAY, (), {}),
        (DAY, ("segments.language",), {}),
        (DAY, ("segments.language", "model_version"), {"segments.language": ("de", "fr")}),
        (halves, ("segments.language",), {}),
    ):
        query = CellQuery("", window, 3600, by, where)
        one = store.cells(query._replace(metric="quality", step_seconds=math.ceil(window.seconds)))
        expected = {"quality": len({(group.consumer, *group.key.values()) for group in one}), "never": 0}
        expect(f"groups by {by}", expected, dict(store.group_counts(["quality", "never"], query)))


def check_versions(store: ScoreStore) -> None:
    """An hour's number changes with every write to it, and with no other."""
    _write(store, [make_score(0), make_score(1)])
    hours = [score.subject.occurred_at.replace(minute=0, second=0, microsecond=0) for score in (make_score(0),)]
    before = store.versions(["quality", "never"], DAY)
    expect("the metrics and hours that were written to", True, ("quality", hours[0]) in before)
    expect("numbers where nothing was written", before, store.versions(["quality"], DAY))
    far = make_subject(3, occurred_at=DAY.start + timedelta(hours=20, minutes=59))
    _write(store, [make_score(3, 0.5, subject=far)])
    after = store.versions(["quality"], DAY)
    late = ("quality", DAY.start + timedelta(hours=20))
    expect("the hour written to, and no other", {late}, {hour for hour in after if before.get(hour) != after[hour]})
    _write(store, [make_score(3, 0.25, subject=far)])
    expect("whether a second write shows", True, store.versions(["quality"], DAY)[late] != after[late])
    begun = Window(late[1], late[1] + timedelta(minutes=1))
    expect("hours that begin in a window", [late], list(store.versions(["quality"], begun)))


def check_histograms(store: ScoreStore) -> None:
    """Histograms count every ok value once, in bins of its sign and size, beside the cells, which count the rest."""
    values = [0.0, 0.3, 0.3, -0.3, 4000.0, 1.0]
    scores = [make_score(2 * place, value) for place, value in enumerate(values)]
    _write(store, [*scores, *scores, make_score(20, None)])
    query = CellQuery("quality", DAY, 24 * HOUR)
    (group,) = store.histograms(query)
    expected: dict[int, int] = {}
    for value in values:
        expected[bin_of(value)] = expected.get(bin_of(value), 0) + 1
    expect(
        "bins by stratum",
        {("stratum-0", 1, 1.0): expected},
        {key: dict(bins) for key, bins in group.bins.items()},
    )
    expect("the cells", list(store.cells(query)), [group.group])
    expect("the number without a value", 1, sum(cell.n_abstained + cell.n_failed for cell in group.group.cells))


def check_statistics(store: ScoreStore) -> None:
    """Statistics and their products are summed over scores that have some, by event or by session; twice is once."""
    rows = {0: (1.0, 2.0), 2: (3.0, 0.5), 4: (0.0, 4.0)}
    scores = [
        msgspec.structs.replace(
            make_score(index, subject=make_subject(index, session_id="both" if index else "")), statistics=row
        )
        for index, row in rows.items()
    ]
    _write(store, [*scores, *scores, make_score(6, 0.5), make_score(8, None)])
    query = CellQuery("quality", DAY, 24 * HOUR)
    (group,) = store.statistics(query)
    expect("the cells", list(store.cells(query)), [group.group])
    cell = ("stratum-0", 1, 1.0)
    alone = StatisticSums(3, [4.0, 6.5], [3.0, 4.0, 6.5, 10.0, 3.5, 20.25], 3)
    expect("sums by stratum", {cell: alone}, {key: _listed(sums) for key, sums in group.sums.items()})
    (group,) = store.statistics(query._replace(clusters=True))
    # The session's sums are (2 events, 3, 4.5).
    together = StatisticSums(3, [4.0, 6.5], [5.0, 7.0, 11.0, 10.0, 15.5, 24.25], 2)
    expect("sums by session", {cell: together}, {key: _listed(sums) for key, sums in group.sums.items()})


def check_feature_sums(store: ScoreStore) -> None:
    """Features are summed by step, group and stratum, over the hours of a step too; twice is once."""
    rows = {0: (1.0, 0.0, 2.0), 2: (0.0, 1.0, 0.5), 4: (1.0, 0.0, 4.0)}
    scores = [msgspec.structs.replace(make_score(index), statistics=row) for index, row in rows.items()]
    _write(store, [*scores, *scores, make_score(6, None)])
    cell = ("stratum-0", 1, 1.0)
    query = CellQuery("quality", DAY, 24 * HOUR)
    (group,) = store.feature_sums(query)
    expect("the cells", list(store.cells(query)), [group.group])
    expect("sums of the day", {cell: [2.0, 1.0, 6.5]}, {key: list(held) for key, held in group.sums.items()})
    late = msgspec.structs.replace(make_score(60), statistics=(0.0, 1.0, 8.0))
    _write(store, [late])
    hours = {each.group.window.start: each.sums for each in store.feature_sums(query._replace(step_seconds=HOUR))}
    found = [list(total) for sums in hours.values() for total in sums.values()]
    expect("Σ of all hours", [2.0, 2.0, 14.5], [sum(column) for column in zip(*found, strict=True)])
    none = store.feature_sums(query._replace(where={"application": ("nobody",)}))
    expect("groups of nobody", [], list(none))


def _listed(sums: StatisticSums) -> StatisticSums:
    return sums._replace(total=list(sums.total), products=list(sums.products))


def check_cell_columns(store: ScoreStore) -> None:
    """Columns hold the cells of every metric that was asked for, groups in the order of their keys."""
    other = [msgspec.structs.replace(make_score(index), metric="other") for index in range(0, 40, 3)]
    _write(store, [*(make_score(index, None if index % 7 == 0 else index / 50) for index in range(40)), *other])
    query = CellQuery("", DAY, 24 * HOUR, by=("segments.language", "model_version"))
    late = query._replace(window=Window(DAY.start + timedelta(minutes=20), DAY.end), by=("consumer", "application"))
    hourly = query._replace(step_seconds=HOUR, by=())
    for asked in (query, query._replace(clusters=True), hourly, late, late._replace(step_seconds=2 * HOUR)):
        found = store.cell_columns(["quality", "other", "never"], asked)
        expected = [
            (metric, *group[:5], [_summed(cell) for cell in group.cells])
            for metric, groups in sorted(store.cells_by_metric(["quality", "other"], asked).items())
            for group in groups
        ]
        expect("groups with their cells", expected, _in_rows(found))
    none = store.cell_columns(["quality"], query._replace(where={"application": ("nobody",)}))
    expect("groups of nobody", [], _in_rows(none))


def _in_rows(columns: CellColumns) -> list[tuple[Any, ...]]:
    groups = zip(columns.metric.tolist(), columns.place.tolist(), columns.scorer.tolist(), strict=True)
    rows = [(columns.metrics[m], *columns.places[p], *columns.scorers[s], []) for m, p, s in groups]
    cells = zip(*(column.tolist() for column in columns[7:]), strict=True)
    for group, stratum, *sums in cells:
        rows[group][-1].append(_rounded((*columns.strata[stratum], *sums)))
    return rows


def _rounded(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row whose sums of floats may have been added up in any order."""
    return tuple(float(f"{value:.12g}") if isinstance(value, float) else value for value in row)


def _summed(cell: Cell) -> tuple[Any, ...]:
    """Return what columns hold of a cell: all but its least and greatest value."""
    return _rounded([getattr(cell, name) for name in Cell.__struct_fields__ if name not in ("minimum", "maximum")])


def check_scores(store: ScoreStore) -> None:
    """Raw scores come back as they were written, each once; of too many, the first by their event ids' MD5."""
    scores = [make_score(index, None if index % 7 == 3 else index / 64) for index in range(60)]
    scores = [msgspec.structs.replace(s, statistics=(s.value, 1.0)) if s.value is not None else s for s in scores]
    _write(store, [*scores, make_score(1, 0.5, metric="other")])
    _write(store, scores[10:40])
    query = CellQuery("quality", DAY, HOUR)
    by_digest = sorted(scores, key=lambda score: hashlib.md5(score.subject.event_id.encode()).digest())  # noqa: S324
    expect("all raw scores", by_digest, list(store.scores(query, 1000)))
    expect("a part of the raw scores", by_digest[:7], list(store.scores(query, 7)))
    german = [score for score in by_digest if score.subject.segments["language"] == "de"]
    where = query._replace(where={"segments.language": ("de",)})
    expect("the raw scores of a segment", german, list(store.scores(where, 1000)))
    early = [score for score in by_digest if score.subject.occurred_at < MIDNIGHT + timedelta(hours=1)]
    hour = query._replace(window=Window(MIDNIGHT, MIDNIGHT + timedelta(hours=1)))
    expect("the raw scores of an hour", early, list(store.scores(hour, 1000)))
    refused("raw scores of no column", lambda: store.scores(query._replace(where={"plan": ("pro",)}), 5))


def check_missing_reasons(store: ScoreStore) -> None:
    """Scores without a value are counted by status and reason, each once, within window and ``where``."""
    scores = [make_score(index, None, reason="no reference") for index in (0, 2, 4)]
    scores += [make_score(1, None, status="failed", reason="broke"), make_score(3, 0.5)]
    _write(store, [*scores, *scores, make_score(5, None, metric="other")])
    query = CellQuery("quality", DAY, 24 * HOUR)
    abstained, failed = MissingReason("abstained", "no reference", 3), MissingReason("failed", "broke", 1)
    expect("all reasons", [abstained, failed], list(store.missing(query, 10)))
    expect("the most frequent one", [abstained], list(store.missing(query, 1)))
    german = query._replace(where={"segments.language": ("de",)})
    expect("those of a segment", [failed], list(store.missing(german, 10)))


def check_statuses(store: ScoreStore) -> None:
    """Events are told by the status of the score that stays, of one consumer, scorer, version and signature."""
    failed = [make_score(index, None, status="failed") for index in range(6)]
    _write(store, [*failed, make_score(6, None), make_score(7)])
    _write(store, [make_score(0, 0.5), make_score(1, None), make_score(2, None, status="failed", reason="again")])
    _write(store, [failed[0], make_score(3, 0.5, metric="other"), make_score(3, subject=make_subject(3, consumer="x"))])
    spec = ScorerSpec("quality", 1, Scale(0.0, 1.0, "higher"), signature="options:none")
    query = StatusQuery("quality", spec, ("failed",), DAY)
    ids = [f"event-{index}" for index in range(8)]
    expect("what failed and still does", set(ids[2:6]), set(store.with_status(query, [*ids, "absent"])))
    expect("of those asked for", {ids[5]}, set(store.with_status(query, ids[5:])))
    both = query._replace(statuses=("failed", "abstained"))
    expect("two statuses", set(ids[1:7]), set(store.with_status(both, ids)))
    early = query._replace(window=Window(MIDNIGHT, failed[4].subject.occurred_at))
    expect("those of a window", set(ids[2:4]), set(store.with_status(early, ids)))
    for what, other in (
        ("another consumer's", query._replace(consumer="x")),
        ("another version's", query._replace(spec=msgspec.structs.replace(spec, version=2))),
        ("another signature's", query._replace(spec=msgspec.structs.replace(spec, signature=""))),
        ("another metric's", query._replace(spec=msgspec.structs.replace(spec, metric="other"))),
    ):
        expect(what, set(), set(store.with_status(other, ids)))
    expect("of none", set(), set(store.with_status(query, [])))


def check_rollups_follow_writes(store: ScoreStore) -> None:
    """What was read once is not stale after the next write: new rows and replaced rows show."""
    query = CellQuery("quality", DAY, HOUR)
    _write(store, [make_score(index, None, status="failed") for index in range(30)])
    expect("failures at first", (0, 30), _counts(store.cells(query)))
    _write(store, [make_score(index, 0.5) for index in range(10)])
    expect("after ten were scored after all", (10, 20), _counts(store.cells(query)))
    _write(store, [make_score(index, 0.5) for index in range(200, 205)])
    expect(
        "after scores of later hours",
        (15, 20),
        _counts(store.cells(CellQuery("quality", Window(DAY.start, DAY.end + timedelta(days=1)), HOUR))),
    )
    whole = store.cells(CellQuery("quality", DAY, 24 * HOUR))
    cut = Window(DAY.start + timedelta(minutes=10), DAY.end - timedelta(minutes=10))
    edges = _counts(store.cells(CellQuery("quality", cut, 24 * HOUR)))
    inside = sum(cut.start <= make_subject(index).occurred_at < cut.end for index in (*range(30), *range(200, 205)))
    expect("the whole day", (15, 20), _counts(whole))
    expect("a window that cuts hours", inside, sum(edges))


def check_ledger_resumes(store: ScoreStore) -> None:
    """The last chunk comes back whole, as of its greatest ``upto``, whatever the order of the writes."""
    expect("the entry of a partition that nobody read", None, store.resume("quality", "events/0"))
    old = _ledger(0, 100, (10, "sampled", 1), (10, "skipped", 99))
    new = _ledger(0, 150, (10, "duplicate", 1), (10, "skipped", 148), (11, "sampled", 1))
    for entry in (new, old):
        store.write(WriteBatch(ledger=(entry,)))
    other = _ledger(0, 7, (1, "dead", 7), partition="events/1")
    store.write(WriteBatch(ledger=(other,)))
    expect("the chunk's entry", new, store.resume("quality", "events/0"))
    expect("what became of every record", 157, sum(store.outcomes("quality").values()))
    later = _ledger(500, 501, (12, "skipped", 1))
    store.write(WriteBatch(ledger=(later,)))
    expect("the next chunk's entry", later, store.resume("quality", "events/0"))
    expect("another partition's entry", other, store.resume("quality", "events/1"))
    expect("another consumer's entry", None, store.resume("canary", "events/0"))


def check_offered_is_exact(store: ScoreStore) -> None:
    """What was offered is sampled + skipped + duplicate by the minute, in whatever order it was written."""
    minute = int(MIDNIGHT.timestamp()) // 60
    outcomes: tuple[tuple[LedgerOutcome, int], ...] = (
        ("sampled", 3),
        ("skipped", 90),
        ("duplicate", 2),
        ("dead", 4),
    )
    hourly = [(minute + hour * 60, outcome, n) for hour in range(2) for outcome, n in outcomes]
    first = _ledger(0, 1100, (minute - 1, "skipped", 1000), *hourly[:4])
    second = _ledger(2000, 2099, *hourly[4:])
    stale = _ledger(0, 50, (minute, "skipped", 20), (minute + 7, "filtered", 30))
    for batch in ((first, second), (stale,), (second, first)):
        store.write(WriteBatch(ledger=batch))
    found = [(o.window.start.hour, o.stratum, o.offered, o.sampled, o.duplicate) for o in store.offered(DAY, HOUR)]
    expect("offered, sampled, duplicate by hour", [(0, "all", 95, 3, 2), (1, "all", 95, 3, 2)], found)
    expect("offered to another consumer", [], list(store.offered(DAY, HOUR, "canary")))
    everything = {"sampled": 6, "skipped": 1180, "duplicate": 4, "dead": 8}
    expect("what became of every record", everything, dict(store.outcomes("quality")))
    expect("what became of another consumer's", {}, dict(store.outcomes("canary")))
    (whole,) = store.offered(DAY, 24 * HOUR, "quality")
    expect("offered in the whole day", (190, 6, 4), (whole.offered, whole.sampled, whole.duplicate))


def check_known_events(store: ScoreStore) -> None:
    """Events are found by id and consumer; of two records under one id the same one stays in any order."""
    ids = [f"id-{index}" for index in range(300)] + ["with 'quotes' \\ and\ttabs\n", "ünï-✓"]
    store.write(WriteBatch(events=tuple(_kept(name, 10 + place) for place, name in enumerate(ids))))
    found = store.known([*ids, "absent"], "quality")
    expect(
        "what is known",
        {name: KnownEvent(f"digest-{10 + place}", "events/0", 10 + place) for place, name in enumerate(ids)},
        dict(found),
    )
    for first, second in ((5, 400), (400, 5)):
        name = f"twice-{first}"
        for offset in (first, second):
            store.write(WriteBatch(events=(_kept(name, offset),)))
        expect("the record that stays", 5, store.known([name], "quality")[name].offset)
    store.write(WriteBatch(events=tuple(_kept(name, 10 + place) for place, name in enumerate(ids))))
    expect("what is known after the same events came again", dict(found), dict(store.known(ids, "quality")))
    expect("another consumer's knowledge", {}, dict(store.known(ids, "canary")))
    expect("what is known of nothing", {}, dict(store.known([], "quality")))


def check_events(store: ScoreStore) -> None:
    """A kept event comes back whole by its id; of two under one id the earlier record's, and others not at all."""
    expect("events of an empty store", {}, store.events(["a"]))
    store.write(WriteBatch(events=(_kept("a", 9), _kept("b", 3))))
    first = _kept("a", 2)
    event = msgspec.structs.replace(first.sample.event, response="the first\nanswer", segments={"tier": "a'"})
    sample = msgspec.structs.replace(first.sample, event=event)
    store.write(WriteBatch(events=(msgspec.structs.replace(first, sample=sample),)))
    store.write(WriteBatch(events=(_kept("a", 9),)))
    expect("the events asked for", {"a": event}, dict(store.events(["a", "nobody"])))


def check_designs(store: ScoreStore) -> None:
    """A design's version is recorded once and never changed."""
    later = MIDNIGHT + timedelta(hours=1)
    for version, since in ((2, later), (1, MIDNIGHT), (2, later)):
        store.record_design("quality", version, since, f'{{"version":{version}}}')
    expected = [(1, MIDNIGHT, '{"version":1}'), (2, later, '{"version":2}')]
    expect("designs, oldest first", expected, list(store.designs("quality")))
    refused("a version with other content", lambda: store.record_design("quality", 2, later, "{}"))
    expect("designs after a refusal", expected, list(store.designs("quality")))
    expect("another consumer's designs", [], list(store.designs("canary")))


def check_scorers(store: ScoreStore) -> None:
    """Every version and signature of a scorer is remembered; recording again changes nothing."""
    scale = Scale(0.0, 1.0, "higher", "share")
    specs = [ScorerSpec("quality", version, scale, signature=mark) for version in (1, 2) for mark in ("a", "b")]
    for _ in range(2):
        store.record_scorers(specs)
    expect("the scorers that wrote here", specs, list(store.metrics()))


def check_dead_letters_and_empty_batches(store: ScoreStore) -> None:
    """Dead letters may come twice, an empty batch is no mistake, and a store may be closed twice."""
    for _ in range(2):
        store.write(WriteBatch(dead_letters=(_letter(3),)))
    store.write(WriteBatch())
    expect("aggregates of nothing", [], list(store.cells(CellQuery("quality", DAY, HOUR))))
    store.close()


def check_dead_letters_are_counted_by_place(store: ScoreStore) -> None:
    """A worker that starts asks how many of the last records were dead letters; each counts once."""
    for _ in range(2):
        store.write(WriteBatch(dead_letters=tuple(_letter(offset) for offset in (3, 5, 9))))
    store.write(WriteBatch(dead_letters=(_letter(4, partition="events/1"),)))
    for start, end, expected in ((0, 10, 3), (3, 9, 2), (6, 9, 0)):
        found = store.dead_letters_in("quality", "events/0", start, end)
        expect(f"dead letters at offsets [{start}, {end})", expected, found)
    expect("another partition's", 1, store.dead_letters_in("quality", "events/1", 0, 10))
    expect("another consumer's", 0, store.dead_letters_in("canary", "events/0", 0, 10))


def check_dead_letters_are_listed(store: ScoreStore) -> None:
    """Dead letters come back whole, each record's once, the newest first; reasons are counted with their first."""
    places = ((3, "not_json"), (4, "missing_field"), (5, "not_json"), (6, "not_json"))
    letters = [_letter(offset, reason=reason, minute=offset // 2) for offset, reason in places]
    other = _letter(9, consumer="canary", minute=9)
    for batch in ((letters[3], other), letters, letters[:2]):
        store.write(WriteBatch(dead_letters=tuple(batch)))
    hour, mine = Window(MIDNIGHT, MIDNIGHT + timedelta(hours=1)), "quality"
    expect("every letter, newest first", [other, *letters[::-1]], list(store.dead_letters(DeadLetterQuery(hour), 10)))
    query = DeadLetterQuery(hour, mine, "not_json")
    found = list(store.dead_letters(query, 2))
    expect("the two newest of one consumer and reason", [letters[3], letters[2]], found)
    early = DeadLetterQuery(Window(MIDNIGHT, letters[2].received_at), mine)
    expect("those received before a moment", letters[:1], list(store.dead_letters(early, 10)))
    first, second = letters[0], letters[1]
    expected = [
        DeadReason("not_json", 3, first.partition, first.offset, first.message, first.at),
        DeadReason("missing_field", 1, second.partition, second.offset, second.message, second.at),
    ]
    expect("records by reason, each with its first", expected, list(store.dead_reasons(DeadLetterQuery(hour, mine))))
    expect(
        "reasons of another consumer", 1, sum(r.records for r in store.dead_reasons(DeadLetterQuery(hour, "canary")))
    )


STORE_CHECKS: tuple[Callable[[ScoreStore], None], ...] = (
    check_same_score_counts_once,
    check_order_of_versions_is_no_matter,
    check_unscored_is_counted,
    check_windows_are_half_open,
    check_groups_and_filters,
    check_versions_are_not_pooled,
    check_cluster_moments,
    check_cells_since,
    check_group_counts,
    check_versions,
    check_histograms,
    check_statistics,
    check_feature_sums,
    check_cell_columns,
    check_scores,
    check_missing_reasons,
    check_statuses,
    check_rollups_follow_writes,
    check_ledger_resumes,
    check_offered_is_exact,
    check_known_events,
    check_events,
    check_designs,
    check_scorers,
    check_dead_letters_and_empty_batches,
    check_dead_letters_are_counted_by_place,
    check_dead_letters_are_listed,
)
"""All of them; each takes an empty store."""


def _both(store: ScoreStore) -> tuple[list[CellGroup], list[CellGroup]]:
    """The same scores as whole hours (rolled up) and as quarter hours (raw)."""
    window = Window(DAY.start, DAY.end + timedelta(days=1))
    return [
        list(store.cells(CellQuery("quality", window, step, ("application", "segments.language"))))
        for step in (HOUR, 900)
    ]  # type: ignore[return-value]


def _write(store: ScoreStore, scores: Sequence[Score]) -> None:
    store.write(WriteBatch(scores=tuple(scores)))


def _ledger(start: int, upto: int, *counts: tuple[int, LedgerOutcome, int], partition: str = "events/0") -> LedgerEntry:
    found = tuple(LedgerCount(minute, "all", 1, outcome, count) for minute, outcome, count in sorted(counts))
    return LedgerEntry("quality", partition, start, upto, found)


def _letter(
    offset: int, partition: str = "events/0", consumer: str = "quality", reason: str = "not_json", minute: int = 0
) -> DeadLetter:
    received = MIDNIGHT + timedelta(minutes=minute)
    return DeadLetter(consumer, partition, offset, received, reason, f"byte {offset}", 12, "digest", f"file:{offset}")


def _kept(event_id: str, offset: int) -> KeptEvent:
    event = Event(event_id=event_id, occurred_at=MIDNIGHT, application="app", prompt="question", response="answer")
    return KeptEvent(Sample(event, "quality", 1, "all", 0.5, 7, "events/0", offset), f"digest-{offset}")


def _n(groups: Iterable[CellGroup]) -> int:
    return sum(cell.n for group in groups for cell in group.cells)


def _counts(groups: Sequence[CellGroup]) -> tuple[int, int]:
    failed = sum(cell.n_failed for group in groups for cell in group.cells)
    return _n(groups), failed
