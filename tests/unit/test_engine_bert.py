"""The packed forward pass with segments and marks, against transformers' own model."""

from __future__ import annotations

import pytest

from evalsvc.engine.bert import PackedBert

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WINDOWS = [[2, 7, 9, 3], [2, 5, 3], [2, 11, 4, 4, 19, 3], [2, 6, 3]]
TYPES = [[0, 0, 1, 1], [0, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0]]
MARKS = [[0, 3, 1, 0], [0, 4, 0], [0, 1, 1, 2, 2, 0], [0, 4, 0]]


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=16, initializer_range=0.3,
    )  # fmt: skip
    return transformers.BertModel(config, add_pooling_layer=False).eval()


def packed(reference, marks=None, *, padded=False):
    weights = dict(reference.state_dict()) | ({} if marks is None else {"embeddings.marks.weight": marks})
    model = PackedBert(reference.config.to_dict(), weights, "cpu", torch.float32)
    if padded:  # as on a GPU, but for the pinned memory
        model._padded, model._on_device = True, torch.from_numpy
    return model


def one_by_one(reference, types, marks=None):
    rows = []
    for place, window in enumerate(WINDOWS):
        embedded = reference.embeddings.word_embeddings(torch.tensor([window]))
        if marks is not None:
            embedded = embedded + marks[torch.tensor([MARKS[place]])]
        given = {"token_type_ids": torch.tensor([types[place]])} if types else {}
        rows.append(reference(inputs_embeds=embedded, **given).last_hidden_state[0])
    return torch.cat(rows)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("types", [None, TYPES])
@pytest.mark.parametrize("marked", [False, True])
def test_states_are_those_of_transformers(reference, types, marked, padded):
    table = torch.randn(5, 32, generator=torch.Generator().manual_seed(1)) if marked else None
    model = packed(reference, table, padded=padded)
    with torch.inference_mode():
        hidden, slots = model.hidden(WINDOWS, types, MARKS if marked else None)
        expected = one_by_one(reference, types, table)
    assert hidden.dtype == torch.float32
    assert slots == (24 if padded else 16)
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=0)


def test_a_pool_is_the_mean_of_the_states(reference):
    model = packed(reference)
    with torch.inference_mode():
        pooled, _ = model.pool(WINDOWS)
        states = model.hidden(WINDOWS)[0].split([len(window) for window in WINDOWS])
    torch.testing.assert_close(pooled, torch.stack([each.mean(0) for each in states]))


def test_marks_without_weights_for_them_are_refused(reference):
    with pytest.raises(ValueError, match="marks were given"):
        packed(reference).hidden(WINDOWS, None, MARKS)
