"""Alerts over HTTP, to read: two pages and the same as JSON. Nothing can be changed here: the page knows no login."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evalsvc import alerts_view
from evalsvc.alerts_view import Board, UnknownAlert
from evalsvc.errors import EvalsvcError, InputError, StoreError
from evalsvc.protocols import Clock, ScoreStore
from evalsvc.rules.history import AlertLog
from evalsvc.rules.machine import Phase
from evalsvc.rules.values import RuleGroup
from evalsvc.types import Event
from evalsvc.web import alerts_page
from evalsvc.web.answers import HEADERS, code_of, json_answer
from evalsvc.web.page import NAVIGATION, render_error

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

log = logging.getLogger("evalsvc.web")


@runtime_checkable
class Remembering(Protocol):
    """A store that remembers alerts."""

    @property
    def alerts(self) -> AlertLog:
        """What is remembered."""
        ...


class AlertPages:
    """The endpoints. They are plain functions: Starlette runs them in threads, where the store may block."""

    def __init__(self, store: ScoreStore, clock: Clock, rules: Sequence[RuleGroup] = ()) -> None:
        """Read alerts, and the texts of their examples, from this store; ``rules`` give the limits."""
        self._store, self._clock, self._rules = store, clock, rules

    def routes(self) -> list[Route]:
        """Return the routes."""
        from starlette.routing import Route

        return [
            Route("/alerts", self.page),
            Route("/alerts/{fingerprint}", self.page_of_one),
            Route("/v1/alerts", self.listed),
            Route("/v1/alerts/{fingerprint}", self.one),
        ]

    def board(self) -> Board | None:
        """Return the alerts now; ``None`` from a store that remembers none."""
        return self._board() if isinstance(self._store, Remembering) else None

    def page(self, request: Request) -> Response:
        """Answer the list as a page."""
        from starlette.responses import HTMLResponse

        try:
            return HTMLResponse(alerts_page.render_list(self._board()), headers=HEADERS)
        except EvalsvcError as error:
            return _error_page(error)

    def page_of_one(self, request: Request) -> Response:
        """Answer one alert as a page."""
        from starlette.responses import HTMLResponse

        try:
            found = self._board()
            row = alerts_view.find(found, request.path_params["fingerprint"])
            moves = alerts_view.history_of(self._log(), row, found.now)
            last = alerts_view.last_told(moves)
            texts = self._texts([example.event_id for example in last.examples]) if last else {}
            return HTMLResponse(alerts_page.render_one(row, found, moves, texts), headers=HEADERS)
        except EvalsvcError as error:
            return _error_page(error)

    def listed(self, request: Request) -> Response:
        """Answer alerts as JSON: what fires, is pending or was resolved lately, or what is in one ``phase``."""
        given = request.query_params
        if unknown := sorted(set(given) - {"phase"}):
            raise InputError(f"Expected no parameter but `phase`, but got {', '.join(unknown)}")
        phases: dict[str, Phase] = {phase: phase for phase in alerts_view.PHASES}
        if "phase" in given and given["phase"] not in phases:
            raise InputError(f"Expected `phase` to be one of {', '.join(phases)}, but got {given['phase']!r}")
        found = self._board()
        rows = found.of(phases[given["phase"]]) if "phase" in given else [*found.of(*alerts_view.OPEN), *found.resolved]
        return json_answer(
            {
                "now": found.now,
                "last_look": found.last_look,
                "alerts": [alerts_view.to_json(row) for row in rows],
                "silences": [alerts_view.silence_json(silence) for silence in found.silences],
            }
        )

    def one(self, request: Request) -> Response:
        """Answer one alert with its history as JSON."""
        found = self._board()
        try:
            row = alerts_view.find(found, request.path_params["fingerprint"])
        except UnknownAlert as error:
            return json_answer({"error": str(error)}, 404)
        moves = alerts_view.history_of(self._log(), row, found.now)
        return json_answer(
            {
                **alerts_view.to_json(row),
                "silences": [alerts_view.silence_json(silence) for silence in row.silences],
                "history": [alerts_view.told_json(move) for move in moves],
            }
        )

    def _log(self) -> AlertLog:
        if not isinstance(self._store, Remembering):
            raise StoreError("This store remembers no alerts; the embedded store and a ClickHouse server do")
        return self._store.alerts

    def _board(self) -> Board:
        return alerts_view.board(self._log(), self._clock.now(), self._rules)

    def _texts(self, event_ids: list[str]) -> Mapping[str, Event]:
        """Return the examples' events; without them the page is shown all the same."""
        try:
            return self._store.events(event_ids) if event_ids else {}
        except EvalsvcError as error:
            log.warning("examples of an alert go without their texts (%s)", type(error).__name__)
            return {}


def _error_page(error: EvalsvcError) -> Response:
    from starlette.responses import HTMLResponse

    code = 404 if isinstance(error, UnknownAlert) else code_of(error)
    return HTMLResponse(render_error(str(error), NAVIGATION), code, headers=HEADERS)
