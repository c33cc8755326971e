"""What the scorers on other people's judge metrics share: our client in their model's place, and no word elsewhere.

ragas and deepeval send usage statistics, read ``.env`` and write files unless told not to. They are told before their
import, which is in ``load()``, and what they are told stays: both look at the environment again while they run.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalsvc.errors import MissingExtra
from evalsvc.judges import JudgeClient, Spend, judge_settings, read_object
from evalsvc.scorers._judged import MAX_CHARACTERS, JudgedScorer
from evalsvc.types import Abstained, Failed, Outcome, Sample, Scored

SILENCE: Mapping[str, str] = {
    "RAGAS_DO_NOT_TRACK": "true",
    "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
    "DEEPEVAL_FILE_SYSTEM": "READ_ONLY",
    "DEEPEVAL_DISABLE_DOTENV": "1",
    "DEEPEVAL_DISABLE_LEGACY_KEYFILE": "1",
    "DEEPEVAL_UPDATE_WARNING_OPT_IN": "0",
}
"""Variables that are set, over anything that stands there, before either package is imported."""

_TOLERANCE = 1e-9


class StopJudging(Exception):
    """Carries out of a library's code the outcome that a call came to."""

    def __init__(self, outcome: Abstained | Failed) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


class Conversation:
    """The calls that a library makes about one sample: what they cost, and a stop at the first without an answer."""

    def __init__(self, client: JudgeClient, check: Callable[[Any], str]) -> None:
        self._client, self._check = client, check
        self.spend = Spend()

    def ask(self, prompt: str, schema: Any = None) -> Any:  # noqa: ANN401 - a pydantic model, unknown before load()
        """Return the reply as an instance of the schema, or as text without one.

        Raises:
            StopJudging: when there is no reply, or none that fits the schema.
        """
        answer = self._client.complete([{"role": "user", "content": prompt}])
        if isinstance(answer, (Abstained, Failed)):
            raise StopJudging(answer)
        self.spend += answer.spend
        if schema is None:
            return answer.text
        found = read_object(answer.text)
        if isinstance(found, str):
            cut = ", and was cut off at `max_output_tokens`" if answer.finish_reason == "length" else ""
            raise StopJudging(Failed(found + cut))
        try:
            reply = schema.model_validate(found)
        # pydantic's message quotes the reply, and the reply may quote the event.
        except ValueError:
            raise StopJudging(Failed("judge reply does not fit the metric's schema")) from None
        if wrong := self._check(reply):
            raise StopJudging(Failed(wrong))
        return reply


class LibraryScorer(JudgedScorer):
    """A metric of ragas or deepeval, judged through our client: budget, breaker, time-outs and cost are ours.

    Args:
        model, base_url, served_model, api_key_env, temperature, max_output_tokens, token_field: see
            :class:`~evalsvc.judges.JudgeSettings`.
        max_characters: longer events abstain.
        calls, prices, budget: mappings; see :class:`~evalsvc.judges.CallLimits`, :class:`~evalsvc.judges.Prices` and
            :class:`~evalsvc.judges.BudgetLimits`.
    """

    library: str

    def __init__(
        self,
        model: str = "",
        base_url: str = "",
        *,
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
        settings = judge_settings(
            model=model,
            base_url=base_url,
            served_model=served_model,
            api_key_env=api_key_env,
            temperature=temperature,
            max_output_tokens=max_output_tokens,
            token_field=token_field,
            calls=calls,
            prices=prices,
            budget=budget,
        )
        super().__init__(settings, max_characters)

    @abstractmethod
    def measure(self, sample: Sample, conversation: Conversation) -> float:
        """Return the library's value. May raise anything."""

    def checker(self) -> Callable[[Any], str]:
        """Return what looks for faults in the replies about one sample: '' or the reason; it may remember them."""
        return lambda reply: ""

    def judge(self, sample: Sample) -> Outcome:
        """Return the library's value in [0, 1] with its cost; NaN, another value or an exception is ``Failed``."""
        conversation = Conversation(self.client, self.checker())
        try:
            value = float(self.measure(sample, conversation))
        except StopJudging as stop:
            return stop.outcome
        # Whatever a library raises is its kind and no more: its message may quote the event.
        except Exception as error:
            return Failed(f"{self.library}: {type(error).__name__}")
        if not math.isfinite(value):
            return Failed(f"{self.library}: the value is not a number")
        if not -_TOLERANCE <= value <= 1.0 + _TOLERANCE:
            return Failed(f"{self.library}: the value is out of range 0 to 1")
        return Scored(min(max(value, 0.0), 1.0), conversation.spend.detail())


def installed(library: str) -> str:
    """Return a package's version for a signature; ``none`` where it is not installed, which ``load()`` refuses."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def import_silently(library: str, *modules: str) -> list[Any]:
    """Import modules of ragas or deepeval with their telemetry off, their banners and their warnings swallowed.

    Raises:
        MissingExtra: when the package, or one that it needs, is not installed.
    """
    os.environ.update(SILENCE)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return [import_module(module) for module in modules]
    except ImportError as error:
        raise MissingExtra(library, "judges") from error
