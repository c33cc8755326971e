"""What trains a detector for ``evalsvc fit``: the packaged encoder, a network of low rank, and what it is to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from evalsvc.detection import adapter
from evalsvc.detection.evidence import Budget
from evalsvc.detection.marks import MARKS
from evalsvc.engine.device import place
from evalsvc.engine.models import locate
from evalsvc.engine.settings import PACKAGED_MODEL, EngineSettings
from evalsvc.errors import EngineError
from evalsvc.fitting.made import made_rows
from evalsvc.fitting.network import Trunk
from evalsvc.fitting.objectives import PairObjective, Prepared, TextObjective
from evalsvc.fitting.training import Network, TrainingSettings, train
from evalsvc.fitting.values import Array, Row, Told, Training, reads_pairs

_TEXT_WINDOW, _TEXT_OVERLAP = 256, 32
_PAIR_WINDOW = Budget(128, 192)
_STATE = "state.pt"
_SETTINGS = {
    True: TrainingSettings(epochs=2, rank=32, layers=4, kept=0.5),
    False: TrainingSettings(epochs=3, rank=24, dropout=0.0, batch_tokens=1024),
}
"""By whether it reads pairs. With these ranks both kinds together stay below 8 MB.

Texts are short, so that a batch of a pair's size would be few steps.
"""


_Content = tuple[object, ...]


class DetectorTrainer:
    """Trains detectors of some tasks on the packaged encoder."""

    def __init__(self, tasks: Sequence[str], training: Training) -> None:
        self._tasks, self._training = tuple(tasks), training
        self._pairs = reads_pairs(tasks)
        files = locate(PACKAGED_MODEL)
        self.trunk, self.trunk_revision = files.name, files.revision
        self.window: Sequence[int] = tuple(_PAIR_WINDOW) if self._pairs else (_TEXT_WINDOW,)
        self.layers = _SETTINGS[self._pairs].layers
        self._config = files.read_json("config.json")
        stored = load_file(str(files.folder / "model.safetensors"))
        self._weights = {name.removeprefix("bert."): tensor.float() for name, tensor in stored.items()}
        self._tokenizer = Tokenizer.from_file(str(files.folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # In float32 wherever it runs: what is learnt is small changes, which 16 bits would round away.
        self._device = place(EngineSettings(device=training.device, dtype="float32")).device
        self._before = self._starting_point(training.before)
        self._prepared: dict[_Content, Prepared] = {}

    @property
    def signature(self) -> str:
        """Of all settings that change what is learnt."""
        settings = self._settings()
        return f"{settings._replace(device='')}|window:{tuple(self.window)}|made:{self._training.made}"

    def start(self) -> TrainedDetector | None:
        """Return the detector that training starts from; see :class:`~evalsvc.fitting.values.Trainer`."""
        return None if self._before is None else TrainedDetector(self, self._network(self._settings()), [])

    def train(self, rows: Sequence[Row], watched: Sequence[Row], folder: Path, report: Told) -> TrainedDetector:
        """Train on rows until those watched get no better; see :class:`~evalsvc.fitting.values.Trainer`."""
        settings = self._settings()
        torch.manual_seed(settings.seed)
        network = self._network(settings)
        made = self._made(rows, settings.seed)
        prepared = [*self._ready(network, rows), *network.objective.prepare(made)]

        def told(done: int, total: int, loss: float) -> None:
            report(done, total, f"loss {loss:.3f}")

        train(network, prepared, self._ready(network, watched), settings, folder / _STATE, told)
        network.trunk.keep(settings.kept)
        return TrainedDetector(self, network, made)

    def logits(self, network: Network, rows: Sequence[Row]) -> Array:
        """Return ``[rows, tasks]``."""
        return network.logits(self._ready(network, rows))

    def _settings(self) -> TrainingSettings:
        own = _SETTINGS[self._pairs]
        return own._replace(
            epochs=self._training.epochs or own.epochs,
            seed=self._training.seed,
            device=self._device,
            # What training starts from was scaled when it was fitted, and knows no more of other texts than it did.
            kept=own.kept if self._training.before is None else 1.0,
        )

    def _made(self, rows: Sequence[Row], seed: int) -> list[Row]:
        """Return rows made from these rows' contexts, each once: never from those that are held out."""
        if not self._training.made:
            return []
        documents = dict.fromkeys(context for row in rows for context in row.contexts)
        return made_rows(list(documents), self._training.made, seed)

    def _ready(self, network: Network, rows: Sequence[Row]) -> list[Prepared]:
        """Return rows ready to be read, prepared once for all folds."""
        keys = [_content(row) for row in rows]
        fresh = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._prepared}
        self._prepared |= zip(fresh, network.objective.prepare(list(fresh.values())), strict=True)
        return [self._prepared[key] for key in keys]

    def _network(self, settings: TrainingSettings) -> Network:
        trunk = Trunk(
            self._weights, self._config, settings.rank, MARKS if self._pairs else 0, settings.dropout, settings.layers
        )
        width = int(self._config["hidden_size"])
        objective = (
            PairObjective(self._tokenizer, _PAIR_WINDOW, width)
            if self._pairs
            else TextObjective(self._tokenizer, self._tasks, _TEXT_WINDOW, _TEXT_OVERLAP, width)
        )
        if self._before is not None:
            own = {name: tensor for name, tensor in self._before.items() if not name.startswith("head.")}
            trunk.load_state_dict(own, strict=True)
            objective.restore(self._before)
        return Network(trunk, objective, self._device)

    def _starting_point(self, before: Path | None) -> Mapping[str, torch.Tensor] | None:
        if before is None:
            return None
        found = adapter.read(before)
        adapter.require_runnable(found, self.trunk_revision, str(before))
        card = found.card
        if card.reads != ("pairs" if self._pairs else "texts") or tuple(card.tasks) != self._tasks:
            raise EngineError(
                f"Detector {str(before)!r} answers {', '.join(card.tasks)}, not {', '.join(self._tasks)}; "
                "start from one of the same tasks, in the same order"
            )
        if (tuple(card.window), card.layers) != (tuple(self.window), self.layers):
            raise EngineError(
                f"Detector {str(before)!r} reads windows of {list(card.window)} by {card.layers or 'all'} layers, but "
                f"what is fitted now reads {list(self.window)} by {self.layers or 'all'}; leave out --from, to fit "
                "from the encoder"
            )
        return {name: tensor.float() for name, tensor in found.tensors.items()}


def _content(row: Row) -> _Content:
    """Return all of a row that is learnt from; its texts are not copied."""
    return (row.text, row.contexts, row.question, row.label, row.spans, row.found, row.weight)


class TrainedDetector:
    """What training made."""

    def __init__(self, trainer: DetectorTrainer, network: Network, made: Sequence[Row]) -> None:
        self._trainer, self._network, self.made = trainer, network, made

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """What goes into the detector's file."""
        return self._network.tensors()

    def logits(self, rows: Sequence[Row]) -> Array:
        """Return ``[rows, tasks]``; of a response that it has an unsupported statement."""
        return self._trainer.logits(self._network, rows)


def trainer(tasks: Sequence[str], training: Training) -> DetectorTrainer:
    """Return what trains a detector of some tasks.

    Raises:
        MissingExtra: when torch or the packaged encoder is absent.
        EngineError: when the device is not there, or what to start from is of other tasks.
    """
    return DetectorTrainer(tasks, training)
