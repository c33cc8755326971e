"""The registry of scorers: our names, other packages' entry points, and ``module:attribute`` for yours.

Nothing is imported before a scorer is created, and its packages and models not before its ``load()``. Only an
operator's own configuration may name a ``module:attribute``, since importing a module runs it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from evalsvc._hints import did_you_mean, nearest
from evalsvc._lacking import lacking
from evalsvc.errors import EvalsvcError, InputError, UnknownMetric
from evalsvc.protocols import Scorer, ScorerFactory

__all__ = ["GROUP", "KNOWN", "create", "factory", "hint", "lacking", "names", "option_names"]

GROUP = "evalsvc.scorers"
"""The entry point group in which other packages announce scorers."""

KNOWN: Mapping[str, str] = MappingProxyType(
    {
        "bleu": "evalsvc.scorers.bleu:Bleu",
        "chrf": "evalsvc.scorers.chrf:ChrF",
        "ter": "evalsvc.scorers.ter:Ter",
        "rouge_1": "evalsvc.scorers.rouge:Rouge1",
        "rouge_2": "evalsvc.scorers.rouge:Rouge2",
        "rouge_l": "evalsvc.scorers.rouge:RougeL",
        "rouge_lsum": "evalsvc.scorers.rouge:RougeLsum",
        "exact_match": "evalsvc.scorers.overlap:ExactMatch",
        "token_f1": "evalsvc.scorers.overlap:TokenF1",
        "edit_similarity": "evalsvc.scorers.edit_similarity:EditSimilarity",
        "embedding_similarity": "evalsvc.scorers.embedding_similarity:EmbeddingSimilarity",
        "relevance": "evalsvc.scorers.relevance:Relevance",
        "coherence": "evalsvc.scorers.coherence:Coherence",
        "context_support": "evalsvc.scorers.context_support:ContextSupport",
        "faithfulness": "evalsvc.scorers.faithfulness:Faithfulness",
        "toxicity": "evalsvc.scorers.toxicity:Toxicity",
        "prompt_injection": "evalsvc.scorers.prompt_injection:PromptInjection",
        "refusal_probability": "evalsvc.scorers.refusal_probability:RefusalProbability",
        "perplexity": "evalsvc.scorers.perplexity:Perplexity",
        "bits_per_byte": "evalsvc.scorers.perplexity:BitsPerByte",
        "nli_faithfulness": "evalsvc.scorers.sentence_faithfulness:NliFaithfulness",
        "sequence_faithfulness": "evalsvc.scorers.sentence_faithfulness:SequenceFaithfulness",
        "token_faithfulness": "evalsvc.scorers.token_faithfulness:TokenFaithfulness",
        "distinct_1": "evalsvc.scorers.distinct:Distinct1",
        "distinct_2": "evalsvc.scorers.distinct:Distinct2",
        "repetition": "evalsvc.scorers.repetition:Repetition",
        "readability": "evalsvc.scorers.readability:Readability",
        "answer_language_match": "evalsvc.scorers.answer_language_match:AnswerLanguageMatch",
        "prompt_words": "evalsvc.scorers.text_words:PromptWords",
        "response_words": "evalsvc.scorers.text_words:ResponseWords",
        "prompt_language": "evalsvc.scorers.text_language:PromptLanguage",
        "response_language": "evalsvc.scorers.text_language:ResponseLanguage",
        "prompt_embedding": "evalsvc.scorers.text_embedding:PromptEmbedding",
        "response_embedding": "evalsvc.scorers.text_embedding:ResponseEmbedding",
        "introduced_pii": "evalsvc.scorers.introduced_pii:IntroducedPii",
        "pii_in_response": "evalsvc.scorers.pii_in_response:PiiInResponse",
        "system_prompt_leakage": "evalsvc.scorers.system_prompt_leakage:SystemPromptLeakage",
        "canary_leak": "evalsvc.scorers.canary_leak:CanaryLeak",
        "context_injection": "evalsvc.scorers.context_injection:ContextInjection",
        "refusal": "evalsvc.scorers.refusal:Refusal",
        "judge": "evalsvc.scorers.judge:Judge",
        "ragas_faithfulness": "evalsvc.scorers.ragas:RagasFaithfulness",
        "ragas_answer_relevancy": "evalsvc.scorers.ragas:RagasAnswerRelevancy",
        "ragas_context_precision": "evalsvc.scorers.ragas:RagasContextPrecision",
        "ragas_context_recall": "evalsvc.scorers.ragas:RagasContextRecall",
        "deepeval_geval": "evalsvc.scorers.deepeval:DeepevalGEval",
        "deepeval_hallucination": "evalsvc.scorers.deepeval:DeepevalHallucination",
        "deepeval_bias": "evalsvc.scorers.deepeval:DeepevalBias",
        "deepeval_toxicity": "evalsvc.scorers.deepeval:DeepevalToxicity",
        "tool_calls": "evalsvc.scorers.tool_calls:ToolCalls",
        "task_completed": "evalsvc.scorers.task_outcome:TaskCompleted",
        "human_handover": "evalsvc.scorers.task_outcome:HumanHandover",
        "truncated": "evalsvc.scorers.task_outcome:Truncated",
        "latency_ms": "evalsvc.scorers.operational:LatencyMs",
        "time_to_first_token_ms": "evalsvc.scorers.operational:TimeToFirstTokenMs",
        "input_tokens": "evalsvc.scorers.operational:InputTokens",
        "output_tokens": "evalsvc.scorers.operational:OutputTokens",
        "total_tokens": "evalsvc.scorers.operational:TotalTokens",
        "context_window_utilisation": "evalsvc.scorers.operational:ContextWindowUtilisation",
        "tokens_per_second": "evalsvc.scorers.operational:TokensPerSecond",
        "cost_usd": "evalsvc.scorers.operational:CostUsd",
    }
)
"""evalsvc's own scorers: name → ``module:attribute``."""

_SPELT: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("chrf_plus_plus", "chrf++", "chrfpp", "chrf_pp"), "chrF++ is the scorer `chrf` with `options: {word_order: 2}`"
    )
    | {"corpus_bleu": "it is the scorer `bleu`, asked for with `evalsvc query bleu --statistic corpus`"}
)
"""What is measured under another name, and how."""

_ADDRESS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def names() -> tuple[str, ...]:
    """Return every name that :func:`create` knows, other packages' included. Imports none of them.

    >>> "bleu" in names()
    True
    """
    return tuple(sorted({*KNOWN, *(entry.name for entry in _announced())}))


def hint(name: str) -> str:
    """Return what somebody may have meant who wrote a name that is none.

    >>> hint("blue")
    'did you mean `bleu`?'
    >>> hint("chrf_plus_plus")
    'chrF++ is the scorer `chrf` with `options: {word_order: 2}`'
    """
    return _SPELT.get(name.lower()) or did_you_mean(name, names())


def factory(name: str) -> ScorerFactory:
    """Return what builds a scorer, by its name or its ``module:attribute``; imports its module.

    Raises:
        UnknownMetric: when there is no such name.
        InputError: when the module or the attribute cannot be imported.
    """
    if ":" in name:
        return _import(name, name)
    if name in KNOWN:
        return _import(name, KNOWN[name])
    for entry in _announced():
        if entry.name == name:
            return _import(name, entry.value)
    raise UnknownMetric(f"Expected a scorer's name or module:attribute, but got {name!r} ({hint(name)})")


def create(name: str, options: Mapping[str, Any] = MappingProxyType({})) -> Scorer:
    """Build a scorer; no model is loaded yet.

    >>> create("bleu").spec.metric
    'bleu'

    Raises:
        UnknownMetric: when there is no such name.
        InputError: when it cannot be imported, does not take one of the options, or is no scorer.
    """
    build = factory(name)
    _check_options(name, build, options)
    try:
        scorer = build(**options)
    except EvalsvcError:
        raise
    except Exception as error:
        raise InputError(f"Scorer {name!r} could not be built: {type(error).__name__}: {error}") from error
    if not isinstance(scorer, Scorer):
        raise InputError(
            f"Expected {name!r} to build a scorer (spec, load, cost, score), but got {type(scorer).__name__}"
        )
    return scorer


def option_names(build: ScorerFactory) -> tuple[str, ...] | None:
    """Return the names of the options that a factory takes; ``None`` when it takes any.

    >>> option_names(factory("chrf"))
    ('word_order',)
    """
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(parameter.name for parameter in parameters if parameter.kind in named)


def _announced() -> Iterator[EntryPoint]:
    yield from entry_points(group=GROUP)


def _import(name: str, address: str) -> ScorerFactory:
    if not _ADDRESS.fullmatch(address):
        raise InputError(f"Expected a scorer as module:attribute, as in my_scorers.tone:Tone, but got {address!r}")
    module_name, _, path = address.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # an operator's module can fail in any way, and its place is the configuration
        raise InputError(
            f"Scorer {name!r} cannot be imported: {error}; install what holds {module_name!r}, or where it is a file, "
            "set PYTHONPATH to its folder"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            near = nearest(part, [word for word in dir(found) if not word.startswith("_")])
            raise InputError(f"Scorer {name!r}: {module_name!r} has no {path!r}" + (f"; {near}" if near else ""))
        found = getattr(found, part)
    if not callable(found):
        raise InputError(f"Expected {name!r} to be a class or a function that builds a scorer, but it cannot be called")
    return found  # type: ignore[no-any-return]


def _check_options(name: str, build: ScorerFactory, options: Mapping[str, Any]) -> None:
    known = option_names(build)
    if known is None:
        return
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known) or "it takes none"
            raise InputError(f"Scorer {name!r} has no option {option!r} ({hint})")
