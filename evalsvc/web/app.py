"""The web application: the overview page, the estimates as JSON or CSV, the worker's health, and ``POST /v1/events``.

Reading is open to whoever reaches the address; it is meant for loopback or a private network. Sending events can be given
a token (:class:`evalsvc.sources.http.HttpSource`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evalsvc.clock import SystemClock
from evalsvc.errors import EvalsvcError, InputError, MissingExtra, StoreUnavailable
from evalsvc.pipeline import WorkerStatus
from evalsvc.protocols import Clock, ScoreStore
from evalsvc.query import EstimateQuery, LabelledEstimate, estimates, to_csv_row, to_json
from evalsvc.types import Window
from evalsvc.web import overview
from evalsvc.web.page import SPANS, View, lines, render
from evalsvc.windows import parse_duration, parse_since

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

STEPS: Mapping[str, str] = {"24h": "1h", "7d": "6h", "14d": "1d", "30d": "1d"}
_PARAMETERS = frozenset({"metric", "by", "where", "since", "until", "window", "statistic", "confidence", "format"})


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
) -> Starlette:
    """Return the ASGI application.

    Args:
        store: where the estimates come from.
        workers: those of this process, for ``/readyz`` and the page's foot.
        routes: more routes, as ``HttpSource.routes()`` gives them.
        metrics: what ``/metrics`` answers.
        clock: what "now" is.

    Raises:
        MissingExtra: without Starlette.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError as error:
        raise MissingExtra("starlette", "web") from error
    pages = _Pages(store, tuple(workers), metrics, clock or SystemClock())
    own = [
        Route("/", pages.overview),
        Route("/v1/estimates", pages.estimates),
        Route("/v1/metrics", pages.metrics_known),
        Route("/v1/status", pages.status),
        Route("/metrics", pages.prometheus),
        Route("/livez", pages.alive),
        Route("/readyz", pages.ready),
    ]
    return Starlette(routes=[*own, *routes], exception_handlers={EvalsvcError: _refuse})


class _Pages:
    """The endpoints. They are plain functions: Starlette runs them in threads, where the store may block."""

    def __init__(
        self, store: ScoreStore, workers: tuple[Reporter, ...], metrics: Callable[[], bytes] | None, clock: Clock
    ) -> None:
        self.store, self.workers, self.metrics, self.clock = store, workers, metrics, clock

    def overview(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        since = request.query_params.get("since", "14d")
        if since not in SPANS:
            raise InputError(f"Expected `since` of {', '.join(SPANS)}, but got another; /v1/estimates takes any span")
        span, step = self._span(since, STEPS[since])
        rows = overview.rows(self.store, span, int(parse_duration(STEPS[since]).total_seconds()))
        page = render(View(rows, span, since, step, lines(self._states())))
        return HTMLResponse(page, headers={"Cache-Control": "no-store", "Content-Security-Policy": _POLICY})

    def estimates(self, request: Request) -> Response:
        from starlette.responses import JSONResponse, PlainTextResponse

        found = [row for query in self._queries(request) for row in estimates(self.store, query)]
        if request.query_params.get("format", "json") == "csv":
            return PlainTextResponse(_csv(found), media_type="text/csv")
        return JSONResponse({"estimates": [to_json(row) for row in found]})

    def metrics_known(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse({"metrics": [_plain(spec) for spec in self.store.metrics()]})

    def status(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse({"workers": {worker.consumer: _plain(worker.status()) for worker in self.workers}})

    def prometheus(self, request: Request) -> Response:
        from starlette.responses import Response

        return Response(self.metrics() if self.metrics else b"", media_type="text/plain; version=0.0.4")

    def alive(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        return PlainTextResponse("alive\n")

    def ready(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        waiting = [f"{name}: {state}" for name, state in self._states() if not state.startswith(("reading", "finished"))]
        return PlainTextResponse("\n".join(waiting or ["ready"]) + "\n", 503 if waiting else 200)

    def _states(self) -> list[tuple[str, str]]:
        return [(worker.consumer, describe(worker.status())) for worker in self.workers]

    def _span(self, since: str, step: str) -> tuple[Window, str]:
        now = self.clock.now()
        return Window(parse_since(since, now), now), step

    def _queries(self, request: Request) -> list[EstimateQuery]:
        given = request.query_params
        if unknown := sorted(set(given) - _PARAMETERS):
            raise InputError(f"Expected parameters of {', '.join(sorted(_PARAMETERS))}, but got {', '.join(unknown)}")
        now = self.clock.now()
        span = Window(parse_since(given.get("since", "24h"), now), parse_since(given["until"], now) if "until" in given else now)
        window = given.get("window")
        step = int(parse_duration(window).total_seconds()) if window else max(1, int(span.seconds))
        metrics = given.getlist("metric") or sorted({spec.metric for spec in self.store.metrics()})
        by = tuple(name for text in given.getlist("by") for name in text.split(",") if name)
        where: dict[str, tuple[str, ...]] = {}
        for text in given.getlist("where"):
            field, equals, value = text.partition("=")
            if not equals:
                raise InputError(f"Expected `where` as FIELD=VALUE, but got {text!r}")
            where[field] = (*where.get(field, ()), value)
        return [
            EstimateQuery(
                metric,
                span,
                step,
                by=by,
                where=where,
                statistic=given.get("statistic", "mean"),
                confidence=_confidence(given.get("confidence", "0.95")),
            )
            for metric in metrics
        ]


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def describe(status: WorkerStatus) -> str:
    """Return a worker's state as half a sentence."""
    if status.waiting_for:
        return f"waiting for {status.waiting_for}"
    done = f"{status.read:,} records read, {status.sampled:,} sampled, {status.scores:,} scores, {status.dead:,} dead letters"
    if not status.alive:
        return f"finished; {done}"
    return f"reading; {done}, {status.lag:,} waiting" if status.ready else "starting"


def serve(app: Starlette, host: str, port: int) -> Any:  # noqa: ANN401 - uvicorn's server, typed only where it is installed
    """Return a uvicorn server for the application, not yet running: call ``run()``, and set ``should_exit`` to end it."""
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("uvicorn", "web") from error
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False, lifespan="off"))


def _confidence(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"Expected `confidence` as a number such as 0.95, but got {text!r}") from None


def _csv(found: Sequence[LabelledEstimate]) -> str:
    import csv
    import io

    rows = [to_csv_row(row) for row in found]
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    import msgspec

    return msgspec.to_builtins(value)


async def _refuse(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse

    code = 400 if isinstance(error, InputError) else 503 if isinstance(error, StoreUnavailable) else 500
    return JSONResponse({"error": str(error)}, code)
