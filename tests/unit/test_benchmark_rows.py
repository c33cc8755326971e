"""Each benchmark that ``benchmarks/run.py`` names can be run by it, and tables that are printed become rows."""

from __future__ import annotations

import inspect

import pytest

from benchmark_scripts import load_benchmark

PLANTED = """| out of scope | MMD | vocabulary | evidently, embeddings | evidently, text |
|--:|--:|--:|--:|--:|
| 0% | 3% | 7% | 100% | 0% |
| 10% | 100% | 97% | 100% | 33% |

"""
ANSWERS = """| answers | n | vocabulary | length | evidently, text | evidently, length |
|---|--:|--:|--:|--:|--:|
| prime, gpt-4, March against June | 500 | moved | - | - | moved |
| halves of March, 30 pairs | | 3% | 0% | 10% | 0% |

"""


@pytest.mark.parametrize("name", load_benchmark("run").NAMES)
def test_a_named_benchmark_takes_quick(name):
    run = load_benchmark(name).run
    inspect.signature(run).bind(quick=True)


def test_tables_of_power_become_rows(monkeypatch, tmp_path):
    power = load_benchmark("drift_power")
    monkeypatch.setattr(power, "TRAFFIC", tmp_path)
    monkeypatch.setattr(power, "Evidently", lambda: None)
    monkeypatch.setattr(power, "clinc", lambda pairs, peer: print(PLANTED))
    monkeypatch.setattr(power, "llmdrift", lambda peer: print(ANSWERS))
    rows = {row.what: (row.value, row.peer, row.peer_value) for row in power.run(quick=True)}
    assert rows == {
        "0% out of scope: MMD": (0.03, "evidently, embeddings", 1.0),
        "0% out of scope: vocabulary": (0.07, "evidently, text", 0.0),
        "10% out of scope: MMD": (1.0, "evidently, embeddings", 1.0),
        "10% out of scope: vocabulary": (0.97, "evidently, text", 0.33),
        "prime, gpt-4, March against June: vocabulary": (1.0, "evidently, text", 0.0),
        "prime, gpt-4, March against June: length": (0.0, "evidently, length", 1.0),
        "halves of March, 30 pairs: vocabulary": (0.03, "evidently, text", 0.1),
        "halves of March, 30 pairs: length": (0.0, "evidently, length", 0.0),
    }


def test_without_the_data_there_are_no_rows(monkeypatch, tmp_path):
    power = load_benchmark("drift_power")
    monkeypatch.setattr(power, "TRAFFIC", tmp_path / "absent")
    assert power.run(quick=True) == []
