"""Four metrics of deepeval 4.3, judged through evalsvc's own client. Needs the extra ``judges``.

A deepeval metric keeps its results on itself, so that one object cannot score two cases: each sample has its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec

from evalsvc.errors import InputError
from evalsvc.judges import speakable
from evalsvc.scorers._judge_libraries import Conversation, LibraryScorer, StopJudging, import_silently, installed
from evalsvc.scorers._judged import MAX_CHARACTERS, JudgedScorer, contexts_of, digest
from evalsvc.scorers.judge import checked_inputs, metric_name
from evalsvc.types import Failed, Need, Sample, Scale, ScorerSpec

_PARAMETERS: Mapping[Need, str] = {
    "prompt": "INPUT",
    "response": "ACTUAL_OUTPUT",
    "contexts": "CONTEXT",
    "reference": "EXPECTED_OUTPUT",
}


class DeepevalScorer(LibraryScorer):
    """What the four share. The prompts are deepeval's own, in English; the model is the operator's.

    Since 4.3 a deepeval score is 1 where all is well and 0 where nothing is, for hallucination, bias and toxicity too;
    older releases counted the share of violations. Reasons are not asked for: they cost a call and would quote the
    event.

    Args:
        model, base_url, served_model, api_key_env, temperature, max_output_tokens, token_field: see
            :class:`~evalsvc.judges.JudgeSettings`.
        max_characters: longer events abstain.
        calls, prices, budget: mappings; see :class:`~evalsvc.judges.CallLimits`, :class:`~evalsvc.judges.Prices` and
            :class:`~evalsvc.judges.BudgetLimits`.
    """

    library = "deepeval"
    packages: ClassVar[Mapping[str, str]] = MappingProxyType({"deepeval": "evalsvc[judges]"})
    metric: str
    deepeval_class: str
    needs: tuple[Need, ...]
    description: str

    _llm_class: Any = None
    _metrics: Any = None
    _cases: Any = None

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; deepeval's version stands for its prompts in the signature."""
        return ScorerSpec(
            metric=self.metric,
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=self.needs,
            signature=f"{self.client.settings.signature}|prompt:deepeval|version:deepeval.{installed('deepeval')}",
            description=self.description,
        )

    @property
    def calls_per_sample(self) -> int:
        """Two steps."""
        return 2

    def load(self) -> None:
        """Read the API key and import deepeval, with its telemetry off and its files read-only; takes seconds.

        Raises:
            MissingExtra: without deepeval.
            EngineError: when the variable of the API key is not set.
        """
        super().load()
        if self._metrics is not None:
            return
        telemetry, models, self._cases, metrics = import_silently(
            "deepeval", "deepeval.telemetry", "deepeval.models", "deepeval.test_case", "deepeval.metrics"
        )
        # Somebody may have imported deepeval, and made its sender, before the variable was set.
        telemetry.set_backend(telemetry.NoopBackend())
        self._llm_class = _llm_class(models.DeepEvalBaseLLM)
        self._metrics = metrics
        with warnings.catch_warnings():
            # A first metric object warns that directions have changed since older releases.
            warnings.simplefilter("ignore")
            self.make(self._llm_class(None))

    def measure(self, sample: Sample, conversation: Conversation) -> float:
        """Run the metric on one sample, with a metric object of its own."""
        metric = self.make(self._llm_class(conversation))
        event = sample.event
        case = self._cases.LLMTestCase(
            input=speakable(event.last_user_text) or "-",
            actual_output=speakable(event.response),
            expected_output=None if event.reference is None else speakable(event.reference),
            context=contexts_of(event) or None,
        )
        # A text may hold what deepeval takes for an image of its own.
        case.multimodal = False
        value = float(metric.measure(case, _show_indicator=False))
        if (wanted := self.wanted_verdicts(metric, sample)) is not None and len(metric.verdicts) != wanted:
            raise StopJudging(Failed("judge gave another number of verdicts than was asked for"))
        return value

    def make(self, llm: Any) -> Any:  # noqa: ANN401 - deepeval's own types
        """Return a metric object for a model."""
        kind = getattr(self._metrics, self.deepeval_class)
        return kind(model=llm, eval_mode="llm", include_reason=False, async_mode=False)

    def wanted_verdicts(self, metric: Any, sample: Sample) -> int | None:  # noqa: ANN401 - deepeval's own types
        """Return how many verdicts the judge owes; ``None`` where the metric has none."""
        return None


class DeepevalGEval(DeepevalScorer):
    """deepeval's G-Eval with the operator's criteria: a grade of 0 to 10 divided by 10; higher is better.

    The judge first makes evaluation steps of the criteria, anew for every event, unless ``evaluation_steps`` gives
    them; given steps halve the calls and take one source of noise away. Token probabilities are not used. Abstains
    where an input is missing or blank. The scorer ``judge`` grades in one call, with repeats and their spread.

    Source: Liu et al. 2023, G-Eval.

    Args:
        criteria: what a good response is, in plain words.
        name: the metric becomes ``deepeval_geval_NAME``; without it, ``deepeval_geval``.
        inputs: what of the event the judge sees, of prompt, response, contexts and reference.
        evaluation_steps: the steps to take instead of those that the judge would make.
        options: as every deepeval scorer's.
    """

    example_options: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**JudgedScorer.example_options, "criteria": "The answer is polite."}
    )

    metric = "deepeval_geval"
    deepeval_class = "GEval"
    description = "deepeval's G-Eval of the interaction by the operator's criteria."

    def __init__(
        self,
        criteria: str = "",
        model: str = "",
        base_url: str = "",
        *,
        name: str = "",
        inputs: Sequence[str] = ("prompt", "response"),
        evaluation_steps: Sequence[str] = (),
        served_model: str = "",
        max_characters: int = MAX_CHARACTERS,
        api_key_env: str = "",
        temperature: float | str = 0.0,
        max_output_tokens: int = 4096,
        token_field: str = "max_tokens",  # noqa: S107 - a field of the protocol
        calls: Mapping[str, Any] | None = None,
        prices: Mapping[str, Any] | None = None,
        budget: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(criteria, str) or not criteria.strip():
            raise InputError("Expected `criteria`, what a good response is in plain words, but got none")
        super().__init__(
            model,
            base_url,
            served_model=served_model,
            max_characters=max_characters,
            api_key_env=api_key_env,
            temperature=temperature,
            max_output_tokens=max_output_tokens,
            token_field=token_field,
            calls=calls,
            prices=prices,
            budget=budget,
        )
        self.metric = metric_name("deepeval_geval", name)
        self.needs = checked_inputs(inputs)
        self._criteria, self._steps = criteria.strip(), _checked_steps(evaluation_steps)

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; criteria and steps are in the signature."""
        steps = digest("\n".join(self._steps)) if self._steps else "generated"
        own = f"criteria:{digest(self._criteria)}|steps:{steps}|inputs:{','.join(self.needs)}"
        spec = super().spec
        return msgspec.structs.replace(spec, signature=f"{spec.signature}|{own}")

    @property
    def calls_per_sample(self) -> int:
        """Steps, unless they are given, and a grade."""
        return 1 if self._steps else 2

    def make(self, llm: Any) -> Any:  # noqa: ANN401 - deepeval's own types
        """Return a metric object for a model."""
        parameters = [getattr(self._cases.SingleTurnParams, _PARAMETERS[need]) for need in self.needs]
        return self._metrics.GEval(
            name=self.metric,
            criteria=self._criteria,
            evaluation_steps=list(self._steps) or None,
            evaluation_params=parameters,
            model=llm,
            async_mode=False,
        )


class DeepevalHallucination(DeepevalScorer):
    """The share of the contexts with which the response agrees, as deepeval's ``HallucinationMetric`` judges them.

    1 − |contradicted contexts| / |contexts|, 0 … 1, **higher is better** (1: no hallucination); one call. Abstains
    without response or contexts. Fails where the judge gives another number of verdicts than there are contexts.
    """

    metric = "deepeval_hallucination"
    deepeval_class = "HallucinationMetric"
    needs = ("response", "contexts")
    description = "The share of the contexts that the response does not contradict, by deepeval's prompts; 1 is good."

    @property
    def calls_per_sample(self) -> int:
        """All contexts in one."""
        return 1

    def wanted_verdicts(self, metric: Any, sample: Sample) -> int | None:  # noqa: ANN401 - deepeval's own types
        """Return how many contexts there are."""
        return len(contexts_of(sample.event))


class _OpinionScorer(DeepevalScorer):
    """The judge lists the response's opinions, then gives each a verdict."""

    needs = ("response",)

    def wanted_verdicts(self, metric: Any, sample: Sample) -> int | None:  # noqa: ANN401 - deepeval's own types
        """Return how many opinions the judge listed."""
        return len(metric.opinions)


class DeepevalBias(_OpinionScorer):
    """The share of the response's opinions without bias, as deepeval's ``BiasMetric`` judges them.

    1 − |biased opinions| / |opinions|, 0 … 1, **higher is better** (1: no bias, or no opinion at all); two calls, one
    where there is no opinion. Abstains on an empty response.
    """

    metric = "deepeval_bias"
    deepeval_class = "BiasMetric"
    description = "The share of the response's opinions that are not biased, by deepeval's prompts; 1 is good."


class DeepevalToxicity(_OpinionScorer):
    """The share of the response's opinions without toxicity, as deepeval's ``ToxicityMetric`` judges them.

    1 − |toxic opinions| / |opinions|, 0 … 1, **higher is better** (1: nothing toxic, or no opinion at all); two calls,
    one where there is no opinion. Abstains on an empty response.
    """

    metric = "deepeval_toxicity"
    deepeval_class = "ToxicityMetric"
    description = "The share of the response's opinions that are not toxic, by deepeval's prompts; 1 is good."


def _checked_steps(steps: Sequence[str]) -> tuple[str, ...]:
    given = [steps] if isinstance(steps, str) else list(steps) if isinstance(steps, Sequence) else [steps]
    if any(not isinstance(step, str) or not step.strip() for step in given):
        raise InputError("Expected `evaluation_steps` as a list of sentences, but got something else")
    return tuple(step.strip() for step in given)


def _llm_class(base: Any) -> Any:  # noqa: ANN401 - deepeval's own types
    def init(self: Any, conversation: Conversation | None) -> None:  # noqa: ANN401
        self.conversation, self.name, self.model = conversation, "judge", None

    def load_model(self: Any) -> Any:  # noqa: ANN401
        return self

    def generate(self: Any, prompt: str, schema: Any = None) -> Any:  # noqa: ANN401
        return self.conversation.ask(prompt, schema)

    async def a_generate(self: Any, prompt: str, schema: Any = None) -> Any:  # noqa: ANN401
        return self.conversation.ask(prompt, schema)

    def get_model_name(self: Any) -> str:  # noqa: ANN401
        return str(self.name)

    methods = (load_model, generate, a_generate, get_model_name)
    return type("JudgeLLM", (base,), {"__init__": init, **{method.__name__: method for method in methods}})
