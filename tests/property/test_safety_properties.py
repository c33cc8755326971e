"""What holds of leakage, injections, endings and speeds for any text and figure."""

from __future__ import annotations

import math
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.scorers._finish_reasons import ENDINGS, ending_of
from evalsvc.scorers.context_injection import ContextInjection, find_injections
from evalsvc.scorers.operational import TokensPerSecond
from evalsvc.scorers.system_prompt_leakage import SystemPromptLeakage, words_of
from evalsvc.scorers.task_outcome import HumanHandover, TaskCompleted
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Abstained, Message, Outcome, Scored

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=80)
PIECES = st.sampled_from(
    ["ignore ", "all ", "previous ", "instructions ", "system: ", "you are ", "<!-- ", "-->", "AI ", "\u200b", "\u202e",
     "I'll ", "transfer ", "you ", "to an agent ", ". ", "\n", "'", "![x](https://a/?q=", "{", "}",
     "🏴", "\U000e0067", "\ud800"]
)  # fmt: skip
TRICKY = st.lists(PIECES, max_size=25).map("".join)
WORDS = st.lists(
    st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]),
    max_size=60,
)


def value(outcome: Outcome) -> float | None:
    return outcome.value if isinstance(outcome, Scored) else outcome if isinstance(outcome, float) else None


def leakage(system: str, response: str) -> Outcome:
    prompt = (Message("system", system), Message("user", "?"))
    return SystemPromptLeakage().score([make_sample(prompt=prompt, response=response, contexts=())])[0]


def containment(system: list[str], response: list[str]) -> float | None:
    secret, told = ({tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (system, response))
    return len(secret & told) / len(secret) if len(secret) >= 10 and response else None


@given(WORDS, WORDS)
def test_leakage_is_the_containment_of_shingles(system: list[str], response: list[str]) -> None:
    assert value(leakage(" ".join(system), ", ".join(response))) == containment(system, response)


@given(WORDS, WORDS, WORDS)
def test_more_text_in_the_response_never_hides_a_leak(system: list[str], response: list[str], more: list[str]) -> None:
    alone, longer = (value(leakage(" ".join(system), " ".join(words))) for words in (response, response + more))
    assert alone is None or (longer is not None and longer >= alone)


@given(WORDS)
def test_the_spans_of_a_leak_are_repeated_words(words: list[str]) -> None:
    told = " ".join(words)
    outcome = leakage(f"Kim {told} once", f"So: {told}!")
    for span in outcome.detail["spans"] if isinstance(outcome, Scored) else ():
        assert f"So: {told}!"[span["start"] : span["end"]] in told


@given(ANY_TEXT | TRICKY)
def test_positions_lie_in_the_text(text: str) -> None:
    words = words_of(text)
    assert all(text[start:end].casefold() == word for word, start, end in zip(*words, strict=True))
    hits = find_injections(text)
    assert all(0 <= hit.start < hit.end <= len(text) for hit in hits)
    assert hits == find_injections(text)


@given(st.lists(ANY_TEXT | TRICKY, max_size=4))
def test_a_set_of_contexts_is_injected_where_one_of_them_is(contexts: list[str]) -> None:
    (together,) = ContextInjection().score([make_sample(contexts=tuple(contexts))])
    alone = [outcome for text in contexts for outcome in ContextInjection().score([make_sample(contexts=(text,))])]
    values = [one for one in map(value, alone) if one is not None]
    # A context of white space alone is skipped where it stands alone, and may hide characters beside others.
    if values:
        assert value(together) is not None
        assert value(together) >= max(values)
    else:
        assert isinstance(together, Abstained)


@settings(max_examples=25)
@given(st.lists(ANY_TEXT | TRICKY, min_size=1, max_size=4), st.sampled_from(["stop", "length", "tool_use", "?", None]))
def test_they_keep_the_contract_on_any_text(texts: list[str], ending: str | None) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    samples = [
        make_sample(str(place), response=text, contexts=tuple(clean), finish_reason=ending)
        for place, text in enumerate(clean)
    ]
    for scorer in (ContextInjection(), SystemPromptLeakage(), TaskCompleted(), HumanHandover()):
        check_scorer(scorer, samples)


@given(ANY_TEXT)
def test_any_word_may_be_a_finish_reason(word: str) -> None:
    known = re.sub(r"[- ]", "_", word.strip().casefold().rpartition(".")[2]).removeprefix("finish_reason_")
    assert ending_of(word) == ENDINGS.get(known)


@given(st.integers(1, 10**6), st.floats(1e-3, 1e9))
def test_twice_the_time_is_half_the_speed(tokens: int, latency: float) -> None:
    once, twice = TokensPerSecond().score(
        [make_sample(output_tokens=tokens, latency_ms=latency * factor) for factor in (1, 2)]
    )
    assert isinstance(once, float)
    assert isinstance(twice, float)
    assert math.isclose(once, 2 * twice, rel_tol=1e-12)
