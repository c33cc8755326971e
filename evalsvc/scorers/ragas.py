"""Four metrics of ragas 0.4, judged through evalsvc's own client. Needs the extra ``judges``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec

from evalsvc.engine import Encoder, shared_encoder
from evalsvc.judges import speakable
from evalsvc.scorers._encoder import EncoderScorer
from evalsvc.scorers._judge_libraries import Conversation, LibraryScorer, import_silently, installed
from evalsvc.scorers._judged import contexts_of
from evalsvc.types import Abstained, Event, Need, Sample, Scale, ScorerSpec

STRICTNESS = 3
"""How many questions ragas has the judge write for an answer's relevancy."""

_BINARY = ("verdict", "attributed", "noncommittal")


class RagasScorer(LibraryScorer):
    """What the four share. The prompts are ragas' own, in English; the model is the operator's.

    Args:
        model, base_url, served_model, api_key_env, temperature, max_output_tokens, token_field: see
            :class:`~evalsvc.judges.JudgeSettings`.
        max_characters: longer events abstain.
        calls, prices, budget: mappings; see :class:`~evalsvc.judges.CallLimits`, :class:`~evalsvc.judges.Prices` and
            :class:`~evalsvc.judges.BudgetLimits`.
    """

    library = "ragas"
    packages: ClassVar[Mapping[str, str]] = MappingProxyType({"ragas": "evalsvc[judges]"})
    metric: str
    ragas_class: str
    needs: tuple[Need, ...]
    description: str

    _llm_class: Any = None
    _metric_class: Any = None

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; ragas' version stands for its prompts in the signature."""
        return ScorerSpec(
            metric=self.metric,
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=self.needs,
            signature=f"{self.client.settings.signature}|prompt:ragas|version:ragas.{installed('ragas')}",
            description=self.description,
        )

    def load(self) -> None:
        """Read the API key and import ragas, with its telemetry off; takes seconds.

        Raises:
            MissingExtra: without ragas.
            EngineError: when the variable of the API key is not set.
        """
        super().load()
        if self._metric_class is not None:
            return
        analytics, base, metrics = import_silently(
            "ragas", "ragas._analytics", "ragas.llms.base", "ragas.metrics.collections"
        )
        # Somebody may have imported ragas, and asked, before the variable was set.
        analytics.do_not_track.cache_clear()
        self._llm_class = _llm_class(base.InstructorBaseRagasLLM)
        self._metric_class = getattr(metrics, self.ragas_class)

    def checker(self) -> Callable[[Any], str]:
        """Return what refuses verdicts other than 0 and 1, an empty question, and fewer verdicts than statements."""
        return _Checker()

    def unfit(self, event: Event) -> Abstained | None:
        """Return why the judge is not asked: ragas sees the last user message of a prompt only, so one is needed."""
        why = super().unfit(event)
        if why is None and "prompt" in self.needs and not event.last_user_text.strip():
            return Abstained("no user message")
        return why

    def measure(self, sample: Sample, conversation: Conversation) -> float:
        """Run the metric on one sample, with a metric object of its own."""
        llm = self._llm_class(conversation)
        arguments = self.arguments(sample)
        result = asyncio.run(self.make(self._metric_class, llm).ascore(**arguments))
        return float(result.value)

    def make(self, metric_class: Any, llm: Any) -> Any:  # noqa: ANN401 - ragas' own types
        """Return the metric object for a model."""
        return metric_class(llm=llm)

    def arguments(self, sample: Sample) -> dict[str, Any]:
        """Return what ragas is given, of what the metric needs."""
        event = sample.event
        given = {
            "prompt": ("user_input", speakable(event.last_user_text)),
            "response": ("response", speakable(event.response)),
            "contexts": ("retrieved_contexts", contexts_of(event)),
            "reference": ("reference", speakable(event.reference or "")),
        }
        return dict(given[need] for need in self.needs)


class RagasFaithfulness(RagasScorer):
    """The share of the response's statements that the contexts support, as ragas' ``Faithfulness`` judges them.

    |supported statements| / |statements|, 0 … 1, higher is better. Two calls: the judge splits the response into
    statements, then gives each a verdict. Abstains without prompt, response or contexts. Fails where the judge finds no
    statement, or gives another number of verdicts than of statements.

    Source: Es et al. 2023, RAGAS.
    """

    metric = "ragas_faithfulness"
    ragas_class = "Faithfulness"
    needs = ("prompt", "response", "contexts")
    description = "The share of the response's statements that the contexts support, judged by ragas' prompts."

    @property
    def calls_per_sample(self) -> int:
        """Statements, then verdicts."""
        return 2


class RagasAnswerRelevancy(RagasScorer):
    """How near the questions that the response answers are to the one asked, as ragas' ``AnswerRelevancy`` has it.

    The mean cosine of the question and of three questions that the judge writes for the response, 0 … 1, higher is
    better; 0 where the judge calls the response noncommittal all three times. The embeddings are our packaged MiniLM's,
    and a mean below 0 is stored as 0. Abstains without prompt or response.

    Source: Es et al. 2023, RAGAS.
    """

    packages = MappingProxyType({**RagasScorer.packages, **EncoderScorer.packages})
    metric = "ragas_answer_relevancy"
    ragas_class = "AnswerRelevancy"
    needs = ("prompt", "response")
    description = "Nearness of the question to questions that a judge writes for the response, by ragas' prompts."

    _encoder: Encoder | None = None
    _embedding_class: Any = None

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the encoder is in the signature after ``load``."""
        encoder = self._encoder.signature.replace("model:", "encoder:", 1) if self._encoder else "encoder:?"
        spec = super().spec
        return msgspec.structs.replace(spec, signature=f"{spec.signature}|strictness:{STRICTNESS}|map:max0|{encoder}")

    @property
    def calls_per_sample(self) -> int:
        """One a question."""
        return STRICTNESS

    def load(self) -> None:
        """Load ragas and the shared encoder.

        Raises:
            MissingExtra: without ragas, torch or the packaged model.
            EngineError: when the encoder cannot be loaded, or the API key's variable is not set.
        """
        super().load()
        self._encoder = shared_encoder()
        if self._embedding_class is None:
            (base,) = import_silently("ragas", "ragas.embeddings.base")
            self._embedding_class = _embedding_class(base.BaseRagasEmbedding)

    def make(self, metric_class: Any, llm: Any) -> Any:  # noqa: ANN401 - ragas' own types
        """Return the metric object with our encoder."""
        return metric_class(llm=llm, embeddings=self._embedding_class(self._encoder), strictness=STRICTNESS)

    def measure(self, sample: Sample, conversation: Conversation) -> float:
        """Run the metric; what little a cosine lies below 0 carries no order."""
        value = super().measure(sample, conversation)
        return 0.0 if value < 0.0 else value


class RagasContextPrecision(RagasScorer):
    """Whether useful contexts stand before useless ones, as ragas' ``ContextPrecisionWithReference`` judges it.

    Average precision: Σₖ precision@k · useful(k) / |useful|, 0 … 1, higher is better; one call a context. Contexts are
    taken in their order, blank ones and repetitions left out. Abstains without prompt, contexts or reference.

    Source: Es et al. 2023, RAGAS, and its documentation.
    """

    metric = "ragas_context_precision"
    ragas_class = "ContextPrecisionWithReference"
    needs = ("prompt", "contexts", "reference")
    description = "Average precision of the contexts' order, their use judged against the reference by ragas' prompts."

    def cost(self, sample: Sample) -> int:
        """Return the cost of one call a context."""
        return super().cost(sample) * max(1, len(sample.event.contexts))


class RagasContextRecall(RagasScorer):
    """The share of the reference's statements that the contexts hold, as ragas' ``ContextRecall`` judges them.

    |attributed statements| / |statements|, 0 … 1, higher is better; one call. Abstains without prompt, contexts or
    reference. Fails where the judge finds no statement.

    Source: Es et al. 2023, RAGAS, and its documentation.
    """

    metric = "ragas_context_recall"
    ragas_class = "ContextRecall"
    needs = ("prompt", "contexts", "reference")
    description = "The share of the reference's statements that the contexts hold, judged by ragas' prompts."


class _Checker:
    """Looks at a sample's replies in turn, and remembers how many statements the judge made."""

    def __init__(self) -> None:
        self._statements: int | None = None

    def __call__(self, reply: Any) -> str:  # noqa: ANN401 - a pydantic model of ragas
        fields = dict(reply)
        if fields.get("question") is not None and not fields["question"].strip():
            return "judge gave no question"
        rows = next((value for value in fields.values() if isinstance(value, list)), [])
        if any(value not in (0, 1) for row in (reply, *rows) for value in _verdicts(row)):
            return "judge verdict is neither 0 nor 1"
        if self._statements is None:
            self._statements = len(rows)
        elif "statements" in fields and len(rows) != self._statements:
            return "judge gave another number of verdicts than of statements"
        return ""


def _verdicts(row: object) -> list[object]:
    return [getattr(row, name) for name in _BINARY if hasattr(row, name)]


def _llm_class(base: Any) -> Any:  # noqa: ANN401 - ragas' own types
    def init(self: Any, conversation: Conversation) -> None:  # noqa: ANN401
        self.conversation = conversation

    def generate(self: Any, prompt: str, response_model: Any) -> Any:  # noqa: ANN401
        return self.conversation.ask(prompt, response_model)

    async def agenerate(self: Any, prompt: str, response_model: Any) -> Any:  # noqa: ANN401
        return self.conversation.ask(prompt, response_model)

    return type("JudgeLLM", (base,), {"__init__": init, "generate": generate, "agenerate": agenerate})


def _embedding_class(base: Any) -> Any:  # noqa: ANN401 - ragas' own types
    def init(self: Any, encoder: Encoder) -> None:  # noqa: ANN401
        self.encoder, self.cache = encoder, None

    def embed_text(self: Any, text: str) -> list[float]:  # noqa: ANN401
        return [float(number) for number in self.encoder.encode([text])[0]]

    async def aembed_text(self: Any, text: str) -> list[float]:  # noqa: ANN401
        return embed_text(self, text)

    methods = {"__init__": init, "embed_text": embed_text, "aembed_text": aembed_text}
    return type("SharedEncoderEmbedding", (base,), methods)
