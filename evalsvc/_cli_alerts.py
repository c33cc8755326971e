"""The command ``alerts``: what fires, one alert with its history, acknowledging, closing and silencing."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec

from evalsvc import alerts_view, project
from evalsvc._cli_output import aligned, print_csv
from evalsvc._hints import did_you_mean
from evalsvc.alerts_view import AlertRow, Board, Told
from evalsvc.cli import OK
from evalsvc.errors import ConfigError, InputError
from evalsvc.notify.message import cut, one_line
from evalsvc.project import Environment
from evalsvc.rules.history import Acknowledgement, AlertLog, Receipt, Silence
from evalsvc.rules.machine import AlertState, Phase
from evalsvc.rules.templates import duration, number
from evalsvc.rules.values import RuleGroup
from evalsvc.rules.wording import concerned, moment
from evalsvc.windows import parse_duration, parse_span

LONGEST = timedelta(days=30)
"""How long a silence may last: what is longer is forgotten, and belongs into the rule."""
MOST_TEXT = 1000
_WIDE = 60


def list_alerts(options: argparse.Namespace) -> int:
    """Print the alerts in some phases."""
    wanted = phases_of(options.phase) if options.phase else alerts_view.PHASES if options.all else alerts_view.OPEN
    where = [alerts_view.parse_matcher(text) for text in options.where]
    with _log(options) as log:
        found = alerts_view.board(log, datetime.now(UTC), _rules())
    rows = alerts_view.covers(found.of(*wanted), where)
    if options.format == "json":
        _print_json(alerts_view.to_json(row) for row in rows)
        return OK
    lines = [_line(row) for row in rows]
    if options.format == "csv":
        print_csv(list(lines[0] if lines else _line_names()), lines)
    elif lines:
        used = {name for line in lines for name, text in line.items() if text}
        print(aligned([{name: text for name, text in line.items() if name in used} for line in lines], right={"value"}))
    else:
        print(f"no alert {'of these labels ' if where else ''}is {' or '.join(wanted)}")
    print(_looked(found), file=sys.stdout if options.format == "table" else sys.stderr)
    return OK


def show(options: argparse.Namespace) -> int:
    """Print all that is known of one alert."""
    if options.format == "csv":
        raise InputError("Expected --format table or json of one alert, but got 'csv'")
    with _log(options) as log:
        found = alerts_view.board(log, datetime.now(UTC), _rules())
        row = alerts_view.find(found, options.fingerprint)
        moves = alerts_view.history_of(log, row, found.now)
    if options.format == "json":
        told = [alerts_view.told_json(move) for move in moves]
        silences = [alerts_view.silence_json(silence) for silence in row.silences]
        _print_json([{**alerts_view.to_json(row), "silences": silences, "history": told}])
        return OK
    print("\n".join(_about(row, found.now)))
    last = alerts_view.last_told(moves)
    if last is not None and (said := last.description or last.reason):
        print(f"\n{one_line(said)}")
    if last is not None and last.runbook:
        print(f"Runbook: {one_line(last.runbook)}")
    if moves:
        print("\nHistory, newest first:")
        print(aligned([_moved(told, receiver) for told in moves for receiver in told.receipts or (None,)]))
    if len(moves) == alerts_view.MOST_HISTORY:
        print(f"the last {len(moves)} changes; there may be more")
    return OK


def acknowledge(options: argparse.Namespace) -> int:
    """Say that somebody looks after an alert's present episode."""
    author, note, now = _author(options.author), _text("--note", options.note, empty=True), datetime.now(UTC)
    with _log(options) as log:
        row = alerts_view.find(alerts_view.board(log, now), options.fingerprint)
        before = _remember(log, row, author, note, now)
    took = f"; it was {one_line(before.author)}'s" if before and before.author != author else ""
    print(f"{one_line(row.name)} ({row.state.fingerprint}) is looked after by {author}{took}")
    return OK


def close(options: argparse.Namespace) -> int:
    """Say that an alert's present episode is over, so that the ruler ends it at its next look."""
    reason, author, now = _text("--reason", options.reason), _author(options.author), datetime.now(UTC)
    with _log(options) as log:
        board = alerts_view.board(log, now)
        row = alerts_view.find(board, options.fingerprint)
        before = _remember(log, row, author, reason, now, closes=True)
    if before and before.closes:
        print(f"{one_line(before.author)} had closed it before: {one_line(before.note)}")
    told = "and who was told of it is told so" if row.state.phase == "firing" else "and nobody was told of it"
    print(f"{one_line(row.name)} ({row.state.fingerprint}) is over at the ruler's next look, {told}.")
    if board.late:
        last = f"the last look was {alerts_view.ago(board.last_look, now)}" if board.last_look else "none was made yet"
        print(f"No ruler seems to look now ({last}): `evalsvc ruler` starts one.")
    print("Where its numbers are still bad it fires anew; a silence, or the rule, keeps it quiet.")
    return OK


def _remember(
    log: AlertLog, row: AlertRow, author: str, note: str, now: datetime, *, closes: bool = False
) -> Acknowledgement | None:
    """Record what a person says of an alert's present episode; return what was said before."""
    state, before = row.state, row.acknowledged
    what = "close" if closes else "acknowledge"
    if state.phase not in alerts_view.OPEN or state.pending_at is None:
        since = f" since {moment(state.since)}" if state.since else ""
        raise InputError(f"{row.name} is {state.phase}{since}: there is nothing to {what}")
    if before and before.closes and not closes:
        raise InputError(f"{row.name} was closed by {one_line(before.author)}: it is over at the ruler's next look")
    # The later one counts, also where the other was written by a clock that is ahead.
    at = max(now, before.at + timedelta(microseconds=1)) if before else now
    log.acknowledge(
        Acknowledgement(
            fingerprint=state.fingerprint, episode=state.pending_at, author=author, note=note, at=at, closes=closes
        )
    )
    return before


def silence(options: argparse.Namespace) -> int:
    """Tell nobody of some alerts for a while."""
    matchers = tuple(dict.fromkeys(alerts_view.parse_matcher(text) for text in options.matchers))
    lasts = parse_duration(options.lasts)
    if lasts > LONGEST:
        raise InputError(
            f"Expected --for of at most {duration(LONGEST.total_seconds())}, but got {options.lasts}; "
            "what is not to be told for longer belongs into the rule, or into a route to `nobody`"
        )
    reason, author = _text("--reason", options.reason), _author(options.author)
    now = datetime.now(UTC)
    made = Silence(
        id=uuid.uuid4().hex[:8],
        matchers=matchers,
        author=author,
        reason=reason,
        starts_at=now,
        ends_at=now + lasts,
        recorded_at=now,
    )
    with _log(options) as log:
        found = alerts_view.board(log, now)
        covered = alerts_view.covers(found.rows, matchers)
        if not options.everything and alerts_view.covers_all(found.rows, matchers):
            raise InputError(
                f"Expected a silence of some alerts, but {alerts_view.silence_text(made)} covers every one; "
                "name what is to be quiet, or say --all"
            )
        log.record_silence(made)
    print(f"silence {made.id} of {alerts_view.silence_text(made)} until {moment(made.ends_at)}: {_counted(covered)}")
    if not covered:
        print(f"evalsvc: it covers no alert that there is at present{_misspelt(found, made)}", file=sys.stderr)
    return OK


def silences(options: argparse.Namespace) -> int:
    """Print the silences in force, with ``--all`` those that are over, too."""
    now = datetime.now(UTC)
    with _log(options) as log:
        listed = log.silences(None if options.everything else now)
        rows = alerts_view.board(log, now).rows
    if options.format == "json":
        _print_json(map(alerts_view.silence_json, listed))
        return OK
    lines = [_silence_line(item, rows, now) for item in listed]
    if options.format == "csv":
        print_csv(["id", "covers", "until", "alerts", "author", "reason"], lines)
    else:
        print(aligned(lines, right={"alerts"}) if lines else "no silence is in force")
    return OK


def unsilence(options: argparse.Namespace) -> int:
    """End a silence now."""
    now = datetime.now(UTC)
    with _log(options) as log:
        known = {item.id: item for item in log.silences()}
        item = known.get(options.id)
        if item is None:
            hint = did_you_mean(options.id, list(known)) if known else "there is none"
            raise InputError(f"No silence has the id {options.id!r} ({hint}); `evalsvc alerts silences` lists them")
        if item.ends_at <= now:
            raise InputError(f"Silence {item.id} ended {moment(item.ends_at)}: there is nothing to end")
        recorded = max(now, item.recorded_at + timedelta(microseconds=1))
        log.record_silence(msgspec.structs.replace(item, ends_at=max(now, item.starts_at), recorded_at=recorded))
    print(f"silence {item.id} of {alerts_view.silence_text(item)} is over; what still fires is told now")
    return OK


def history(options: argparse.Namespace) -> int:
    """Print changes of phase of all alerts, with who was told."""
    span = parse_span(options.since, options.until, datetime.now(UTC))
    with _log(options) as log:
        moves = alerts_view.history(log, span, limit=options.limit + 1)
    more, moves = len(moves) > options.limit, moves[: options.limit]
    if options.format == "json":
        _print_json(map(alerts_view.told_json, moves))
        return OK
    lines = [
        {"at": moment(move.at), "alert": _name(move.labels, move.rule), "labels": _short(concerned(move.labels))}
        | {name: text for name, text in _moved(told, receipt).items() if name != "at"}
        | {"fingerprint": move.fingerprint}
        for told in moves
        for move in (told.transition,)
        for receipt in told.receipts or (None,)
    ]
    if options.format == "csv":
        print_csv(["at", "alert", "labels", *_MOVED, "fingerprint"], lines)
    else:
        print(aligned(lines) if lines else f"no alert changed its phase since {moment(span.start)}")
    if more:
        said = f"the last {options.limit}; --limit shows more"
        print(said, file=sys.stdout if options.format == "table" else sys.stderr)
    return OK


def phases_of(text: str) -> tuple[Phase, ...]:
    """Return the phases that ``--phase`` names.

    >>> phases_of("firing, pending")
    ('firing', 'pending')

    Raises:
        InputError: one is no phase.
    """
    known: dict[str, Phase] = {phase: phase for phase in get_args(Phase)}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, list(known))
            raise InputError(f"Expected --phase of {', '.join(alerts_view.PHASES)}, but got {name!r} ({hint})")
    return tuple(dict.fromkeys(known[name] for name in names))


@contextmanager
def _log(options: argparse.Namespace) -> Iterator[AlertLog]:
    from evalsvc import assemble

    found = project.load_settings()
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        yield store.alerts


def _rules() -> Sequence[RuleGroup]:
    """Return the project's rules, for their limits; alerts are listed without where a file is wrong."""
    try:
        return project.load_project().rules
    except ConfigError:
        return ()


def _line(row: AlertRow) -> dict[str, str]:
    state, estimate, acknowledged = row.state, row.measured, row.acknowledged
    return {
        "phase": state.phase,
        "since": moment(state.since) if state.since else "-",
        "severity": row.severity,
        "alert": one_line(row.name),
        "labels": _short(concerned(state.labels)),
        "value": number(estimate.value) if estimate else "-",
        "interval": row.interval or "-",
        "against": row.against or "-",
        "acknowledged": _short(_said(acknowledged)) if acknowledged else "",
        "silenced until": moment(row.silenced_until) if row.silenced_until else "",
        "trouble": f"{row.lacking}: {_short(state.trouble)}" if state.trouble else "",
        "fingerprint": state.fingerprint,
    }


def _line_names() -> Iterable[str]:
    return _line(AlertRow(AlertState(fingerprint="", labels={})))


def _about(row: AlertRow, now: datetime) -> list[str]:
    state, estimate = row.state, row.measured
    since = f" since {moment(state.since)} ({alerts_view.ago(state.since, now)})" if state.since else ""
    lines = [f"{one_line(row.name)} is {state.phase}{since}", f"Severity: {one_line(row.severity)}"]
    lines.append(f"Labels: {one_line(alerts_view.labels_text(state.labels))}")
    if estimate is not None and row.seen is not None:
        held = f", held against {row.against}" if row.against else ""
        window = f"{moment(row.seen.window.start)} to {moment(row.seen.window.end)}"
        lines.append(f"Last estimate: {number(estimate.value)} ({row.interval or 'no interval'}){held}, of {window}")
    if state.evaluated_at is not None:
        lines.append(f"Last look: {moment(state.evaluated_at)} ({alerts_view.ago(state.evaluated_at, now)})")
    lines += [f"Trouble of the last look: {one_line(state.trouble)} ({row.lacking})"] if state.trouble else []
    if (by := row.acknowledged) is not None:
        note = f": {one_line(by.note)}" if by.note else ""
        said = "Closed" if by.closes else "Acknowledged"
        lines.append(f"{said} by {one_line(by.author)} {moment(by.at)}{note}")
    for item in row.silences:
        until = f"until {moment(item.ends_at)} by {one_line(item.author)}: {one_line(item.reason)}"
        lines.append(f"Silence {item.id} of {alerts_view.silence_text(item)} {until}")
    return [*lines, f"Fingerprint: {state.fingerprint}"]


_MOVED = ("change", "receiver", "outcome", "told at", "answer")


def _moved(told: Told, receipt: Receipt | None) -> dict[str, str]:
    move = told.transition
    line = {"at": moment(move.at), "change": f"{move.before} → {move.after}"}
    if receipt is None:
        nobody = "nobody yet" if move.after in ("firing", "resolved") else "-"
        return {**line, "receiver": nobody, "outcome": "", "told at": "", "answer": ""}
    told_at = moment(receipt.at)
    answer = _short(receipt.detail)
    return {**line, "receiver": receipt.receiver, "outcome": receipt.outcome, "told at": told_at, "answer": answer}


def _silence_line(item: Silence, rows: Sequence[AlertRow], now: datetime) -> dict[str, str]:
    over = item.ends_at <= now
    return {
        "id": item.id,
        "covers": alerts_view.silence_text(item),
        "until": f"{moment(item.ends_at)}{' (over)' if over else ''}",
        "alerts": f"{len(alerts_view.covers(rows, item.matchers)):,}",
        "author": one_line(item.author),
        "reason": one_line(item.reason),
    }


def _looked(found: Board) -> str:
    if found.last_look is None:
        return "no rule was looked at yet; `evalsvc up` or a ruler of its own does that"
    said = f"last look {alerts_view.ago(found.last_look, found.now)}"
    return f"{said}: is the ruler running?" if found.late else said


def _counted(covered: Sequence[AlertRow]) -> str:
    open_now = sum(row.state.phase in alerts_view.OPEN for row in covered)
    return f"{len(covered):,} alert{'' if len(covered) == 1 else 's'}, of which {open_now:,} firing or pending"


def _misspelt(found: Board, made: Silence) -> str:
    """Return a hint where a label, or a label's value, is none that an alert has."""
    labels = sorted({name for row in found.rows for name in row.state.labels})
    for matcher in made.matchers:
        values = sorted({row.state.labels.get(matcher.label, "") for row in found.rows})
        if labels and matcher.label not in labels:
            return f" (no alert has a label {matcher.label!r}; {did_you_mean(matcher.label, labels)})"
        if values and not matcher.pattern and matcher.value not in values:
            return f" (no alert has {alerts_view.matcher_text(matcher)}; {did_you_mean(matcher.value, values)})"
    return ""


def _author(given: str | None) -> str:
    """Return who it is: as given, else ``EVALSVC_USER``, else who is logged in."""
    name = given if given is not None else os.environ.get("EVALSVC_USER", "")
    if given is None and not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError, ImportError):
            raise InputError("Expected --author or EVALSVC_USER: this machine does not know who you are") from None
    return _text("--author", name)


def _text(option: str, given: str, *, empty: bool = False) -> str:
    text = one_line(given)
    if not text and not empty:
        raise InputError(f"Expected {option} to say something, but it is empty")
    if len(text) > MOST_TEXT:
        raise InputError(f"Expected {option} of at most {MOST_TEXT:,} characters, but got {len(text):,}")
    return text


def _name(labels: Mapping[str, str], rule: str) -> str:
    return one_line(labels.get("alertname", "") or rule)


def _said(by: Acknowledgement) -> str:
    return f"{by.author} closed it: {by.note}" if by.closes else f"{by.author} {by.note}"


def _short(text: str) -> str:
    return cut(one_line(text), _WIDE)


def _print_json(values: Iterable[Mapping[str, Any]]) -> None:
    for value in values:
        print(msgspec.json.encode(value).decode())
