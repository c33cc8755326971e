"""From a detector's file to a model that runs: its trunk found and proven, the adapter added, both in one BERT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from evalsvc.detection.adapter import Adapter, Card, read, require_runnable
from evalsvc.detection.evidence import CLS, SEP
from evalsvc.detection.heads import BESIDE, PairHeads
from evalsvc.detection.marks import MARKS
from evalsvc.engine import bert
from evalsvc.engine.bert import PackedBert
from evalsvc.engine.device import Placement, place
from evalsvc.engine.models import ModelFiles, locate
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Tokeniser
from evalsvc.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    import torch


SPECIAL = 3
"""How many tokens a window of a pair has beside those of the texts."""
_WINDOWS = {"pairs": 2, "texts": 1}


class Loaded(NamedTuple):
    """A detector in memory: its file, what that holds, its trunk, the BERT of both, and its heads in float32."""

    files: ModelFiles
    adapter: Adapter
    trunk: ModelFiles
    tokeniser: Tokeniser
    bert: PackedBert
    heads: dict[str, torch.Tensor]
    placement: Placement

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.files.name

    @property
    def card(self) -> Card:
        """What the file says of itself."""
        return self.adapter.card

    @property
    def signature(self) -> str:
        """All that changes a digit: the file, its format and trunk, the dtype and the windows."""
        tokens = self.tokeniser
        # A text's window is no longer than its trunk's, whatever the card says.
        alone = self.card.reads == "texts"
        window = f"{tokens.max_length}/{tokens.overlap}" if alone else "+".join(map(str, self.card.window))
        return (
            f"detector:{self.adapter.revision[:12]}|format:{self.card.format}"
            f"|trunk:{self.trunk.name}/{self.trunk.revision[:12]}"
            f"|dtype:{self.placement.dtype}|window:{window}/{tokens.max_windows}"
        )


def load(settings: EngineSettings, reads: Literal["pairs", "texts"]) -> Loaded:
    """Load the detector that ``settings.adapter`` names on the model of the settings.

    Raises:
        MissingExtra: when torch or the packaged model is absent.
        ModelRefused: when the trunk is not the one that the detector was fitted on.
        EngineError: when there is no such file, it is no detector of this kind, or does not fit its trunk.
    """
    if settings.adapter is None:
        raise EngineError("Expected a detector's file, but got none; make one with `evalsvc fit`")
    path = Path(settings.adapter).expanduser()
    adapter = read(path)
    if settings.adapter_revision not in (None, adapter.revision):
        raise EngineError(f"Detector {str(path)!r} was replaced after its card was read; make the scorer anew")
    card = _checked(adapter.card, path, reads)
    placement = place(settings)
    trunk = locate(settings.model, settings.revision)
    require_runnable(adapter, trunk.revision, str(path))
    _require_positions(card, trunk, path)
    # A detector was fitted to windows of its card's size: it is not the settings' to choose.
    window = card.window[0] if reads == "texts" else None
    tokeniser = Tokeniser(trunk, settings.window_overlap, settings.max_windows, window)
    model = _merged(adapter, trunk, placement, path)
    heads = {
        name: tensor.float().to(placement.device)
        for name, tensor in adapter.tensors.items()
        if name.startswith("head.")
    }
    return Loaded(
        ModelFiles(path.parent, path.name, adapter.revision), adapter, trunk, tokeniser, model, heads, placement
    )


def misfit(path: Path | str, what: str) -> EngineError:
    """Return the error of a file whose tensors are not those of its kind."""
    return EngineError(f"Detector {str(path)!r} does not fit: {what}; fit it again with `evalsvc fit`")


def pair_heads(loaded: Loaded) -> PairHeads:
    """Return the heads of a detector of pairs.

    Raises:
        EngineError: when its trunk has another vocabulary, or the file lacks what a detector of pairs has.
    """
    if loaded.tokeniser.prefix != [CLS] or loaded.tokeniser.suffix != [SEP]:
        raise EngineError(
            f"Detectors of pairs need a trunk with BERT's vocabulary, which {loaded.trunk.name!r} has not"
        )
    if len(loaded.card.tasks) != 1:
        raise misfit(loaded.name, f"a detector of pairs has one task, but its card has {len(loaded.card.tasks)}")
    marks = loaded.adapter.tensors.get("marks")
    if marks is None or tuple(marks.shape) != (MARKS, loaded.bert.width):
        raise misfit(loaded.name, f"its `marks` are not of shape {(MARKS, loaded.bert.width)}")
    try:
        heads = PairHeads.of(loaded.heads)
    except KeyError as error:
        raise misfit(loaded.name, f"it has no {error}") from error
    shapes = [tuple(tensor.shape) for tensor in heads]
    if shapes != [(2, loaded.bert.width + BESIDE), (2,)] * 2:
        raise misfit(loaded.name, f"its heads have shapes {shapes}")
    return heads


def unsuited(card: Card, reads: Literal["pairs", "texts"], task: str) -> str:
    """Return why a detector is none for a scorer of a task, by its card alone; '' where it is."""
    if card.reads != reads:
        return f"reads {card.reads}, but this scorer needs one that reads {reads}; name another file"
    if task not in card.tasks:
        return f"has no task {task!r}, only {', '.join(card.tasks) or 'none'}; name another file"
    if len(card.window) != _WINDOWS[reads] or min(card.window) < 1:
        return f"has windows of {list(card.window)} tokens, which none that reads {reads} has; fit it again"
    return ""


def _checked(card: Card, path: Path, reads: Literal["pairs", "texts"]) -> Card:
    if card.reads != reads:
        raise EngineError(
            f"Detector {str(path)!r} reads {card.reads}, but this scorer needs one that reads {reads}; "
            "name another file"
        )
    if len(card.window) != _WINDOWS[reads] or min(card.window) < 1 or not card.tasks:
        raise misfit(path, f"its card has windows of {list(card.window)} tokens and {len(card.tasks)} tasks")
    for name, task in card.tasks.items():
        # JSON has no numbers that are not finite.
        slope, at = task.calibration.slope, task.threshold.probability
        if slope <= 0.0:
            raise misfit(path, f"the slope {slope} of {name!r} is not above 0")
        if not 0.0 <= at <= 1.0:
            raise misfit(path, f"the threshold {at} of {name!r} is not in [0, 1]")
    return card


def _require_positions(card: Card, trunk: ModelFiles, path: Path) -> None:
    """Refuse windows of pairs that are longer than the trunk has positions; those of texts are cut to fit."""
    positions = int(trunk.read_json("config.json").get("max_position_embeddings") or 0)
    if card.reads == "pairs" and sum(card.window) + SPECIAL > positions:
        windows = " and ".join(map(str, card.window))
        raise misfit(
            path,
            f"it reads windows of {windows} tokens and {SPECIAL} more, but the trunk {trunk.name!r} has {positions}",
        )


def _merged(adapter: Adapter, trunk: ModelFiles, placement: Placement, path: Path) -> PackedBert:
    config = trunk.read_json("config.json")
    if not bert.supports(config):
        raise EngineError(
            f"Detectors run on a BERT encoder, but the trunk {trunk.name!r} is {config.get('model_type')!r}"
        )
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra("safetensors", "torch") from error
    for name, tensor in adapter.tensors.items():
        if not tensor.isfinite().all():
            raise misfit(path, f"its tensor {name!r} has values that are not finite")
    all_layers = int(config["num_hidden_layers"])
    layers = all_layers if adapter.card.layers is None else adapter.card.layers
    if not 1 <= layers <= all_layers:
        raise misfit(path, f"it runs {layers} layers, but its trunk {trunk.name!r} has {all_layers}")
    if adapter.last_layer >= layers:
        raise misfit(path, f"it changes `layer.{adapter.last_layer}`, but {layers} layers are run")
    try:
        weights = adapter.merged(load_file(str(trunk.folder / "model.safetensors")))
        return PackedBert({**config, "num_hidden_layers": layers}, weights, placement.device, placement.torch_dtype)
    except KeyError as error:
        raise misfit(path, f"{error} is missing from it or from its trunk {trunk.name!r}") from error
    except (RuntimeError, ValueError) as error:
        raise misfit(path, f"its tensors have other shapes than its trunk {trunk.name!r} ({error})") from error
