"""Addresses of the stores that a contract is held against."""

from __future__ import annotations

import os
from itertools import count

import pytest

from evalsvc.store.bridge import Bridge

SERVER = os.environ.get("EVALSVC_TEST_CLICKHOUSE_URL", "")
_numbers = count()


@pytest.fixture(scope="module", params=["embedded", "bridge", "server"])
def address(request, tmp_path_factory):
    """Make addresses of fresh databases of one kind, named after the module's logs."""
    name = request.module.LOGS
    if request.param == "server":
        if not SERVER:
            pytest.skip("EVALSVC_TEST_CLICKHOUSE_URL names no server")
        base, _, options = SERVER.partition("?")
        root = base.rsplit("/", 1)[0] if base.count("/") > 2 else base
        yield lambda: f"{root}/evalsvc_{name}_{os.getpid()}_{next(_numbers)}?{options}"
        return
    folder = tmp_path_factory.mktemp(name)
    with Bridge(folder) as bridge:
        served = f"clickhouse://x:{bridge.token}@{bridge.url.removeprefix('http://')}/"
        prefix, suffix = (served, "?margin=0") if request.param == "bridge" else (f"embedded:{folder}?database=", "")
        yield lambda: f"{prefix}{name}{next(_numbers)}{suffix}"
