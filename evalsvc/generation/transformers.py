"""A causal language model of the transformers library on this machine, one answer at a time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from evalsvc.cases.values import Case, digest_of
from evalsvc.errors import EngineError, InputError
from evalsvc.generation.chat import messages_of
from evalsvc.generation.values import Answer, Request, failed
from evalsvc.types import Need

if TYPE_CHECKING:
    # The engine loads numpy, for which no other kind of model has a use.
    import torch

    from evalsvc.engine.settings import EngineSettings
    from evalsvc.engine.transformer import Loaded

# What decides how a chat becomes tokens and when an answer ends, beside the weights.
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "config.json")


class TransformersSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One local model, and how it answers.

    Attributes:
        model: a folder with ``config.json``, ``tokenizer.json`` and safetensors, or a hub name with a ``revision``.
        revision: the hub commit, or the SHA-256 of the folder's weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, as for scorers.
        dtype: ``auto`` takes what the hardware computes in.
        window: tokens of prompt and answer together; ``None`` is the model's own, at most 4,096.
        system: the system's message, with ``{contexts}`` where they belong.
        template: what the user says, with ``{prompt}`` and ``{contexts}``; empty is the prompt, after the contexts.
        temperature: 0 takes the likeliest token each time; above, tokens are drawn with the request's seed.
        max_output_tokens: the longest answer.
        name: what reports call it; empty is the folder's name.
        version: and its version; empty is the beginning of the revision.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    window: int | None = None
    system: str = ""
    template: str = ""
    temperature: float = 0.0
    max_output_tokens: int = 256
    name: str = ""
    version: str = ""

    def __post_init__(self) -> None:
        """Refuse a model that would say nothing."""
        if self.template and "{prompt}" not in self.template:
            raise InputError("Expected `template` to hold {prompt}, where the case's prompt belongs, but it does not")
        if not 0.0 <= self.temperature <= 2.0:
            raise InputError(f"Expected `temperature` in [0, 2], but got {self.temperature!r}")
        if self.max_output_tokens < 1:
            raise InputError(f"Expected `max_output_tokens` of at least 1, but got {self.max_output_tokens!r}")

    @property
    def engine(self) -> EngineSettings:
        """Where and in which precision it runs."""
        from evalsvc.engine.settings import EngineSettings

        given = {"revision": self.revision, "device": self.device, "dtype": self.dtype, "window": self.window}
        return msgspec.convert({"model": self.model, **given}, EngineSettings)


class TransformersModel:
    """A generator over a local model; requests take turns on its device."""

    cacheable = True
    never_told: ClassVar[Mapping[Need, str]] = {"cost_usd": "leave the gate out: a model of one's own has no price"}
    recorded = False

    def __init__(self, settings: TransformersSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._window = 0
        self._signature = ""
        self._revision = ""

    @property
    def model(self) -> str:
        """The name given, or the folder's."""
        return self.settings.name or self.settings.model.rstrip("/").rpartition("/")[2]

    @property
    def model_version(self) -> str:
        """The version given, or the beginning of the weights' revision."""
        return self.settings.version or self._found()[1][:12]

    @property
    def signature(self) -> str:
        """Weights, tokeniser and settings, and where it runs: precisions differ. Reads files and loads no model."""
        return self._found()[0]

    def load(self) -> None:
        """Load the model, once; takes seconds.

        Raises:
            MissingExtra: without torch or transformers.
            ModelRefused: when the weights are not pinned, or not safetensors.
            EngineError: when it cannot be loaded.
        """
        from evalsvc.engine.transformer import load_transformer, window_of

        with self._lock:
            if self._loaded is None:
                loaded = load_transformer("AutoModelForCausalLM", self.settings.engine)
                self._window = window_of(loaded, self.settings.window)
                self._loaded = loaded

    def seen(self, case: Case) -> str:
        """Return the digest of the messages: how a case becomes them may change with this program."""
        return digest_of(self._messages(case))

    def estimate_usd(self, request: Request) -> float:
        """Return 0: nobody sends a bill."""
        return 0.0

    def generate(self, request: Request) -> Answer:
        """Answer; where prompt and answer do not fit into the window, the answer is shorter, or failed."""
        from evalsvc.engine.device import device_lock

        self.load()
        loaded = self._loaded
        if loaded is None:  # load() has raised then
            raise EngineError(f"Model {self.model!r} is not loaded")
        ids = self._ids(loaded, request.case)
        room = min(self.settings.max_output_tokens, self._window - len(ids))
        if room < 1:
            return failed(f"prompt does not fit into the window of {self._window} tokens", permanent=True)
        with device_lock(loaded.placement.device):
            try:
                return self._generated(loaded, ids, room, request.seed)
            except RuntimeError as error:  # memory that runs out is one, too
                return failed(f"the model raised {type(error).__name__}")

    def _found(self) -> tuple[str, str]:
        """Return signature and revision."""
        from evalsvc.engine.device import place
        from evalsvc.engine.models import locate

        with self._lock:
            if not self._signature:
                settings = self.settings
                files, placement = locate(settings.model, settings.revision), place(settings.engine)
                others = [files.folder / name for name in _FILES]
                content = [hashlib.sha256(path.read_bytes()).hexdigest() for path in others if path.is_file()]
                options = (settings.system, settings.template, settings.window, settings.version)
                self._revision = files.revision
                self._signature = (
                    f"transformers:{files.name}|revision:{files.revision}|files:{digest_of(content, 16)}|"
                    f"dtype:{placement.dtype}|device:{placement.device.partition(':')[0]}|"
                    f"temperature:{settings.temperature:g}|max_tokens:{settings.max_output_tokens}|"
                    f"options:{digest_of(options, 16)}"
                )
            return self._signature, self._revision

    def _messages(self, case: Case) -> list[dict[str, str]]:
        return messages_of(case, self.settings.system, self.settings.template)

    def _ids(self, loaded: Loaded, case: Case) -> list[int]:
        messages = self._messages(case)
        names = loaded.names
        if getattr(names, "chat_template", None):
            text = names.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return list(loaded.tokenizer.encode(text, add_special_tokens=False).ids)
        # A model that was trained on no chats continues the text.
        return list(loaded.tokenizer.encode("\n\n".join(message["content"] for message in messages)).ids)

    def _generated(self, loaded: Loaded, ids: list[int], room: int, seed: int) -> Answer:
        import torch
        from transformers import GenerationConfig

        from evalsvc.engine.transformer import first_id

        ends = loaded.model.generation_config.eos_token_id
        padding = first_id(loaded.model.config.pad_token_id, loaded.names.pad_token_id, ends)
        drawn = self.settings.temperature > 0.0
        sampling: dict[str, Any] = {"temperature": self.settings.temperature, "top_k": 0, "top_p": 1.0} if drawn else {}
        config = GenerationConfig(
            max_new_tokens=room, do_sample=drawn, eos_token_id=ends, pad_token_id=padding, **sampling
        )
        device = loaded.placement.device
        prompt = torch.tensor([ids], dtype=torch.long, device=device)
        timer, begun = _FirstToken(), time.perf_counter()
        on_gpu = [] if device == "cpu" else [torch.device(device)]
        with torch.inference_mode(), torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(seed)
            output = loaded.model.generate(
                prompt, attention_mask=torch.ones_like(prompt), generation_config=config, streamer=timer
            )
        said = output[0, len(ids) :].tolist()
        took = time.perf_counter() - begun
        stopped = bool(said) and said[-1] in (ends if isinstance(ends, list) else [ends])
        return Answer(
            response=loaded.names.decode(said, skip_special_tokens=True),
            finish_reason="stop" if stopped else "length",
            latency_ms=took * 1000.0,
            time_to_first_token_ms=None if timer.at is None else (timer.at - begun) * 1000.0,
            input_tokens=len(ids),
            output_tokens=len(said),
        )


class _FirstToken:
    """A streamer as transformers calls it: notes when the first token came; the prompt is put first."""

    def __init__(self) -> None:
        self.at: float | None = None
        self._puts = 0

    def put(self, tokens: torch.Tensor) -> None:
        """Take tokens."""
        self._puts += 1
        if self._puts == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        """Take the end."""
