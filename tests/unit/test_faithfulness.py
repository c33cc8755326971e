"""Faithfulness by tiny classifiers: labels in any order, every passage read, positions, bounds, failures."""

from __future__ import annotations

import math
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.engine import EngineSettings, PairClassifier, TokenClassifier
from evalsvc.engine.registry import release_models
from evalsvc.engine.runner import ItemFailure
from evalsvc.errors import EngineError, InputError, ModelRefused
from evalsvc.scorers._passages import cut, passages
from evalsvc.scorers.sentence_faithfulness import Judging, NliFaithfulness, SequenceFaithfulness, judge
from evalsvc.scorers.token_faithfulness import Marking, TokenFaithfulness, mark
from evalsvc.testing import check_scorer
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Failed, Scored
from models.tiny_transformers import make_tiny_classifier, rename_labels

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WINDOW = 64
NLI = ("CONTRADICTION", "neutral", "Entailment")
CONTEXTS = ("The parcel arrives on monday. Express orders take one day.", "Refund in three days.")
RESPONSE = "The parcel arrives on monday. 99 zebras. Refund in three days!"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("classifiers")
    yield {
        "nli": make_tiny_classifier(root / "nli", NLI, positions=WINDOW),
        "one": make_tiny_classifier(root / "one", 1, positions=WINDOW),
        "two": make_tiny_classifier(root / "two", 2, positions=WINDOW),
        "tokens": make_tiny_classifier(root / "tokens", 2, tokens=True, positions=WINDOW),
    }
    release_models()


def build(kind, folder, **options):
    scorer = kind(model=str(folder), device="cpu", dtype="float32", **options)
    scorer.load()
    return scorer


@pytest.fixture
def nli(folders):
    return build(NliFaithfulness, folders["nli"])


@pytest.fixture
def tokens(folders):
    return build(TokenFaithfulness, folders["tokens"])


def unloaded(folders):
    return {
        "nli": lambda: NliFaithfulness(str(folders["nli"]), device="cpu", dtype="float32"),
        "one": lambda: SequenceFaithfulness(str(folders["one"]), device="cpu", dtype="float32"),
        "two": lambda: SequenceFaithfulness(str(folders["two"]), supported=1, device="cpu", dtype="float32"),
        "tokens": lambda: TokenFaithfulness(str(folders["tokens"]), device="cpu", dtype="float32"),
    }


NAMES = ["nli", "one", "two", "tokens"]


class Overlap:
    """A detector of sentences without a model: words are tokens, support is the share of words in the passage."""

    room = 12

    def spans(self, texts):
        return [[match.span() for match in re.finditer(r"\w+", text)] for text in texts]

    def support(self, cases):
        return [np.array([[self.share(p, t) for p in c.passages] for t in c.texts], dtype=np.float32) for c in cases]

    def hallucinated(self, cases):
        return [[np.stack([self.absent(p, t) for p in c.passages]) for t in c.texts] for c in cases]

    @staticmethod
    def absent(passage, text):
        return np.array([word not in passage.lower() for word in words(text)], dtype=np.float32)

    @staticmethod
    def share(passage, text):
        return np.mean([word in passage.lower() for word in words(text)])


def words(text):
    return re.findall(r"\w+", text.lower())


# -- cutting ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["aa ", "bb. ", "cc", ". ", "\n\n", "Dd! ", "。"]), max_size=80),
    st.integers(1, 9),
    st.booleans(),
)
def test_spans_hold_all_words_in_order_and_no_more_than_their_size(parts, size, overlap):
    text = "".join(parts)
    tokens = [match.span() for match in re.finditer(r"\w", text)]
    spans = cut(text, tokens, size, overlap=overlap)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(start in covered for start, _ in tokens)
    assert all(sum(start <= token < end for token, _ in tokens) <= size for start, end in spans)
    assert spans == sorted(spans)
    if not overlap:
        assert sum(end - start for start, end in spans) == len(covered)


def test_a_fact_at_the_border_of_two_passages_is_whole_in_one():
    text = "Aa bb cc dd ee. Ff. Gg hh ii jj kk."
    tokens = [match.span() for match in re.finditer(r"\w+", text)]
    assert [text[start:end] for start, end in cut(text, tokens, 7)] == ["Aa bb cc dd ee. Ff.", "Ff. Gg hh ii jj kk."]


def test_equal_passages_are_one_and_keep_the_first_place():
    texts = ["Hello world.", "", "Hello world.", "..."]
    found = passages(texts, [[match.span() for match in re.finditer(r"\w+", text)] for text in texts], 5)
    assert [passage[:3] for passage in found] == [(0, 0, 12)]


# -- what becomes of a detector's answers ------------------------------------------------------------------------------


def test_each_sentence_takes_its_best_passage_and_says_where_it_is():
    (outcome,) = judge(Overlap(), [make_sample(contexts=CONTEXTS, response=RESPONSE)], Judging())
    assert outcome.value == pytest.approx((1 + 0 + 1) / 3)
    (missing,) = outcome.detail["unsupported"]
    assert RESPONSE[missing["start"] : missing["end"]] == "99 zebras."
    assert missing["index"] == 1
    first, last = outcome.detail["supported"]
    assert (first["context"], last["context"]) == (0, 1)
    assert "parcel arrives on monday" in CONTEXTS[0][first["context_start"] : first["context_end"]]
    assert outcome.detail["unsupported_count"] == 1


def test_min_is_the_least_supported_sentence():
    sample = make_sample(contexts=CONTEXTS, response=RESPONSE)
    (outcome,) = judge(Overlap(), [sample], Judging(aggregate="min"))
    assert outcome.value == outcome.detail["min"] == 0.0


def test_a_sentence_longer_than_the_room_has_the_support_of_its_least_part():
    response = "the parcel arrives on monday refund in zebras zebras zebras zebras zebras"
    (outcome,) = judge(Overlap(), [make_sample(contexts=CONTEXTS, response=response)], Judging())
    assert outcome.detail["sentences"] == 1
    # "in zebras zebras ...": one word of six is in a context; of the first part all but one are.
    assert outcome.value == pytest.approx(1 / 6)


def test_a_token_is_made_up_only_where_no_passage_has_it():
    contexts = ("Aa bb cc dd ee. Ff gg.", "Hh ii jj kk.")
    response = "aa zz yy hh."
    (outcome,) = mark(Overlap(), [make_sample(prompt="", contexts=contexts, response=response)], Marking())
    assert outcome.detail["passages"] > 1
    (span,) = outcome.detail["spans"]
    assert response[span["start"] : span["end"]] == "zz yy"
    assert outcome.value == pytest.approx(1 - 4 / 8)


def test_a_question_longer_than_its_share_abstains():
    (outcome,) = mark(Overlap(), [make_sample(prompt="why " * 9)], Marking())
    assert outcome == Abstained("question of 9 tokens leaves no room for contexts in a window of 12")


def test_a_pair_that_failed_fails_the_sample_and_no_other(nli, monkeypatch):
    real = nli.model.forward
    poison = nli.model.tokenizer.encode("hello world", add_special_tokens=False).ids

    def forward(batch):
        if any(poison == list(item.ids[k : k + 2]) for item in batch for k in range(len(item.ids))):
            raise RuntimeError("must not be quoted")
        return real(batch)

    monkeypatch.setattr(nli.model, "forward", forward)
    broken, sound = nli.score([make_sample(response="Hello world."), make_sample(response="One day. Refund.")])
    assert broken == Failed("detector: RuntimeError")
    assert isinstance(sound, Scored)


# -- published models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_public_contract_holds(name, folders):
    check_scorer(unloaded(folders)[name](), tolerance=1e-5)


def test_probabilities_are_those_of_transformers(folders):
    model = PairClassifier.load(EngineSettings(model=str(folders["nli"]), device="cpu", dtype="float32"))
    names = transformers.AutoTokenizer.from_pretrained(folders["nli"])
    reference = transformers.AutoModelForSequenceClassification.from_pretrained(folders["nli"]).eval()
    pairs = [(CONTEXTS[0], "Refund."), (CONTEXTS[1], "the parcel"), ("a", "b")]
    for pair, found in zip(pairs, model.probabilities(pairs), strict=True):
        with torch.inference_mode():
            expected = reference(**names(*pair, return_tensors="pt", padding=False, truncation=False)).logits.softmax(
                -1
            )
        np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)


def test_token_probabilities_are_those_of_transformers(folders):
    model = TokenClassifier.load(EngineSettings(model=str(folders["tokens"]), device="cpu", dtype="float32"))
    names = transformers.AutoTokenizer.from_pretrained(folders["tokens"])
    reference = transformers.AutoModelForTokenClassification.from_pretrained(folders["tokens"]).eval()
    batch = names(CONTEXTS[0], "Refund in one day", return_tensors="pt", padding=False, truncation=False)
    with torch.inference_mode():
        expected = reference(**batch).logits.softmax(-1)[0]
    places = [place for place, text in enumerate(batch.sequence_ids(0)) if text == 1]
    (found, _) = model.probabilities([(CONTEXTS[0], "Refund in one day"), ("a", "b")])
    np.testing.assert_allclose(found, expected[places].numpy(), atol=1e-5)
    assert len(model.spans(["Refund in one day"])[0]) == len(found)


def test_positions_that_begin_behind_the_padding_shorten_the_window(tmp_path):
    make_tiny_classifier(tmp_path, 2)
    config = transformers.RobertaConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=40, pad_token_id=3,
    )  # fmt: skip
    transformers.RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    model = PairClassifier.load(EngineSettings(model=str(tmp_path), device="cpu", dtype="float32"))
    assert model.window == 36
    full, longer = model.probabilities([("a " * count, "b") for count in (31, 32)])
    assert full.shape == (2,)
    assert longer == ItemFailure("pair of 37 tokens, more than the window's 36")


def test_bfloat16_is_near_and_in_the_signature(folders, nli):
    half = NliFaithfulness(str(folders["nli"]), device="cpu", dtype="bfloat16")
    half.load()
    sample = make_sample(contexts=CONTEXTS, response=RESPONSE)
    assert half.score([sample])[0].value == pytest.approx(nli.score([sample])[0].value, abs=0.05)
    assert "dtype:bfloat16" in half.spec.signature


def test_the_score_is_the_mean_of_the_greatest_entailments(nli):
    (outcome,) = nli.score([make_sample(contexts=CONTEXTS, response=RESPONSE)])
    sentences = ["The parcel arrives on monday.", "99 zebras.", "Refund in three days!"]
    rows = [nli.model.probabilities([(context, sentence) for context in CONTEXTS]) for sentence in sentences]
    assert outcome.value == pytest.approx(np.mean([max(row[2] for row in own) for own in rows]), abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "place"),
    [(NLI, 2), (("entailment", "neutral", "contradiction"), 0), (("not_entailment", "ENTAILMENT", "x"), 1)],
)
def test_entailment_is_found_in_any_order_and_spelling(tmp_path, labels, place):
    folder = make_tiny_classifier(tmp_path, 3)
    rename_labels(folder, labels)
    scorer = build(NliFaithfulness, folder)
    (row,) = scorer.model.probabilities([(CONTEXTS[1], "Refund.")])
    (outcome,) = scorer.score([make_sample(contexts=CONTEXTS[1:], response="Refund.")])
    assert outcome.value == pytest.approx(float(row[place]), abs=1e-6)
    release_models()


def test_opaque_labels_need_names(tmp_path):
    folder = make_tiny_classifier(tmp_path, 3)
    with pytest.raises(EngineError, match="0: LABEL_0, 1: LABEL_1, 2: LABEL_2"):
        build(NliFaithfulness, folder)
    named = build(NliFaithfulness, folder, labels=["contradiction", "entailment", "neutral"])
    assert "label:1/3" in named.spec.signature
    with pytest.raises(EngineError, match="as many `labels`"):
        build(NliFaithfulness, folder, labels=["entailment", "other"])
    with pytest.raises(InputError, match="one `entailment`"):
        NliFaithfulness("folder", labels=["yes", "no"])


def test_which_class_means_support_is_never_guessed(folders):
    with pytest.raises(EngineError, match="0: LABEL_0, 1: LABEL_1, but got None"):
        build(SequenceFaithfulness, folders["two"])
    sample = make_sample(contexts=CONTEXTS[1:], response="Refund.")
    yes, no = (build(SequenceFaithfulness, folders["two"], supported=label) for label in ("label_1", 0))
    assert yes.score([sample])[0].value + no.score([sample])[0].value == pytest.approx(1, abs=1e-6)
    assert yes.spec.signature != no.spec.signature


def test_a_single_logit_is_a_sigmoid(folders):
    scorer = build(SequenceFaithfulness, folders["one"])
    names = transformers.AutoTokenizer.from_pretrained(folders["one"])
    reference = transformers.AutoModelForSequenceClassification.from_pretrained(folders["one"]).eval()
    with torch.inference_mode():
        logit = float(
            reference(**names(CONTEXTS[1], "Refund.", return_tensors="pt", padding=False, truncation=False)).logits
        )
    (outcome,) = scorer.score([make_sample(contexts=CONTEXTS[1:], response="Refund.")])
    assert outcome.value == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)


def test_token_labels_of_more_than_two_need_a_name(tmp_path):
    folder = make_tiny_classifier(tmp_path, ("ok", "made_up", "other"), tokens=True)
    with pytest.raises(EngineError, match="0: ok, 1: made_up, 2: other"):
        build(TokenFaithfulness, folder)
    assert "label:1/3" in build(TokenFaithfulness, folder, hallucinated="made_up").spec.signature


def test_marked_spans_lie_on_the_classifiers_tokens(tokens):
    response = "Refund in one day or 99 zebras. Hello world."
    sample = make_sample(prompt="refund?", contexts=CONTEXTS, response=response)
    (outcome,) = tokens.score([sample])
    marked = sum(len(response[s["start"] : s["end"]].replace(" ", "")) for s in outcome.detail["spans"])
    assert marked == outcome.detail["hallucinated_characters"]
    assert outcome.value == pytest.approx(1 - marked / outcome.detail["characters"])
    assert outcome.detail["characters"] == len(response.replace(" ", ""))
    assert all(0.5 <= span["probability"] <= 1 for span in outcome.detail["spans"])


def test_the_template_is_what_the_model_reads(folders):
    sample = make_sample(prompt="refund {context}?", contexts=CONTEXTS[1:], response="one day")
    plain = build(TokenFaithfulness, folders["tokens"])
    other = build(TokenFaithfulness, folders["tokens"], template="a b c {context} hello {question}")
    seen = []
    real = other.model.probabilities
    other.model.probabilities = lambda pairs: seen.extend(pairs) or real(pairs)
    other.score([sample])
    del other.model.probabilities
    assert seen == [("a b c Refund in three days. hello refund {context}?", "one day")]
    assert plain.spec.signature != other.spec.signature
    with pytest.raises(InputError, match="context"):
        TokenFaithfulness("folder", template="{question}")


@pytest.mark.parametrize("name", NAMES)
def test_equal_contexts_cost_nothing(name, folders):
    scorer = unloaded(folders)[name]()
    release_models()
    scorer.load()
    (once,) = scorer.score([make_sample(contexts=CONTEXTS, response=RESPONSE)])
    windows = scorer.model.stats.windows
    (again,) = scorer.score([make_sample(contexts=(*CONTEXTS, " ", *CONTEXTS, ""), response=RESPONSE)])
    assert scorer.model.stats.windows == windows
    assert again == once


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contexts": ()}, "no contexts"),
        ({"contexts": ("", " ")}, "no contexts"),
        ({"contexts": ("...",)}, "no words in the contexts"),
        ({"response": " "}, "empty response"),
        ({"response": "🙂!"}, "no words in the response"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_judged_abstains(name, folders, fields, reason):
    scorer = unloaded(folders)[name]()
    scorer.load()
    assert scorer.score([make_sample(**fields)]) == [Abstained(reason)]


@pytest.mark.parametrize("text", ["a", "שלום עולם", "日本語です。はい", "a\x00b\x1b[0m c", "x" * 3000, "refund " * 300])
@pytest.mark.parametrize("name", NAMES)
def test_odd_texts_are_values_on_either_side(name, folders, text):
    scorer = unloaded(folders)[name]()
    scorer.load()
    outcomes = scorer.score([make_sample(response=text), make_sample(contexts=(text, text))])
    assert all(isinstance(outcome, Scored) and 0 <= outcome.value <= 1 for outcome in outcomes)


@pytest.mark.parametrize("name", NAMES)
def test_lone_surrogates_fail_alone(name, folders):
    scorer = unloaded(folders)[name]()
    scorer.load()
    samples = [make_sample(response="\ud800 broken"), make_sample(contexts=("\udfff broken",)), make_sample()]
    one, two, sound = scorer.score(samples)
    assert one == two == Failed("detector: the tokeniser refuses the text (TypeError)")
    assert isinstance(sound, Scored)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["response", "contexts"])
def test_texts_of_200_000_characters_abstain_soon(name, side, folders):
    scorer = unloaded(folders)[name]()
    scorer.load()
    text = "The parcel arrives on monday, or not. " * 5300
    started = time.process_time()
    (outcome,) = scorer.score([make_sample(**{side: text if side == "response" else (text,)}, prompt="hello")])
    if side == "response":
        assert isinstance(outcome, Abstained)
        assert "pairs" in outcome.reason
    assert time.process_time() - started < 10


def test_every_passage_of_a_long_context_is_read(folders):
    # Room for eight sentences a passage: the needle is in the last of many.
    scorer = build(NliFaithfulness, folders["nli"], max_pairs=5000)
    filler = [f"Express orders take {number} days, hello world." for number in range(2500)]
    text = " ".join([*filler, "The parcel arrives on monday."])
    assert len(text) > 100_000
    seen = []
    real = scorer.model.probabilities
    scorer.model.probabilities = lambda pairs: seen.extend(pairs) or [np.zeros(3, np.float32) for _ in pairs]
    (outcome,) = scorer.score([make_sample(contexts=(text,), response="Refund.")])
    assert isinstance(outcome, Scored)
    read = " ".join(passage for passage, _ in seen)
    assert all(sentence in read for sentence in [*filler[::97], "The parcel arrives on monday."])
    scorer.model.probabilities = real
    assert not any(isinstance(row, ItemFailure) for row in real(seen[:20] + seen[-20:]))
    del scorer.model.probabilities


@pytest.mark.parametrize("name", NAMES)
def test_memory_that_runs_out_changes_no_value(name, folders, monkeypatch):
    samples = [make_sample(response=RESPONSE), make_sample(contexts=CONTEXTS), make_sample()]
    scorer = unloaded(folders)[name]()
    scorer.load()
    expected = scorer.score(samples)
    release_models()
    scorer.load()
    real = scorer.model.forward

    def forward(batch):
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch)

    monkeypatch.setattr(scorer.model, "forward", forward)
    values = [outcome.value for outcome in scorer.score(samples)]
    assert values == pytest.approx([outcome.value for outcome in expected], abs=1e-5)
    assert scorer.model.stats.out_of_memory > 0
    release_models()


@pytest.mark.parametrize("name", NAMES)
def test_no_number_from_the_model_names_the_model(name, folders, monkeypatch):
    release_models()
    scorer = unloaded(folders)[name]()
    scorer.load()
    real = scorer.model.forward
    monkeypatch.setattr(scorer.model, "forward", lambda batch: real(batch) * math.nan)
    (outcome,) = scorer.score([make_sample()])
    assert isinstance(outcome, Failed)
    assert scorer.model.files.name in outcome.reason
    release_models()


def test_passages_of_a_size_asked_for(folders):
    small = build(NliFaithfulness, folders["nli"], passage_tokens=10)
    large = build(NliFaithfulness, folders["nli"])
    sample = make_sample(contexts=(" ".join(CONTEXTS),), response="Refund.")
    assert small.score([sample])[0].detail["passages"] > large.score([sample])[0].detail["passages"]
    assert small.spec.signature != large.spec.signature
    with pytest.raises(EngineError, match="passage_tokens"):
        build(NliFaithfulness, folders["nli"], passage_tokens=WINDOW)


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        (NliFaithfulness, {"aggregate": "max"}, "mean, min"),
        (NliFaithfulness, {"threshold": 1.5}, "threshold"),
        (SequenceFaithfulness, {"max_pairs": 0}, "max_pairs"),
        (SequenceFaithfulness, {"passage_tokens": 0}, "passage_tokens"),
        (TokenFaithfulness, {"threshold": 0.0}, "threshold"),
        (TokenFaithfulness, {"max_pairs": 0}, "max_pairs"),
    ],
)
def test_options_outside_their_bounds_are_refused(kind, more, message):
    with pytest.raises(InputError, match=message):
        kind("folder", **more)


@pytest.mark.parametrize("kind", [NliFaithfulness, SequenceFaithfulness, TokenFaithfulness])
def test_hub_names_without_a_commit_and_pickles_are_refused(kind, tmp_path):
    with pytest.raises(ModelRefused, match="40 hexadecimal digits"):
        kind("owner/name").load()
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelRefused, match="pickles can run code"):
        kind(str(tmp_path)).load()
