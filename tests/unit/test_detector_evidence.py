"""Which sentences of contexts are read beside a response: against a plain implementation, and what it may cost."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Sequence

import pytest

from evalsvc._sentences import sentence_spans
from evalsvc.detection.evidence import Budget, Evidence, Text, windows
from evalsvc.detection.words import Kind, Words, words

_TOKEN = re.compile(r"[^\W_]{1,4}|[^\w\s]|_")
_COMMON = """
    the of and not 7 12 Acme sold units shops prices fell rose market city Paris never was is it profit
"""
_WORDS = [*_COMMON.split(), *(f"word{n}" for n in range(60))]


def text(own: str) -> Text:
    spans = [match.span() for match in _TOKEN.finditer(own)]
    return Text(own, [1000] * len(spans), spans, words(own))


class Plain:
    """The definition, with a sort of all units for each sentence and each window."""

    def __init__(self, evidence: Evidence) -> None:
        self.units = evidence.units
        self.stems = [frozenset(unit.words.stems) for unit in self.units]

    def shared(self, sentence: Words) -> dict[int, float]:
        kinds = zip(sentence.stems, sentence.kinds, strict=True)
        found: dict[int, float] = {}
        for stem in dict.fromkeys(stem for stem, kind in kinds if kind is not Kind.FUNCTION):
            having = [place for place, own in enumerate(self.stems) if stem in own]
            for place in having:
                found[place] = found.get(place, 0.0) + math.log(1 + len(self.units) / len(having))
        return {place: total / (1 + math.log1p(len(self.stems[place])) / 4) for place, total in found.items()}

    def ranked(self, sentence: Words) -> list[int]:
        shared = self.shared(sentence)
        return sorted(shared, key=lambda place: (-shared[place], place)) or [0]

    def selected(self, sentences: Sequence[Words], most: int) -> list[int]:
        sizes = [len(unit.ids) for unit in self.units]
        if sum(sizes) <= most:
            return list(range(len(sizes)))
        chosen: list[int] = []

        def take(place: int) -> None:
            if place not in chosen and sizes[place] + sum(sizes[one] for one in chosen) <= most:
                chosen.append(place)

        ranks = [self.ranked(sentence) for sentence in sentences]
        for turn in range(max(map(len, ranks), default=0)):
            for ranked in ranks:
                if turn < len(ranked):
                    take(ranked[turn])
        after = list(chosen)
        for place in sorted(range(len(sizes)), key=lambda place: min((abs(place - one) for one in after), default=0)):
            take(place)
        return sorted(chosen)


def drawn(source: random.Random, sentences: int) -> str:
    lengths = [source.choice([1, 1, 2, 3, 5, 8, 13, 30, 150]) for _ in range(sentences)]
    return " ".join(" ".join(source.choice(_WORDS) for _ in range(length)) + "." for length in lengths)


@pytest.mark.parametrize("seed", range(24))
def test_units_are_those_of_the_plain_definition(seed: int) -> None:
    source = random.Random(seed)
    budget = (Budget(160, 96), Budget(40, 24), Budget(12, 24))[seed % 3]
    contexts = [text(drawn(source, source.randint(1, 80))) for _ in range(source.randint(1, 3))]
    response = text(drawn(source, source.randint(1, 12)))
    evidence = Evidence(contexts, min(budget))
    plain = Plain(evidence)
    spans = sentence_spans(response.text)
    for window in windows(response, evidence, "", budget):
        starts = [
            (piece.start - window.pieces[0].start, piece.stop - window.pieces[0].start) for piece in window.pieces
        ]
        parts = [response.words.between(window.offsets[a][0], window.offsets[b - 1][1]) for a, b in starts]
        assert list(window.units) == plain.selected(parts, budget.contexts)
        for piece in window.pieces:
            sentence = response.words.between(*spans[piece.sentence])
            shared = plain.shared(sentence)
            found = [place for place in window.units if place in shared]
            wanted = max(found, key=lambda place: (shared[place], -place), default=None)
            assert evidence.closest(sentence, window.units) == wanted


@pytest.mark.parametrize("sizes", [(90, 90, 2), (5, 3), (150, 60, 60)])
def test_what_does_not_fit_is_passed_over_however_far_what_fits_comes(sizes: tuple[int, ...]) -> None:
    """More units share the same than are looked at first, and only the last ones are short enough."""
    long = [" ".join(["Acme"] * sizes[n % len(sizes)]) + "." for n in range(300)]
    evidence = Evidence([text(" ".join([*long, "Acme x."]))], 96)
    sentence = [words("Acme fell."), words("Acme x rose."), words("The of.")]
    for most in (20, 97, 100, 160):
        assert evidence.selected(sentence, most) == Plain(evidence).selected(sentence, most)


def test_long_words_are_read_but_not_kept() -> None:
    from evalsvc.detection.words import _kept

    _kept.cache_clear()
    found = words(f"{'a' * 64} {'b' * 65} {'1' * 10_000}")
    assert [len(key) for key in found.keys] == [64, 65, 10_000]
    assert found.kinds[2] is Kind.NUMBER
    assert _kept.cache_info().currsize == 1


def test_a_long_question_is_none_whoever_reads_it() -> None:
    """Fitting and scoring both come here: a cap of one alone made marks that the other never saw."""
    response, evidence = text("Blender?"), Evidence([text("Parcels arrive.")], 96)

    def marks(question: str) -> list[int]:
        (window,) = windows(response, evidence, question, Budget(160, 96))
        return list(window.marks)

    short, long = "blender " * 249, "blender " * 250
    assert marks(long) == marks("") != marks(short)


def test_words_that_are_nowhere_are_counted_by_piece() -> None:
    contexts = Evidence([text("Acme sold 1,200 units in Oxford.")], 96)
    response = text("Acme sold 1200 units. It paid nobody in Bath, for 7 days! They were sold.")
    (window,) = windows(response, contexts, "Who paid?", Budget(40, 40))
    # Nobody (a negation), Bath, 7 and days; "paid" is in the question, and function words are not counted.
    assert [piece[-2:] for piece in window.pieces] == [(4, 0), (8, 4), (3, 0)]


@pytest.mark.parametrize("differ", [False, True])
def test_twenty_thousand_sentences_beside_a_long_response_are_cheap(differ: bool) -> None:
    """Each sentence shares words with each: 28 million pairs, which took a minute."""
    evidence = Evidence([text("Wabc did. " * 20_000)], 96)
    response = text("".join(f"Wabc did {n}. " if differ else "Wabc did. " for n in range(1400)))
    started = time.process_time()
    cut = windows(response, evidence, "", Budget(160, 96))
    sentence = words("Wabc did.")
    found = [evidence.closest(sentence, window.units) for window in cut for _ in window.pieces]
    assert (len(found), found[0]) == (1400, 0)
    assert time.process_time() - started < 5.0, "half a second where nothing else runs"
