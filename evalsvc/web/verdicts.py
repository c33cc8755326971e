"""Verdicts of gates over HTTP, to read: a list, the page of one, and both as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evalsvc.errors import EvalsvcError, InputError, StoreError
from evalsvc.protocols import Clock, ScoreStore
from evalsvc.verdicts import RemembersVerdicts, Verdict, VerdictLog, VerdictQuery
from evalsvc.verdicts.page import page
from evalsvc.verdicts.words import because, party
from evalsvc.web import verdicts_page
from evalsvc.web.answers import HEADERS, code_of, json_answer
from evalsvc.web.page import NAVIGATION, render_error
from evalsvc.windows import parse_since

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

MOST_LISTED = 1000
_PARAMETERS = frozenset({"suite", "since", "until", "limit"})


class VerdictPages:
    """The endpoints. They are plain functions: Starlette runs them in threads, where the store may block."""

    def __init__(self, store: ScoreStore, clock: Clock) -> None:
        """Read verdicts from this store."""
        self._store, self._clock = store, clock

    def routes(self) -> list[Route]:
        """Return the routes."""
        from starlette.routing import Route

        return [
            Route("/verdicts", self.page),
            Route("/verdicts/{verdict_id}", self.page_of_one),
            Route("/v1/verdicts", self.listed),
            Route("/v1/verdicts/{verdict_id}", self.one),
        ]

    def last(self) -> str:
        """Return the last verdict as a line of HTML; empty from a store that remembers none."""
        if not isinstance(self._store, RemembersVerdicts):
            return ""
        found = self._store.verdicts.verdicts(VerdictQuery(), 1)
        return verdicts_page.last_line(found[0] if found else None, self._clock.now())

    def page(self, request: Request) -> Response:
        """Answer the list as a page, of one ``suite`` or of all."""
        from starlette.responses import HTMLResponse

        try:
            given = _given(request, {"suite"})
            log, most, suite = self._log(), verdicts_page.MOST_ROWS, given.get("suite", "")
            every = log.verdicts(VerdictQuery(), most)
            rows = log.verdicts(VerdictQuery(suite), most) if suite else every
            suites = sorted({verdict.suite for verdict in every} | ({suite} if suite else set()))
            return HTMLResponse(verdicts_page.render_list(rows, suites, suite, self._clock.now()), headers=HEADERS)
        except EvalsvcError as error:
            return HTMLResponse(render_error(str(error), NAVIGATION), code_of(error), headers=HEADERS)

    def page_of_one(self, request: Request) -> Response:
        """Answer one verdict as a page."""
        from starlette.responses import HTMLResponse

        verdict_id = request.path_params["verdict_id"]
        try:
            verdict = self._log().verdict(verdict_id)
        except EvalsvcError as error:
            return HTMLResponse(render_error(str(error), NAVIGATION), code_of(error), headers=HEADERS)
        if verdict is None:
            return HTMLResponse(render_error(_unknown(verdict_id), NAVIGATION), 404, headers=HEADERS)
        return HTMLResponse(page(verdict, "", NAVIGATION, verdicts_page.same_as_json(verdict)), headers=HEADERS)

    def listed(self, request: Request) -> Response:
        """Answer verdicts as JSON, the newest first: what was decided of whom and why, without the numbers."""
        given, now = _given(request, _PARAMETERS), self._clock.now()
        since, until = (parse_since(given[name], now) if name in given else None for name in ("since", "until"))
        found = self._log().verdicts(VerdictQuery(given.get("suite", ""), since, until), _limit(given))
        return json_answer({"verdicts": [summary(verdict) for verdict in found]})

    def one(self, request: Request) -> Response:
        """Answer one verdict whole as JSON."""
        verdict_id = request.path_params["verdict_id"]
        verdict = self._log().verdict(verdict_id)
        return json_answer(verdict) if verdict else json_answer({"error": _unknown(verdict_id)}, 404)

    def _log(self) -> VerdictLog:
        if not isinstance(self._store, RemembersVerdicts):
            raise StoreError("This store remembers no verdicts; the embedded store and a ClickHouse server do")
        return self._store.verdicts


def summary(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as the list has it in JSON."""
    gates: Sequence[dict[str, object]] = [
        {"gate": gate.gate, "decision": gate.decision, "advisory": gate.advisory} for gate in verdict.gates
    ]
    return {
        "verdict_id": verdict.verdict_id,
        "suite": verdict.suite,
        "decision": verdict.decision,
        "candidate": party(verdict.candidate),
        "baseline": party(verdict.baseline) if verdict.baseline else None,
        "decided_at": verdict.decided_at,
        "why": because(verdict),
        "gates": gates,
    }


def _given(request: Request, known: set[str] | frozenset[str]) -> Mapping[str, str]:
    given = request.query_params
    if unknown := sorted(set(given) - known):
        raise InputError(f"Expected no parameter but {', '.join(sorted(known))}, but got {', '.join(unknown)}")
    return given


def _limit(given: Mapping[str, str]) -> int:
    text = given.get("limit", "100")
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_LISTED):
        raise InputError(f"Expected `limit` from 1 to {MOST_LISTED}, but got {text!r}")
    return int(text)


def _unknown(verdict_id: str) -> str:
    return (
        f"No verdict has the id {verdict_id[:80]!r}: it was not recorded (evalsvc gate --record), or its time is over"
    )
