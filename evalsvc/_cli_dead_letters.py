"""The command ``dead-letters``: which records were no events, for which reasons, and where they lie."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import msgspec

from evalsvc import project
from evalsvc._cli_output import aligned, print_csv
from evalsvc._hints import did_you_mean
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.protocols import DeadLetterQuery
from evalsvc.sources.decode import REASONS
from evalsvc.types import DeadLetter, DeadReason
from evalsvc.windows import parse_span, whole_minutes

OTHERS = 1000
"""Of how many letters the consumers are named, where the one asked for has none."""


def dead_letters(options: argparse.Namespace) -> int:
    """Print how many records had which reason, and the places of the last ones."""
    from evalsvc import assemble

    # Times of receipt are kept by the minute.
    span = whole_minutes(parse_span(options.since, options.until, datetime.now(UTC)))
    codes = (*REASONS, "conflicting_duplicate", "masking_failed")
    if options.reason and options.reason not in codes:
        hint = did_you_mean(options.reason, codes)
        raise InputError(f"Expected --reason to be the code of a reason, but got {options.reason!r} ({hint})")
    asked = DeadLetterQuery(span, options.consumer, options.reason)
    found = project.load_settings()
    with closing(
        assemble.open_project_store(found, Environment.read(os.environ), getattr(options, "store", None))
    ) as store:
        letters = store.dead_letters(asked, options.limit)
        reasons = store.dead_reasons(asked)
        others = () if letters else store.dead_letters(DeadLetterQuery(span), OTHERS)
    more = _left_out(reasons, letters)
    if options.format == "json":
        for letter in letters:
            print(msgspec.json.encode(letter).decode())
    elif options.format == "csv":
        print_csv(DeadLetter.__struct_fields__, [msgspec.to_builtins(letter) for letter in letters])
    else:
        print(tables(reasons, letters) if letters else _nothing(asked, others))
    if more:
        print(more, file=sys.stdout if options.format == "table" else sys.stderr)
    return OK


def tables(reasons: Sequence[DeadReason], letters: Sequence[DeadLetter]) -> str:
    """Return the count of each reason with its first record, and below it the places, newest first."""
    counts = [
        {"records": f"{row.records:,}", "reason": row.reason, "first at": row.place, "message": row.message}
        for row in reasons
    ]
    places = [
        {
            "received": f"{letter.received_at:%Y-%m-%d %H:%M}",
            "consumer": letter.consumer,
            "place": letter.place,
            "bytes": f"{letter.size:,}",
            "reason": letter.reason,
        }
        for letter in letters
    ]
    return "\n".join([aligned(counts, right={"records"}), "", aligned(places, right={"bytes"})])


def _left_out(reasons: Sequence[DeadReason], letters: Sequence[DeadLetter]) -> str:
    total = sum(row.records for row in reasons)
    return f"the last {len(letters)} of {total:,}; --limit shows more" if len(letters) < total else ""


def _nothing(asked: DeadLetterQuery, others: Sequence[DeadLetter]) -> str:
    named = [text for text in (asked.consumer and f"consumer {asked.consumer}", asked.reason) if text]
    about = f" of {', '.join(named)}" if named else ""
    start = asked.window.start
    names = sorted({letter.consumer for letter in others})
    hint = f"there are some of {', '.join(names)}" if names else "a longer --since looks further back"
    return f"no dead letters{about} since {start:%Y-%m-%d %H:%M} UTC; {hint}"
