"""One worker of a group, as a process that a test may kill: ``python killed_worker.py '{"brokers": …}'``."""

from __future__ import annotations

import json
import logging
import signal
import sys

from evalsvc.pipeline import TimeLimits, Worker, WorkerSettings
from evalsvc.privacy import Masker, MaskingPolicy
from evalsvc.sampling import Design, StratumRate
from evalsvc.scorers import create
from evalsvc.scoring import ScorerEntry
from evalsvc.sources.kafka import KafkaSettings, KafkaSource
from evalsvc.store import open_store

CONSUMER = "killed"
SCORERS = ("bleu", "chrf", "rouge_l", "introduced_pii", "refusal", "latency_ms", "output_tokens", "cost_usd")
DESIGN = Design(
    consumer=CONSUMER,
    rate=0.1,
    strata=("application",),
    rates=(StratumRate({"application": "llmdrift"}, 0.5), StratumRate({"application": "ragtruth_qa_test"}, 1.0)),
)


def main() -> None:
    """Work until SIGTERM."""
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    source = KafkaSource(
        KafkaSettings(
            brokers=(given["brokers"],),
            topics=(given["topic"],),
            group=CONSUMER,
            session_seconds=given["session_seconds"],
        )
    )
    worker = Worker(
        CONSUMER,
        source,
        open_store(given["store"]),
        DESIGN,
        [ScorerEntry(create(name)) for name in SCORERS],
        Masker(MaskingPolicy(), b"a key for this test only"),
        WorkerSettings(max_batch=128, flush_seconds=0.2, max_dead_ratio=0.5, time_limits=TimeLimits(age_days=None)),
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    print(json.dumps({"read": worker.run().read}), flush=True)


if __name__ == "__main__":
    main()
