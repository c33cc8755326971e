"""What the providers' words for why a model stopped mean, in five classes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Ending = Literal["stop", "length", "tool_calls", "content_filter", "error"]

_WORDS: Mapping[Ending, str] = {
    "stop": "stop stop_sequence end_turn complete completed finish finished eos eos_token end_of_text endoftext "
    "stop_criteria_met",
    "length": "length max_tokens max_output_tokens max_completion_tokens max_length model_length error_limit "
    "model_context_window_exceeded token_limit",
    "tool_calls": "tool_calls tool_call tool_use function_call function_calls",
    "content_filter": "content_filter content_filtered safety recitation blocklist prohibited_content spii "
    "image_safety language guardrail_intervened refusal error_toxic",
    "error": "error other_error timeout cancelled canceled user_cancel abort malformed_function_call "
    "malformed_model_output malformed_tool_use insufficient_system_resource",
}

ENDINGS: Mapping[str, Ending] = MappingProxyType(
    {word: ending for ending, words in _WORDS.items() for word in words.split()}
)
"""Word, in lower case with underscores → class; of OpenAI, Anthropic, Google, Amazon Bedrock, Cohere, Mistral, Hugging
Face, vLLM, DeepSeek and the AI SDK, by their documentation in 2025."""


def ending_of(finish_reason: str) -> Ending | None:
    """Return why the model stopped; ``None`` for a word that is not known.

    >>> ending_of("MAX_TOKENS"), ending_of("content-filter"), ending_of("FinishReason.STOP"), ending_of("?")
    ('length', 'content_filter', 'stop', None)
    """
    word = finish_reason.strip().casefold().rpartition(".")[2].replace("-", "_").replace(" ", "_")
    return ENDINGS.get(word.removeprefix("finish_reason_"))
