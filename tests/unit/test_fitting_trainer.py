"""`evalsvc fit` on the packaged encoder, from rows to a file that the scorers run: what it says is what was fitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from evalsvc.cli import main
from evalsvc.detection import adapter
from evalsvc.detection.pairs import Case, PairDetector
from evalsvc.detection.texts import TextDetector
from evalsvc.engine import EngineSettings
from evalsvc.errors import EngineError
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.made import made_rows
from evalsvc.fitting.running import fit
from evalsvc.fitting.trainer import trainer
from evalsvc.fitting.training import Network
from evalsvc.fitting.values import Options, Row, Training
from evalsvc.scorers import create
from evalsvc.testing import make_sample
from evalsvc.types import Scored

PLACES = ("Bern", "Basel", "Chur", "Sion", "Olten", "Aarau", "Zug", "Baden", "Thun", "Biel")
THINGS = ("pumps", "clocks", "scarves", "lamps", "boats", "chairs")


def pairs(since: int = 1900) -> list[dict[str, object]]:
    """Return faithful responses, and others that give another number, by 44 contexts."""
    rows: list[dict[str, object]] = []
    for number in range(44):
        place, thing = PLACES[number % 10], THINGS[number % 6]
        context = f"The firm in {place} made {thing} from {since + number} on. It had {number + 20} workers."
        wrong = number % 2
        response = f"In {place} {thing} were made from {since + number + 7 * wrong} on."
        label = "contradicted" if wrong else "supported"
        rows.append({"group": f"g{number}", "contexts": [context], "response": response, "label": label})
    return rows


def texts() -> list[dict[str, object]]:
    """Return texts with two labels, one of which is not always known."""
    rows: list[dict[str, object]] = []
    for number in range(66):
        place, thing = PLACES[number % 10], THINGS[number % 6]
        toxic = number % 2 == 0
        said = f"You stupid {thing} of {place} are worthless idiots" if toxic else f"The {thing} of {place} are lovely"
        row: dict[str, object] = {"text": f"{said}, number {number}.", "toxicity": toxic}
        if number % 3:
            row["prompt_injection"] = number % 4 == 0
        rows.append(row)
    return rows


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def fitted_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    rows = written(folder / "rows.jsonl", pairs())
    given = ["fit", "faithfulness", "--data", str(rows), "--group", "group", "--folds", "2", "--epochs", "1"]
    assert main([*given, "--out", str(folder / "out"), "--device", "cpu"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def fitted_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    rows = written(folder / "rows.jsonl", texts())
    given = ["fit", "toxicity,prompt_injection", "--data", str(rows), "--folds", "2", "--epochs", "2"]
    assert main([*given, "--out", str(folder / "out"), "--device", "cpu"]) == 0
    return folder / "out"


def settings(file: Path) -> EngineSettings:
    return EngineSettings(adapter=str(file), device="cpu", dtype="float32")


def test_what_is_written_answers_as_what_was_fitted(tmp_path: Path) -> None:
    labelled = read_labelled([written(tmp_path / "rows.jsonl", pairs())], ("faithfulness",))
    fitting = trainer(("faithfulness",), Training(epochs=1, device="cpu"))
    (tmp_path / "state").mkdir()
    trained = fitting.train(labelled.rows[:30], labelled.rows[30:40], tmp_path / "state", lambda done, of, note: None)
    expected = trained.logits(labelled.rows)[:, 0]
    made = fit(labelled, Options(out=tmp_path / "out", folds=2), fitting)
    card = adapter.read(Path(made.detector)).card
    file = tmp_path / "detector.safetensors"
    adapter.write(file, adapter.Adapter(card, trained.tensors))
    detector = PairDetector.load(settings(file))
    read = detector.read([Case(row.contexts, row.text, row.question) for row in labelled.rows])
    calibration = card.tasks["faithfulness"].calibration
    found = np.array([one.unsupported for one in read])  # type: ignore[union-attr]
    logits = (np.log(found / (1 - found)) - calibration.offset) / calibration.slope
    # The file keeps sixteen bits of what was learnt.
    assert np.allclose(logits, expected, atol=0.05)


def test_a_detector_of_texts_answers_each_of_its_tasks(fitted_texts: Path) -> None:
    file = fitted_texts / "toxicity-prompt_injection.safetensors"
    detector = TextDetector.load(settings(file))
    assert detector.tasks == ("toxicity", "prompt_injection")
    rude, kind = detector.probabilities(["You stupid idiots of Bern are worthless", "The lamps of Chur are lovely"])
    assert rude["toxicity"] > kind["toxicity"]  # type: ignore[index]
    scorer = create("toxicity", {"detector": str(file), "device": "cpu"})
    scorer.load()
    outcome = scorer.score([make_sample(response="The lamps of Chur are lovely")])[0]
    assert isinstance(outcome, Scored)
    assert outcome.value == pytest.approx(kind["toxicity"], abs=1e-6)  # type: ignore[index]


def test_the_file_is_small_and_says_what_it_was_made_of(fitted_pairs: Path, fitted_texts: Path) -> None:
    files = [fitted_pairs / "faithfulness.safetensors", fitted_texts / "toxicity-prompt_injection.safetensors"]
    assert sum(file.stat().st_size for file in files) <= 8_000_000
    card = adapter.read(files[0]).card
    assert (card.reads, tuple(card.window), tuple(card.tasks)) == ("pairs", (128, 192), ("faithfulness",))
    assert card.layers == 4
    assert sum(source.rows for source in card.tasks["faithfulness"].sources) == 44
    report = json.loads((fitted_pairs / "faithfulness.report.json").read_text())
    assert report["tasks"]["faithfulness"]["rows"] == 44


def test_a_fit_can_start_from_a_detector(
    fitted_pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = fitted_pairs / "faithfulness.safetensors"
    rows = written(tmp_path / "rows.jsonl", pairs(since=1800))
    given = ["fit", "faithfulness", "--data", str(rows), "--folds", "2", "--epochs", "1", "--device", "cpu"]
    assert main([*given, "--out", str(tmp_path / "out"), "--from", str(start)]) == 0
    found = adapter.read(tmp_path / "out" / "faithfulness.safetensors")
    assert (found.card.version, found.card.before.revision) == (2, adapter.read(start).revision)  # type: ignore[union-attr]
    assert "made:0" in found.card.training
    assert adapter.read(start).seen < found.seen  # type: ignore[operator]
    assert "seen" not in found.tensors
    fitting = trainer(("faithfulness",), Training(device="cpu", before=start))
    network = fitting._network(fitting._settings())
    own = adapter.read(start).tensors
    assert all(np.allclose(tensor, own[name].float(), atol=1e-3) for name, tensor in network.tensors().items())


@pytest.mark.parametrize(("from_shipped", "kept"), [(False, 0.5), (True, 1.0)])
def test_of_what_is_learnt_from_the_encoder_half_is_kept(
    fitted_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_shipped: bool, kept: float
) -> None:
    def learns(network: Network, *others: object) -> None:
        for name, tensor in network.named_parameters():
            if name.endswith(".up"):
                torch.nn.init.ones_(tensor)

    monkeypatch.setattr("evalsvc.fitting.trainer.train", learns)
    before = fitted_pairs / "faithfulness.safetensors" if from_shipped else None
    fitting = trainer(("faithfulness",), Training(device="cpu", before=before))
    rows = read_labelled([written(tmp_path / "rows.jsonl", pairs())], ("faithfulness",)).rows
    found = fitting.train(rows, [], tmp_path, lambda done, of, note: None).tensors
    assert {float(tensor.unique()) for name, tensor in found.items() if name.endswith(".up")} == {kept}


@pytest.mark.parametrize("card", [{"layers": None}, {"window": (160, 96)}])
def test_a_detector_of_other_windows_or_layers_is_no_start(
    fitted_pairs: Path, tmp_path: Path, card: dict[str, object]
) -> None:
    found = adapter.read(fitted_pairs / "faithfulness.safetensors")
    start = tmp_path / "other.safetensors"
    adapter.write(start, adapter.Adapter(msgspec.structs.replace(found.card, **card), found.tensors))
    with pytest.raises(EngineError, match=r"but what is fitted now reads \[128, 192\] by 4; leave out --from"):
        trainer(("faithfulness",), Training(device="cpu", before=start))


def test_a_detector_of_other_tasks_is_no_start(fitted_pairs: Path) -> None:
    start = fitted_pairs / "faithfulness.safetensors"
    with pytest.raises(EngineError, match="answers faithfulness, not toxicity"):
        trainer(("toxicity",), Training(device="cpu", before=start))


def test_rows_are_made_of_the_contexts_that_are_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = [
        " ".join(
            f"In {1900 + 10 * number + at} the {THINGS[at % 6]} of {PLACES[at]} were sold twice." for at in range(8)
        )
        for number in range(3)
    ]
    rows = [
        {"contexts": [context], "response": f"In {year} it was so, number {at}.", "label": label}
        for context in contexts
        for at, (year, label) in enumerate(((1900, "supported"), (1800, "unsupported")) * 12)
    ]
    labelled = read_labelled([written(tmp_path / "rows.jsonl", rows)], ("faithfulness",))
    fitting = trainer(("faithfulness",), Training(made=30, device="cpu"))
    given: list[list[str]] = []
    learnt: list[int] = []

    def made(documents: Sequence[str], count: int, seed: int) -> list[Row]:
        given.append(list(documents))
        return made_rows(documents, count, seed)

    monkeypatch.setattr("evalsvc.fitting.trainer.made_rows", made)
    monkeypatch.setattr("evalsvc.fitting.trainer.train", lambda network, rows, *others: learnt.append(len(rows)))
    kept = [row for row in labelled.rows if row.contexts[0] == contexts[0]]
    watched = [row for row in labelled.rows if row.contexts[0] == contexts[1]]
    fitting.train(kept, watched, tmp_path, lambda done, of, note: None)
    assert given == [[contexts[0]]]
    assert learnt == [len(kept) + 30]
