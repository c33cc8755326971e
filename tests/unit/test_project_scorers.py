"""The registry of scorers: names, addresses, options, and what it says when they are wrong."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evalsvc import scorers
from evalsvc.errors import InputError, UnknownMetric
from evalsvc.protocols import Scorer

MODEL = ("perplexity", "bits_per_byte", "nli_faithfulness", "sequence_faithfulness", "token_faithfulness")
JUDGE = {"model": "judge-model", "base_url": "http://localhost:8000/v1"}
NEEDED_OPTIONS = {
    **{name: JUDGE for name in scorers.KNOWN if name.startswith(("ragas_", "deepeval_"))},
    **{name: {**JUDGE, "criteria": "It is polite."} for name in ("judge", "deepeval_geval")},
    **{name: {"model": "models/mine"} for name in MODEL},
}
"""A judge has no default: where an event's text is sent is for the operator to say. Nor have large models."""


@pytest.mark.parametrize("name", sorted(scorers.KNOWN))
def test_every_known_scorer_is_built_under_its_name(name: str) -> None:
    scorer = scorers.create(name, NEEDED_OPTIONS.get(name, {}))
    assert isinstance(scorer, Scorer)
    assert scorer.spec.metric == name


@pytest.mark.parametrize("name", sorted(NEEDED_OPTIONS.keys() & scorers.KNOWN.keys()))
def test_a_scorer_says_what_it_needs(name: str) -> None:
    with pytest.raises(InputError, match=r"Expected `(criteria|model)`"):
        scorers.create(name)


def test_a_name_of_ones_own() -> None:
    assert scorers.create("evalsvc.scorers.bleu:Bleu").spec == scorers.create("bleu").spec


def test_options_reach_the_scorer() -> None:
    assert scorers.create("chrf", {"word_order": 2}).spec != scorers.create("chrf").spec


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("blue", UnknownMetric, "did you mean `bleu`"),
        ("json:dumpz", InputError, "'json' has no 'dumpz'; did you mean `dump`"),
        ("no.such.package:X", InputError, "cannot be imported: No module named 'no'"),
        ("json:__name__", InputError, "cannot be called"),
        (":", InputError, "module:attribute"),
        ("os;rm:x", InputError, "module:attribute"),
        ("collections:OrderedDict", InputError, "OrderedDict"),
    ],
)
def test_what_is_no_scorer(name: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        scorers.create(name)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", MODEL)
def test_a_model_that_has_to_be_named_is_asked_for_in_yaml(name: str) -> None:
    with pytest.raises(InputError) as caught:
        scorers.create(name)
    example = str(caught.value).partition("write\n")[2]
    (written,) = yaml.safe_load(example)["scorers"]
    assert written["name"] == name
    assert isinstance(scorers.create(written["name"], written["options"]), Scorer)


def test_an_unknown_option() -> None:
    with pytest.raises(InputError, match=r"no option 'word_ordre' \(did you mean `word_order`\?\)"):
        scorers.create("chrf", {"word_ordre": 2})
    with pytest.raises(InputError, match="it takes none"):
        scorers.create("bleu", {"order": 2})


def test_an_operators_code_that_fails_is_a_wrong_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evalsvc_own_broken.py").write_text("x = 1 / 0\n")
    (tmp_path / "evalsvc_own_raising.py").write_text("def tone():\n    raise KeyError('TONE_KEY')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="cannot be imported: division by zero"):
        scorers.create("evalsvc_own_broken:tone")
    with pytest.raises(InputError, match="could not be built: KeyError: 'TONE_KEY'"):
        scorers.create("evalsvc_own_raising:tone")


def test_a_factory_that_takes_anything() -> None:
    assert scorers.option_names(lambda **options: scorers.create("bleu")) is None
    assert scorers.option_names(lambda a, *, b=1: scorers.create("bleu")) == ("a", "b")


def test_another_packages_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    entry = EntryPoint("tone", "evalsvc.scorers.bleu:Bleu", scorers.GROUP)
    monkeypatch.setattr(scorers, "entry_points", lambda group: [entry] if group == scorers.GROUP else [])
    assert "tone" in scorers.names()
    assert scorers.create("tone").spec.metric == "bleu"


def test_naming_scorers_imports_none_of_them() -> None:
    code = "import sys, evalsvc.scorers as s; s.names(); print([m for m in sys.modules if 'scorers.' in m])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_every_address_has_a_module() -> None:
    for address in scorers.KNOWN.values():
        assert importlib.util.find_spec(address.partition(":")[0]) is not None
