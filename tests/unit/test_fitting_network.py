"""The trunk as it is fitted, and as it runs; what rows become; a run that is broken off and goes on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer  # noqa: E402

from evalsvc.detection.adapter import Adapter, Card  # noqa: E402
from evalsvc.detection.evidence import Budget  # noqa: E402
from evalsvc.detection.marks import MARKS  # noqa: E402
from evalsvc.engine.bert import PackedBert  # noqa: E402
from evalsvc.engine.models import locate  # noqa: E402
from evalsvc.errors import EngineError  # noqa: E402
from evalsvc.fitting.made import made_rows  # noqa: E402
from evalsvc.fitting.network import Trunk, padded  # noqa: E402
from evalsvc.fitting.objectives import PairObjective, TextObjective  # noqa: E402
from evalsvc.fitting.training import Network, TrainingSettings, train  # noqa: E402
from evalsvc.fitting.values import Mark, Row  # noqa: E402

WIDTH, LAYERS = 32, 2
CONFIG = {
    "hidden_size": WIDTH,
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "intermediate_size": 64,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
CONTEXTS = ("The hotel opened in 1962. It has ninety rooms.",)


def pair(said: str, label: str, spans: tuple[Mark, ...] | None = None) -> Row:
    found = (label != "supported",)
    place = f"{said}/{label}"
    return Row(id="", place=place, group="", text=said, found=found, contexts=CONTEXTS, label=label, spans=spans)


def text(said: str, *found: bool | None) -> Row:
    return Row(id="", place=said, group="", text=said, found=found)


FAITHFUL = pair("It opened in 1962.", "supported")
WRONG = pair("It opened in 1963.", "contradicted")


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return a small random encoder under the names of transformers."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    return {name: tensor.detach() for name, tensor in BertModel(BertConfig(**CONFIG)).state_dict().items()}


def read(ids: Sequence[int], types: Sequence[int]) -> NDArray[np.int32]:
    """Return a sequence without marks as it is read."""
    return np.array((ids, types, [0] * len(ids)), np.int32)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer.from_file(str(locate("all-MiniLM-L6-v2").folder / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


def trunk(marks: int = 0, dropout: float = 0.0) -> Trunk:
    torch.manual_seed(1)
    return Trunk(weights(), CONFIG, 4, marks, dropout)


def pair_network(tokenizer: Tokenizer) -> Network:
    torch.manual_seed(2)
    return Network(trunk(MARKS, 0.1), PairObjective(tokenizer, Budget(160, 96), WIDTH), "cpu")


def test_before_any_step_it_is_the_trunk_itself() -> None:
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**CONFIG)).eval()
    model.load_state_dict(weights())
    ids = [[101, 2054, 2003, 102], [101, 102]]
    types = [[0, 0, 1, 1], [0, 0]]
    batch = padded([read(one, two) for one, two in zip(ids, types, strict=True)], "cpu")
    expected = model(input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.real.long())
    found = trunk(MARKS).eval()(batch)
    assert torch.allclose(found[batch.real], expected.last_hidden_state[batch.real], atol=1e-5)


def test_merged_it_gives_the_same_states() -> None:
    fitted = trunk().eval()
    torch.manual_seed(3)
    for name, tensor in fitted.named_parameters():
        torch.nn.init.normal_(tensor, std=0.1) if name.endswith(".up") else tensor.data.add_(0.01)
    card = Card(reads="texts", version=1, trunk="t", trunk_revision="r", window=(64,), tasks={}, data="", seed=0)
    merged = Adapter(card, fitted.tensors()).merged(weights())
    ids = [[101, 2054, 2003, 102], [101, 7592, 2088, 102]]
    expected = fitted(padded([read(one, [0] * 4) for one in ids], "cpu")).mean(1)
    found, _ = PackedBert(CONFIG, merged, "cpu", torch.float32).pool(ids)
    assert torch.allclose(found, expected, atol=1e-5)
    untouched, _ = PackedBert(CONFIG, weights(), "cpu", torch.float32).pool(ids)
    assert not torch.allclose(found, untouched, atol=1e-2)


def test_matrices_of_which_a_share_is_kept_are_means_of_the_encoders_and_those_learnt() -> None:
    fitted = trunk()
    torch.manual_seed(3)
    for name, tensor in fitted.named_parameters():
        torch.nn.init.normal_(tensor, std=0.1) if name.endswith(".up") else tensor.data.add_(0.01)
    card = Card(reads="texts", version=1, trunk="t", trunk_revision="r", window=(64,), tasks={}, data="", seed=0)
    whole = Adapter(card, fitted.tensors()).merged(weights())
    fitted.keep(0.25)
    found = Adapter(card, fitted.tensors()).merged(weights())
    changed = 0
    for name, own in weights().items():
        if name.endswith("weight") and own.dim() == 2 and name.startswith("encoder."):
            changed += not torch.allclose(whole[name], own, atol=1e-2)
            assert torch.allclose(found[name], 0.25 * whole[name] + 0.75 * own, atol=1e-6), name
    assert changed == 6 * CONFIG["num_hidden_layers"]
    assert torch.equal(found["embeddings.LayerNorm.weight"], whole["embeddings.LayerNorm.weight"])


def test_only_the_first_layers_are_run_and_learnt() -> None:
    torch.manual_seed(1)
    short = Trunk(weights(), CONFIG, 4, 0, 0.0, layers=1).eval()
    assert {name.split(".")[1] for name in short.tensors() if name.startswith("layer.")} == {"0"}
    ids = [101, 2054, 2003, 102]
    batch = padded([read(ids, [0] * 4)], "cpu")
    merged = Adapter(
        Card(reads="texts", version=1, trunk="t", trunk_revision="r", window=(64,), tasks={}, data="", seed=0),
        short.tensors(),
    ).merged(weights())
    found, _ = PackedBert({**CONFIG, "num_hidden_layers": 1}, merged, "cpu", torch.float32).pool(
        [[101, 2054, 2003, 102]]
    )
    assert torch.allclose(found, short(batch).mean(1), atol=1e-5)


def test_spans_tell_which_sentences_and_tokens_are_unsupported(tokenizer: Tokenizer) -> None:
    response = "It has ninety rooms. It opened in 1963. The owner is Ms Ober."
    spans = (Mark(34, 38, "contradicted"), Mark(40, len(response), "not_mentioned"))
    prepared = PairObjective(tokenizer, Budget(160, 96), WIDTH).prepare([pair(response, "unsupported", spans)])[0]
    assert [label for row in prepared.labels for label in row] == [0, 1, 2]
    assert prepared.tokens is not None
    offsets = tokenizer.encode(response, add_special_tokens=False).offsets
    marked = [
        response[start:end] for (start, end), found in zip(offsets, prepared.tokens[0].tolist(), strict=True) if found
    ]
    assert marked[0] == "1963"
    assert marked[1:] == ["The", "owner", "is", "Ms", "Ober", "."] or "".join(marked[1:]).startswith("Theowneris")


def test_of_several_sentences_it_is_only_known_that_one_is_unsupported(tokenizer: Tokenizer) -> None:
    objective = PairObjective(tokenizer, Budget(160, 96), WIDTH)
    two = pair("It has ninety rooms. It opened in 1963.", "contradicted")
    prepared = objective.prepare([two, WRONG, FAITHFUL])
    assert [[label for row in item.labels for label in row] for item in prepared] == [[None, None], [1], [0]]


def test_a_small_network_learns_what_is_there_to_learn(tokenizer: Tokenizer, tmp_path: Path) -> None:
    network = pair_network(tokenizer)
    rows = network.objective.prepare([FAITHFUL, WRONG] * 8)
    before = network.mean_loss(rows)
    settings = TrainingSettings(epochs=12, rank=4, learning_rate=0.02, dropout=0.0, batch_tokens=256, patience=30)
    trained = train(network, rows, rows, settings, tmp_path / "state", lambda done, of, loss: None)
    assert trained.watched_loss < before / 4
    faithful, wrong = network.logits(network.objective.prepare([FAITHFUL, WRONG]))[:, 0]
    assert wrong > faithful + 2


def test_it_stops_where_the_watched_rows_gain_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    network = pair_network(tokenizer)
    rows = network.objective.prepare([FAITHFUL, WRONG] * 4)
    opposite = network.objective.prepare([pair(FAITHFUL.text, "contradicted"), pair(WRONG.text, "supported")])
    settings = TrainingSettings(epochs=40, rank=4, learning_rate=0.02, dropout=0.0, checks=1, patience=2)
    trained = train(network, rows, opposite, settings, tmp_path / "state", lambda done, of, loss: None)
    assert trained.steps < 40
    assert trained.watched_loss == pytest.approx(network.mean_loss(opposite))


def test_spans_that_mark_no_token_leave_the_label(tokenizer: Tokenizer) -> None:
    prepared = PairObjective(tokenizer, Budget(160, 96), WIDTH).prepare(
        [pair("It opened. ", "unsupported", (Mark(10, 11),))]
    )
    assert prepared[0].labels == [[3]]
    assert prepared[0].tokens is None


def test_a_loss_that_is_no_number_ends_the_run(tokenizer: Tokenizer, tmp_path: Path) -> None:
    network = pair_network(tokenizer)
    rows = network.objective.prepare([FAITHFUL, WRONG])
    with torch.no_grad():
        network.objective.token.weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="a loss that is no number"):
        train(network, rows, rows, TrainingSettings(epochs=1), tmp_path / "state", lambda done, of, loss: None)


def test_a_damaged_state_begins_anew(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"PK\x03\x04 half")
    network = pair_network(tokenizer)
    rows = network.objective.prepare([FAITHFUL, WRONG])
    ended = train(network, rows, rows, TrainingSettings(epochs=1), tmp_path / "state", lambda done, of, loss: None)
    assert ended.steps > 0


def test_what_has_no_token_is_learnt_nothing_from(tokenizer: Tokenizer, tmp_path: Path) -> None:
    network = pair_network(tokenizer)
    rows = network.objective.prepare([FAITHFUL, WRONG, pair("\u200b", "unsupported")])
    ended = train(network, rows, rows[1:], TrainingSettings(epochs=1), tmp_path / "state", lambda done, of, loss: None)
    assert np.isfinite(ended.watched_loss)


class Stop(Exception):
    """Ends a run as an interruption would."""


def test_a_run_that_was_broken_off_ends_as_one_that_was_not(tokenizer: Tokenizer, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=4, rank=4, learning_rate=0.01, batch_tokens=128, checks=2, patience=30)

    def run(file: Path, stop_at: float | None) -> np.ndarray:
        network = pair_network(tokenizer)
        rows = network.objective.prepare([FAITHFUL, WRONG] * 4)

        def report(done: int, of: int, loss: float) -> None:
            if stop_at is not None and done > stop_at * of:
                raise Stop

        train(network, rows, rows, settings, file, report)
        return network.logits(rows)

    whole = run(tmp_path / "whole", None)
    with pytest.raises(Stop):
        run(tmp_path / "parts", 0.6)
    assert (tmp_path / "parts").exists()
    assert np.allclose(run(tmp_path / "parts", None), whole, atol=1e-6)


def test_a_full_disk_leaves_no_half_state(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = pair_network(tokenizer)
    rows = network.objective.prepare([FAITHFUL, WRONG])

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        train(network, rows, rows, TrainingSettings(epochs=1), tmp_path / "state", lambda done, of, loss: None)
    assert list(tmp_path.iterdir()) == []


def test_single_texts_have_a_logit_a_task_and_unknown_tasks_cost_nothing(tokenizer: Tokenizer) -> None:
    objective = TextObjective(tokenizer, ("toxicity", "refusal"), 16, 4, WIDTH)
    network = Network(trunk(), objective, "cpu").eval()
    rows = objective.prepare([text("a b c", True, None), text("word " * 40, None, False), text("", None, None)])
    assert [len(row.sequences.inputs) for row in rows] == [1, 4, 1]
    assert network.logits(rows).shape == (3, 2)
    assert float(network.loss([rows[2]]).detach()) == 0.0
    alone = network.logits([rows[1]])
    assert np.allclose(alone, network.logits(rows)[1:2], atol=1e-6)


def constant(objective: TextObjective, *logits: float) -> None:
    """Let the head say the same of every text."""
    torch.nn.init.zeros_(objective.texts.weight)
    objective.texts.bias.data = torch.tensor(logits)


def test_tasks_count_the_same_however_few_rows_know_them_and_whatever_those_weigh(tokenizer: Tokenizer) -> None:
    objective = TextObjective(tokenizer, ("toxicity", "refusal"), 16, 4, WIDTH)
    network = Network(trunk(), objective, "cpu").eval()
    often = [msgspec.structs.replace(text(f"often {number}", False, None), weight=3.0) for number in range(9)]
    rows = objective.prepare([*often, text("once", None, False)])
    objective.balance(rows)
    constant(objective, 1.0, 1.0)
    both = float(network.loss(rows).detach())
    constant(objective, 1.0, -3.9)
    assert both - float(network.loss(rows).detach()) == pytest.approx(both / 2, rel=0.15)
    constant(objective, -3.9, 1.0)
    assert both - float(network.loss(rows).detach()) == pytest.approx(both / 2, rel=0.15)


def test_labels_of_texts_are_not_believed_wholly(tokenizer: Tokenizer) -> None:
    objective = TextObjective(tokenizer, ("toxicity",), 16, 4, WIDTH)
    network = Network(trunk(), objective, "cpu").eval()
    for truth, sure in ((True, math.log(49)), (False, -math.log(49))):
        losses = {}
        for logit in (sure / 2, sure, 2 * sure):
            constant(objective, logit)
            losses[logit] = float(network.loss(objective.prepare([text("a", truth)])).detach())
        assert min(losses, key=lambda logit: losses[logit]) == sure


def test_of_a_long_text_an_epoch_learns_from_two_windows(tokenizer: Tokenizer) -> None:
    objective = TextObjective(tokenizer, ("toxicity",), 16, 4, WIDTH)
    short, long, endless = objective.prepare(
        [text("word " * 20, True), text(" ".join(map(str, range(100, 160))), True), text("word " * 2000, False)]
    )
    rng = np.random.default_rng(0)
    assert objective.drawn(short, rng) is short
    windows = [tuple(read[0].tolist()) for read in long.sequences.inputs]
    drawn = [[tuple(read[0].tolist()) for read in objective.drawn(long, rng).sequences.inputs] for _ in range(40)]
    assert {len(own) for own in drawn} == {2}
    assert all(first == windows[0] for first, _ in drawn)
    assert {later for _, later in drawn} == set(windows[1:])
    # Scorers abstain on more.
    assert len(endless.sequences.inputs) == 64


def documents() -> Sequence[str]:
    sentence = "In {0} the firm {1} of Bern sold {2} pumps, which were made by hand, and paid its {3} workers well."
    names = ("Ober", "Kunz", "Lang", "Frei", "Moser", "Graf", "Weber", "Huber")
    return [
        " ".join(
            sentence.format(1900 + 9 * place + number, name, 40 * place + 7, place + 12)
            for place, name in enumerate(names)
        )
        for number in range(3)
    ]


def test_made_pairs_mark_what_the_contexts_do_not_say() -> None:
    pairs = made_rows(documents(), 200, seed=5)
    assert pairs == made_rows(documents(), 200, seed=5)
    assert pairs != made_rows(documents(), 200, seed=6)
    faithful = [pair for pair in pairs if pair.label == "supported"]
    assert 60 < len(faithful) < 140
    for pair in pairs:
        shown = " ".join(pair.contexts)
        for span in pair.spans or ():
            said = pair.text[span.start : span.end]
            assert said
            if span.label == "not_mentioned":
                assert said not in shown
    assert {span.label for pair in pairs for span in pair.spans or ()} == {"contradicted", "not_mentioned"}


def test_short_documents_make_nothing() -> None:
    assert made_rows(["One sentence only, that is all there is."], 10, seed=0) == []
