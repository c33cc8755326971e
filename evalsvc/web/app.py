"""The web application: overview, alerts, verdicts, estimates as JSON or CSV, workers' health, ``POST /v1/events``.

Reading is open to whoever reaches the address; it is meant for loopback or a private network. Sending events
can be given a token (:class:`evalsvc.sources.http.HttpSource`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from evalsvc._health import liveness, readiness, state
from evalsvc.clock import SystemClock
from evalsvc.errors import EvalsvcError, InputError, MissingExtra
from evalsvc.protocols import Clock, ScoreStore
from evalsvc.query import (
    EstimateQuery,
    LabelledEstimate,
    csv_columns,
    estimates,
    to_csv_row,
    to_json,
    with_worst_case,
)
from evalsvc.query_gaps import with_gaps
from evalsvc.rules.values import RuleGroup
from evalsvc.scorer_notes import noted, scorer_notes
from evalsvc.types import Window, WorkerStatus
from evalsvc.web import overview
from evalsvc.web.alerts import AlertPages
from evalsvc.web.answers import HEADERS, code_of, json_answer
from evalsvc.web.page import SPANS, View, lines, render, render_error
from evalsvc.web.verdicts import VerdictPages
from evalsvc.web.wording import count
from evalsvc.windows import parse_duration, parse_since, parse_span

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from evalsvc.ruler import RulerStatus

STEPS: Mapping[str, str] = {"24h": "1h", "7d": "6h", "14d": "1d", "30d": "1d"}
_REPEATED = frozenset({"metric", "by", "where"})
_WORST = frozenset({"worst_case", "threshold"})
_PARAMETERS = _REPEATED | _WORST | {"since", "until", "window", "statistic", "per", "confidence", "format"}


class RulerReporter(Protocol):
    """A ruler, as far as the web application is concerned."""

    consumer: str

    def status(self) -> RulerStatus:
        """Return what it is doing."""
        ...


class Reporter(Protocol):
    """A worker, as far as the web application is concerned."""

    consumer: str

    def status(self) -> WorkerStatus:
        """Return what was done so far."""
        ...


def create_app(
    store: ScoreStore,
    workers: Sequence[Reporter] = (),
    routes: Sequence[BaseRoute] = (),
    metrics: Callable[[], bytes] | None = None,
    clock: Clock | None = None,
    ruler: RulerReporter | None = None,
    rules: Sequence[RuleGroup] = (),
) -> Starlette:
    """Return the ASGI application.

    Args:
        store: where the estimates come from.
        workers: those of this process, for ``/readyz`` and the page's foot.
        routes: more routes, as ``HttpSource.routes()`` gives them.
        metrics: what ``/metrics`` answers.
        clock: what "now" is.
        ruler: that of this process, for ``/readyz`` and the page's foot.
        rules: the project's, for the limits that the pages of alerts show.

    Raises:
        MissingExtra: without Starlette.
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtra("starlette", "web") from error
    alerts = AlertPages(store, clock or SystemClock(), rules)
    verdicts = VerdictPages(store, clock or SystemClock())
    pages = _Pages(store, tuple(workers), metrics, clock or SystemClock(), alerts, verdicts, ruler)
    own = [
        Route("/", pages.overview),
        Route("/v1/estimates", pages.estimates),
        Route("/v1/metrics", pages.metrics_known),
        Route("/v1/status", pages.status),
        Route("/metrics", pages.prometheus),
        Route("/livez", pages.alive),
        Route("/readyz", pages.ready),
    ]
    own += [*alerts.routes(), *verdicts.routes()]
    return Starlette(routes=[*own, *routes], exception_handlers={EvalsvcError: _refuse, HTTPException: _no_such})


class _Pages:
    """The endpoints. They are plain functions: Starlette runs them in threads, where the store may block."""

    def __init__(
        self,
        store: ScoreStore,
        workers: tuple[Reporter, ...],
        metrics: Callable[[], bytes] | None,
        clock: Clock,
        alerts: AlertPages,
        verdicts: VerdictPages,
        ruler: RulerReporter | None,
    ) -> None:
        self.store, self.workers, self.metrics, self.clock = store, workers, metrics, clock
        self.alerts, self.verdicts, self.ruler = alerts, verdicts, ruler

    @property
    def _own(self) -> Sequence[Reporter | RulerReporter]:
        return (*self.workers, *([self.ruler] if self.ruler else []))

    def overview(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        try:
            return HTMLResponse(self._page(request.query_params.get("since", "14d")), headers=HEADERS)
        except EvalsvcError as error:
            return HTMLResponse(render_error(str(error)), code_of(error), headers=HEADERS)

    def _page(self, since: str) -> str:
        if since not in SPANS:
            raise InputError(
                f"Expected `since` to be one of {', '.join(SPANS)}, but got {since!r}; /v1/estimates takes any span"
            )
        now = self.clock.now()
        span = Window(parse_since(since, now), now)
        rows = overview.rows(self.store, span, int(parse_duration(STEPS[since]).total_seconds()))
        states = lines(self._states())
        return render(View(rows, span, since, STEPS[since], states, self.alerts.board(), self.verdicts.last()))

    def estimates(self, request: Request) -> Response:
        from starlette.responses import JSONResponse, PlainTextResponse

        store = overview.snapshot(self.store)
        form = request.query_params.get("format", "json")
        if form not in ("json", "csv"):
            raise InputError(f"Expected `format` to be json or csv, but got {form!r}")
        queries = _queries(request, store, self.clock)
        worst = _flag(request.query_params.get("worst_case", "false"))
        threshold = _threshold(request.query_params.get("threshold"), worst=worst)
        per = request.query_params.get("per", "")
        if per and (worst or "metric" not in request.query_params):
            raise InputError(
                "Expected `per` with a `metric` to divide, and without `worst_case`, which knows no ratios"
            )
        found = [row for query in queries for row in _answer(store, query, threshold, worst=worst, per=per)]
        if queries:
            found = noted(with_gaps(found, queries[0]), scorer_notes(store, (row.metric for row in found), queries[0]))
        if form == "csv":
            by = queries[0].by if queries else ()
            return PlainTextResponse(_csv(found, by, worst=worst), media_type="text/csv", headers=HEADERS)
        return JSONResponse({"estimates": [to_json(row) for row in found]}, headers=HEADERS)

    def metrics_known(self, request: Request) -> Response:
        return json_answer({"metrics": self.store.metrics()})

    def status(self, request: Request) -> Response:
        ruler = {"ruler": self.ruler.status()._asdict()} if self.ruler else {}
        return json_answer({"workers": {worker.consumer: worker.status() for worker in self.workers}, **ruler})

    def prometheus(self, request: Request) -> Response:
        from starlette.responses import Response

        return Response(self.metrics() if self.metrics else b"", media_type="text/plain; version=0.0.4")

    def alive(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        code, text = liveness(self._own)
        return PlainTextResponse(text, code)

    def ready(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        code, text = readiness(self._own)
        return PlainTextResponse(text, code)

    def _states(self) -> list[tuple[str, str]]:
        states = [(worker.consumer, describe(worker.status())) for worker in self.workers]
        return states if self.ruler is None else [*states, ("ruler", _looking(self.ruler.status()))]


def _looking(status: RulerStatus) -> str:
    """Return a ruler's state as half a sentence."""
    if status.failed or status.waiting_for or not status.alive:
        return state(status)
    looks = f"{count(status.looks, 'look')} at the alert rules"
    missed = f", {status.missed:,} missed" if status.missed else ""
    return f"{looks}{missed}" if status.leads else "stands by for the ruler that leads"


def describe(status: WorkerStatus) -> str:
    """Return a worker's state as half a sentence."""
    now = state(status)
    if now not in ("reading", "finished"):
        return now
    done = (
        f"{count(status.read, 'record')} read, {status.sampled:,} sampled, {count(status.scores, 'score')}, "
        f"{count(status.dead, 'dead letter')}"
    )
    return f"{now}; {done}, {status.lag:,} waiting" if now == "reading" else f"{now}; {done}"


def _queries(request: Request, store: ScoreStore, clock: Clock) -> list[EstimateQuery]:
    """Return a query for each metric asked for, all with the same other parameters."""
    given = request.query_params
    if unknown := sorted(set(given) - _PARAMETERS):
        raise InputError(f"Expected parameters of {', '.join(sorted(_PARAMETERS))}, but got {', '.join(unknown)}")
    if twice := sorted(name for name in set(given) - _REPEATED if len(given.getlist(name)) > 1):
        raise InputError(f"Expected {', '.join(twice)} once, but got it several times")
    now = clock.now()
    span = parse_span(given.get("since", "24h"), given.get("until", "now"), now)
    window = given.get("window")
    query = EstimateQuery(
        "",
        span,
        int(parse_duration(window).total_seconds()) if window else max(1, int(span.seconds)),
        by=tuple(name for text in given.getlist("by") for name in text.split(",") if name),
        where=_where(given.getlist("where")),
        statistic=given.get("statistic", "mean"),
        confidence=_number("confidence", given.get("confidence", "0.95"), "0.95"),
    )
    metrics = given.getlist("metric") or sorted({spec.metric for spec in store.metrics()})
    return [query._replace(metric=metric) for metric in dict.fromkeys(metrics)]


def _where(texts: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    where: dict[str, tuple[str, ...]] = {}
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"Expected `where` as FIELD=VALUE, but got {text!r}")
        where[field] = (*where.get(field, ()), value)
    return where


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise InputError(f"Expected `worst_case` to be true or false, but got {text!r}")
    return text == "true"


def _threshold(text: str | None, *, worst: bool) -> float | None:
    if text is None:
        return None
    if not worst:
        raise InputError("Expected `threshold` with worst_case=true, which says whether missing scores could cross it")
    return _number("threshold", text, "0.9")


def _number(name: str, text: str, example: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"Expected `{name}` as a number such as {example}, but got {text!r}")
    return found


def _answer(
    store: ScoreStore, query: EstimateQuery, threshold: float | None, *, worst: bool, per: str
) -> Sequence[LabelledEstimate]:
    if per:
        from evalsvc.query_ratio import ratio_estimates

        return ratio_estimates(store, query, per)
    rows = estimates(store, query)
    return with_worst_case(store, query, rows, threshold) if worst else rows


def _csv(found: Sequence[LabelledEstimate], by: Sequence[str], *, worst: bool) -> str:
    """Return the rows under a header that depends on the question alone: an empty answer has it too."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.DictWriter(out, csv_columns(by, worst_case=worst))
    writer.writeheader()
    writer.writerows(map(to_csv_row, found))
    return out.getvalue()


async def _refuse(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": str(error)}, code_of(error), headers=HEADERS)


async def _no_such(request: Request, error: Exception) -> Response:
    """Answer what no route takes; the paths that there are depend on the consumers."""
    from starlette.responses import JSONResponse

    code, headers = getattr(error, "status_code", 404), getattr(error, "headers", None) or {}
    paths = sorted({getattr(route, "path", "/") for route in request.app.routes})
    said = f"Expected one of {', '.join(paths)}, but got {request.method} {request.url.path}"
    if request.url.path == "/v1/events" and code == 404:
        said += "; no consumer of this process has an `http` source"
    message = said if code in (404, 405) else str(getattr(error, "detail", error))
    return JSONResponse({"error": message}, code, headers={**HEADERS, **headers})
