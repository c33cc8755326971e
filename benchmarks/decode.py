"""What reading an event costs: the skimmer on every message, the whole decoder on the selected ones.

Run: python benchmarks/decode.py. Peers: ``json.loads`` of the standard library, and msgspec without a type,
on the same 1.3 kB event in the same run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from _harness import Aim, Row, machine, paired_seconds, table
from evalsvc.sources.decode import decode, encode, make_skimmer
from evalsvc.types import Event, Message

Reader = Callable[[bytes], object]
TARGET = Aim("value", "≤", 2.2)
ALL_EXTRAS = frozenset(
    {
        "latency_ms",
        "time_to_first_token_ms",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "finish_reason",
        "user_id",
    }
)


def typical_event() -> bytes:
    """Return an event of about 1.3 kB with every fact set, as a chat application sends it."""
    system = "You are the support assistant. Answer from the passages."
    event = Event(
        event_id="4f8a1f0e-7c1d-4a55-9b0e-2d6c0c7b1a11",
        occurred_at=datetime(2026, 1, 31, 9, 30, 0, 250_000, UTC),
        application="support-assistant",
        model="small-chat",
        model_version="2026-01-15",
        prompt=(
            Message("system", system),
            Message("user", "How do I cancel my plan?\nI bought it on the web."),
        ),
        response="You can cancel in Settings > Billing. " * 10,
        contexts=("Refunds are granted within 14 days of purchase. " * 4,),
        segments={"plan": "pro", "language": "en", "region": "eu"},
        session_id="s-000123456",
        turn=2,
        user_id="u-88123",
        latency_ms=812.5,
        time_to_first_token_ms=120.0,
        input_tokens=312,
        output_tokens=88,
        cost_usd=0.00123,
        finish_reason="stop",
    )
    return encode(event)


def run(quick: bool) -> list[Row]:
    """Measure the readers beside their peers; µs an event."""
    value = typical_event()
    count, rounds = (2_000, 5) if quick else (50_000, 9)
    few, all_facts = make_skimmer(frozenset({"latency_ms"})), make_skimmer(ALL_EXTRAS)
    untyped = msgspec.json.Decoder().decode
    sides: list[tuple[str, Reader, str, Reader, Aim | None]] = [
        (f"skim {len(value)} B, one extra field", few, "json.loads", json.loads, TARGET),
        ("skim, one extra field", few, "msgspec, untyped", untyped, TARGET),
        ("skim, all extra fields", all_facts, "json.loads", json.loads, TARGET),
        ("decode, whole and strict", decode, "json.loads", json.loads, None),
    ]
    rows = []
    for what, ours, name, peer, aim in sides:
        paired = paired_seconds(_times(ours, value, count), _times(peer, value, count), rounds)
        figures = paired.seconds / count * 1e6, paired.peer_seconds / count * 1e6
        rows.append(Row("decode", what, figures[0], "µs", name, figures[1], paired.ratio, aim))
    return rows


def _times(call: Reader, value: bytes, count: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(count):
            call(value)

    return repeat


def main() -> None:
    """Print the table."""
    print(machine())
    print(table(run("--quick" in sys.argv)))


if __name__ == "__main__":
    main()
