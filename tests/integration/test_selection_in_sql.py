"""The selection can be reproduced in ClickHouse's SQL, as its page says, so that anyone can audit π in the store."""

from __future__ import annotations

import json
from pathlib import Path

from evalsvc.sampling import threshold
from evalsvc.store import open_store

VECTORS = json.loads((Path(__file__).parents[1] / "unit" / "sampling_vectors.json").read_text())
DRAW = (
    "SELECT reinterpretAsUInt64(reverse(substring(SHA256(concat('evalsvc/1', char(0), {salt:String}, char(0), "
    "{unit:String})), 1, 8)))"
)


def test_draws_of_the_vectors(tmp_path: Path) -> None:
    store = open_store(f"embedded:{tmp_path}")
    try:
        for vector in VECTORS["draws"]:
            ((number,),) = store._rows(DRAW, {"salt": vector["salt"], "unit": vector["unit_id"]})
            assert number == int(vector["draw"], 16), vector
    finally:
        store.close()


def test_the_threshold_of_one_takes_all() -> None:
    assert threshold(1.0) == 1 << 64
