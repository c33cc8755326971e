"""``evalsvc scorers``: the list, one scorer in full, and scorers of other people that are broken in any way."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from evalsvc import scorers
from evalsvc._cli_scorers import COSTS, HERE, Listed, look, scale_text
from evalsvc.cli import main
from evalsvc.types import Scale

OTHERS = '''
"""Scorers of other people, good and broken."""

import sys

from evalsvc.errors import InputError, MissingExtra
from evalsvc.types import Scale, ScorerSpec


class Tone:
    """Counts kind words.

    More is nicer.
    """

    spec = ScorerSpec("tone", 3, Scale(None, None, "neither"), signature="words:kind")

    def __init__(self, words: int = 7) -> None:
        pass

    def load(self):
        raise RuntimeError("a model was loaded")

    def cost(self, sample):
        return 1

    def score(self, batch):
        return [0.0 for _ in batch]


class Required(Tone):
    def __init__(self, model, *, revision) -> None:
        pass


class Checked(Tone):
    def __init__(self, model: str | None = None, layers: int = 2) -> None:
        if model is None:
            raise InputError("Expected `model` to be the name of a causal language model, but got none")


class Extra(Tone):
    def __init__(self) -> None:
        raise MissingExtra("ragas", "judges")


class Package(Tone):
    packages = {"json": "json", "no_such_package_here": "evalsvc[some]"}
    cost_class = "judge"


class OddPackages(Tone):
    packages = "torch"


class Raising(Tone):
    @property
    def spec(self):
        raise KeyError("spec")


class Leaving(Tone):
    def __init__(self) -> None:
        sys.exit(5)


class WrongSpec(Tone):
    spec = {"metric": "tone"}


class WrongCost(Tone):
    cost_class = ["free"]


def any_options(**options):
    return Tone()


value = 5
'''


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a module of other people's scorers on the path, under a name that no other test has imported."""
    name = f"others_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def announce(monkeypatch: pytest.MonkeyPatch, **addresses: str) -> None:
    entries = [EntryPoint(name, address, scorers.GROUP) for name, address in addresses.items()]
    monkeypatch.setattr(scorers, "entry_points", lambda group: entries if group == scorers.GROUP else [])


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["scorers", *arguments]) == 0
    return capsys.readouterr().out


def test_the_list_has_every_known_scorer(capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = ask(capsys).splitlines()
    assert header.split() == ["scorer", "v", "scale", "better", "needs", "costs", "runs", "here"]
    assert {line.split()[0] for line in lines} >= set(scorers.KNOWN)
    (bleu,) = [line for line in lines if line.startswith("bleu ")]
    assert bleu.split("  ", 1)[1].split() == [
        "1",
        "0",
        "…",
        "100,",
        "points",
        "higher",
        "response,",
        "reference",
        "characters",
        "yes",
    ]


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in map(json.loads, ask(capsys, "--format", "json").splitlines())}
    assert set(rows) >= set(scorers.KNOWN)
    assert rows["latency_ms"]["scale"]["unit"] == "ms"
    assert rows["latency_ms"]["cost"] == "none"
    assert rows["chrf"]["options"] == [{"name": "word_order", "type": "int", "default": "0"}]
    assert rows["relevance"]["cost"] == "encoder"


@pytest.mark.parametrize("name", sorted(scorers.KNOWN))
def test_what_a_known_scorer_says_is_true(name: str) -> None:
    one = look(name)
    assert one.text
    assert one.cost in COSTS or one.cost == "-"
    assert one.here
    assert one.spec is not None
    if one.here.startswith("needs option"):
        # Listed by its examples, whose signature says nothing of the operator's.
        assert one.spec.signature == ""
    else:
        assert one.spec == scorers.create(name).spec


def test_one_scorer_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    told = ask(capsys, "tokens_per_second", "refusal")
    first, second = told.split("\n\nscorer ")
    assert "options    since: Since = 'request'" in first
    assert "signature  since:request" in first
    assert "scale      0 …, tokens/s, higher is better" in first
    assert first.endswith("Speed of generation as one user sees it, in tokens per second; higher is better.")
    assert "options    none" in second
    assert "neither direction is better" in second


def test_a_scorer_by_its_address(others: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = ask(capsys, f"{others}:Tone")
    assert "metric     tone, version 3" in told
    assert "words: int = 7" in told
    assert told.rstrip().endswith("Counts kind words.")
    assert "costs      -" in told


def test_an_unknown_name_is_a_mistake_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorers", "blue"]) == 2
    assert "did you mean `bleu`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attribute", "here"),
    [
        ("Tone", HERE),
        ("WrongCost", HERE),
        ("any_options", HERE),
        ("Required", "needs option: model, revision"),
        ("Checked", "needs option: model"),
        ("Extra", "ragas is not installed; run: pip install 'evalsvc[judges]'"),
        ("Package", "needs package: no_such_package_here (pip install 'evalsvc[some]')"),
        ("OddPackages", HERE),
        ("Raising", "KeyError: 'spec'"),
        ("Leaving", "SystemExit: 5"),
        ("WrongSpec", "its spec is a dict, not a ScorerSpec"),
        ("value", "Expected 'tone' to be a class or a function that builds a scorer, but it cannot be called"),
    ],
)
def test_whether_it_can_run_here(
    others: str, attribute: str, here: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(monkeypatch, tone=f"{others}:{attribute}")
    assert look("tone").here == here
    (line,) = [line for line in ask(capsys).splitlines() if line.startswith("tone ")]
    assert line.endswith(here)
    (row,) = map(json.loads, ask(capsys, "tone", "--format", "json").splitlines())
    assert (row["runs_here"], row["why_not"]) == (here == HERE, None if here == HERE else here)


def test_what_a_class_says_of_its_cost(others: str) -> None:
    assert [look(f"{others}:{name}").cost for name in ("Tone", "WrongCost", "Package")] == ["-", "-", "judge"]
    assert look(f"{others}:any_options").options is None
    assert look("latency_ms").cost == "none"


def test_a_module_that_cannot_be_imported_breaks_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evalsvc_leaving_module.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    announce(monkeypatch, gone="no_such_module:X", odd="not an address", leaving="evalsvc_leaving_module:X")
    lines = {line.split()[0]: line for line in ask(capsys).splitlines()}
    assert "cannot be imported: No module named 'no_such_module'" in lines["gone"]
    assert "Expected a scorer as module:attribute" in lines["odd"]
    assert "no licence" in lines["leaving"]
    assert set(lines) >= set(scorers.KNOWN)
    assert look("gone") == Listed(name="gone", here=look("gone").here)


def test_an_absent_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else found(name, *rest)
    )
    assert look("relevance").here == "needs package: torch (pip install 'evalsvc[torch]')"
    assert look("bleu").here == HERE


def test_listing_loads_no_model() -> None:
    code = (
        "import sys; from evalsvc.cli import main; main(['scorers']); "
        "print([m for m in ('torch', 'transformers', 'nltk', 'safetensors') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_rouge_runs_without_importing_nltk() -> None:
    code = (
        "import sys; from evalsvc.scorers.rouge import Rouge1; rouge = Rouge1(); rouge.load(); "
        "print(rouge.values([('relations', 'relational')]).values, 'nltk' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1.0] False False"


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        (Scale(None, None, "neither"), "any number"),
        (Scale(None, 0.0, "higher", "nats"), "… 0, nats"),
        (Scale(-1.0, 1.0, "higher"), "-1 … 1"),
        (Scale(0.0, 1.0, "lower", "share", binary=True), "0 or 1"),
    ],
)
def test_scales_in_words(scale: Scale, text: str) -> None:
    assert scale_text(scale) == text


def test_a_named_scorer_that_cannot_be_imported_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorers", "bleu", "no_such_module:Bar"]) == 2
    assert "cannot be imported: No module named 'no_such_module'" in capsys.readouterr().out
