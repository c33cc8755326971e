"""The rows that the detector of single texts is fitted to and tested on, and the figures of its tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from sklearn.metrics import roc_auc_score

from benchmark_scripts import load_benchmark

rows = load_benchmark("_detector_texts")
tables = load_benchmark("_detector_tables")


@pytest.fixture(scope="module")
def data():
    trained, kept = list(rows.trained_on()), list(rows.tests())
    if not trained:
        pytest.skip("the data sets are not beside the repository")
    return trained, kept


def test_no_text_and_no_group_is_on_both_sides(data):
    trained, kept = data
    assert not {row["text"] for row in trained} & {row["text"] for row in kept}
    assert not {row["group"] for row in trained} & {row["group"] for row in kept}
    assert len({row["id"] for row in trained}) == len(trained)
    assert len({row["id"] for row in kept}) == len(kept)


def test_what_its_licence_does_not_allow_is_never_trained_on(data):
    trained, kept = data
    licences = {row["licence"] for row in trained}
    assert not [licence for licence in licences if "SA" in licence or "Sharing" in licence]
    assert {row["source"] for row in kept} - {row["source"] for row in trained} == tables.NEVER_SEEN
    assert {row["source"] for row in (*trained, *kept)} <= set(rows.SETS)


def test_they_are_the_same_again_and_long_benign_prompts_are_half_of_the_negatives(data):
    trained, _ = data
    rows._chosen.cache_clear()
    assert json.dumps(trained) == json.dumps(list(rows.trained_on()))
    counted = {True: 0.0, False: 0.0}
    for row in trained:
        assert row["weight"] > 0
        if row.get("prompt_injection") == 0:
            counted[row["source"] in rows.LONG] += row.get("threshold_weight", row["weight"])
    assert counted[True] == pytest.approx(counted[False], rel=0.01)


def judged():
    """Return rows on three identities of which one is called toxic more than it is."""
    random = np.random.default_rng(4)
    made, said = [], []
    for number in range(240):
        identity, toxic = ("old", "young", "tall")[number % 3], number % 2
        segments = {"identity": identity, "identity_is": "unseen" if identity == "tall" else "seen"}
        made.append({"source": "madlibs", "group": str(number), "toxicity": toxic, "segments": segments})
        said.append(1 / (1 + np.exp(-(2 * toxic - 1 + 3 * (identity == "tall") + random.normal()))))
    return tables.Judged(made, np.array(said)[:, None], {"toxicity": 0.5})


def test_bias_by_identity_is_that_of_scikit_learn():
    found = judged()
    names = np.array(found.names("identity"))
    toxic, said = found.labels("toxicity"), found.of("toxicity")

    def auc(chosen):
        return roc_auc_score(toxic[chosen], said[chosen])

    own = names == "tall"
    expected = {
        "AUROC": auc(np.ones(240, bool)),
        "BPSN": auc((own & ~toxic) | (~own & toxic)),
    }
    got = {row.what: row for row in tables.identities(found)}
    whole = next(row for what, row in got.items() if "unseen adjectives" in what)
    least = next(row for what, row in got.items() if "BPSN AUC, the least" in what)
    assert "tall (identity never seen)" in least.what
    assert (whole.value, least.value) == pytest.approx((expected["AUROC"], expected["BPSN"]))
    assert not least.aim.met(least)
    subgroup = np.mean([auc(names == name) for name in ("old", "young", "tall")])
    assert next(row.value for what, row in got.items() if "subgroup AUC, mean" in what) == pytest.approx(subgroup)
