"""Fit a network: batches of equal cost, a rate that rises and falls, early stopping, and a state to go on from."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from evalsvc.errors import EngineError
from evalsvc.fitting.kept import write_whole
from evalsvc.fitting.network import Trunk, padded
from evalsvc.fitting.objectives import Prepared
from evalsvc.fitting.values import Array

Report = Callable[[int, int, float], None]
"""Called with the tokens done, all tokens, and the loss of late."""

_CHUNK = 600
_FORGET = 0.97


class TrainingSettings(NamedTuple):
    """How a detector is fitted.

    What the heads read beside the hidden state learns at ``quick_rate``, all else at ``learning_rate``. Both rise over
    the first ``warm_up`` of all steps and fall as a cosine. After each of ``checks`` equal parts of an epoch, watched
    rows are looked at; where ``patience`` looks bring nothing better, it ends. Of the trunk the first ``layers`` are
    run, or all; at the end the share ``kept`` is left of what was learnt of its matrices (Wortsman et al. 2022).
    """

    epochs: int = 3
    rank: int = 32
    layers: int | None = None
    kept: float = 1.0
    learning_rate: float = 1e-3
    quick_rate: float = 1e-2
    weight_decay: float = 0.01
    warm_up: float = 0.06
    dropout: float = 0.1
    batch_tokens: int = 3072
    checks: int = 2
    patience: int = 3
    seed: int = 0
    device: str = "cpu"


class Ended(NamedTuple):
    """How a run ended: after so many steps, and with which least loss of the watched rows (infinite without any)."""

    steps: int
    watched_loss: float


class Network(nn.Module):
    """A trunk and what is asked of its hidden states."""

    def __init__(self, trunk: Trunk, objective: Any, device: str) -> None:  # noqa: ANN401 - of pairs, or of texts
        super().__init__()
        self.trunk, self.objective, self._device = trunk, objective, device
        self.to(device)

    def loss(self, rows: Sequence[Prepared]) -> torch.Tensor:
        """Return the mean loss of some rows."""
        return torch.stack([self.objective.loss(row, states) for row, states in self._read(rows)]).mean()

    @torch.inference_mode()
    def logits(self, rows: Sequence[Prepared], batch_tokens: int = 4096) -> Array:
        """Return ``[rows, tasks]``, in order."""
        self.eval()
        found: dict[int, Array] = {}
        numbers = sorted(range(len(rows)), key=lambda number: rows[number].sequences.longest)
        for batch in _batches(numbers, rows, batch_tokens):
            for number, (row, states) in zip(batch, self._read([rows[number] for number in batch]), strict=True):
                found[number] = self.objective.logits(row, states).double().numpy()
        return np.stack([found[number] for number in range(len(rows))])

    @torch.inference_mode()
    def mean_loss(self, rows: Sequence[Prepared], batch_tokens: int = 4096) -> float:
        """Return the mean loss of rows that are not learnt from."""
        self.eval()
        numbers = sorted(range(len(rows)), key=lambda number: rows[number].sequences.longest)
        total = 0.0
        for batch in _batches(numbers, rows, batch_tokens):
            total += float(self.loss([rows[number] for number in batch])) * len(batch)
        return total / len(rows)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that is learnt, under its names in a detector's file."""
        return {**self.trunk.tensors(), **self.objective.tensors()}

    def _read(self, rows: Sequence[Prepared]) -> Iterator[tuple[Prepared, list[torch.Tensor]]]:
        """Give each row with the hidden states of its windows, without padding."""
        inputs = [sequence for row in rows for sequence in row.sequences.inputs]
        hidden = iter(self.trunk(padded(inputs, self._device))) if inputs else iter(())
        for row in rows:
            yield row, [next(hidden)[: read.shape[1]] for read in row.sequences.inputs]


def train(
    network: Network,
    rows: Sequence[Prepared],
    watched: Sequence[Prepared],
    settings: TrainingSettings,
    state_file: Path,
    report: Report,
) -> Ended:
    """Fit a network to rows, and leave it in the state in which ``watched`` lost least, or without any in the last.

    After each look at the watched rows its state is kept in ``state_file``; where that is there, the run goes on from
    it, with the same batches as one that was never interrupted.

    Raises:
        EngineError: when a loss is no number.
        OSError: when the state cannot be written.
    """
    rows, watched = ([row for row in part if row.sequences.inputs] for part in (rows, watched))
    network.objective.balance(rows)
    plan = [batch for epoch in range(settings.epochs) for batch in _epoch(network, rows, settings, epoch)]
    costs = np.cumsum([sum(row.sequences.total for row in batch) for batch in plan])
    optimiser = torch.optim.AdamW(_groups(network, settings))
    run = _Run(network, optimiser, state_file)
    run.resume()
    looks = set(np.linspace(0, len(plan), settings.epochs * settings.checks + 1).round().astype(int)[1:].tolist())
    for step in range(run.step, len(plan)):
        if run.looks_without_gain >= settings.patience:
            break
        _set_rate(optimiser, settings, step, len(plan))
        torch.manual_seed(settings.seed * 1_000_003 + step)
        loss = _step(network, optimiser, plan[step])
        _require_finite(loss)
        run.late = _FORGET * run.late + (1 - _FORGET) * loss
        report(int(costs[step]), int(costs[-1]), run.late / (1 - _FORGET ** (step + 1)))
        if step + 1 in looks:
            seen = network.mean_loss(watched) if watched else None
            _require_finite(seen or 0.0)
            run.look(step + 1, seen)
    return run.best()


class _Run:
    """Where a run is, and its best state."""

    def __init__(self, network: Network, optimiser: torch.optim.Optimizer, state_file: Path) -> None:
        self.step, self.late, self.looks_without_gain = 0, 0.0, 0
        self._network, self._optimiser, self._file = network, optimiser, state_file
        self._least = math.inf
        self._best = _kept(network)

    def look(self, step: int, loss: float | None) -> None:
        """Take note of what the watched rows lose, and keep where the run is."""
        self.step = step
        gained = loss is None or loss < self._least
        self.looks_without_gain = 0 if gained else self.looks_without_gain + 1
        if gained:
            self._least, self._best = math.inf if loss is None else loss, _kept(self._network)
        state: dict[str, Any] = {
            "step": step,
            "late": self.late,
            "without_gain": self.looks_without_gain,
            "least": self._least,
        }
        state |= {"best": self._best, "now": _kept(self._network), "optimiser": self._optimiser.state_dict()}
        # By way of memory: torch says of a full disk that its writer failed, and not why.
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(self._file, content.getvalue())

    def resume(self) -> None:
        """Go on from what was kept, if anything was."""
        if not self._file.exists():
            return
        try:
            state = torch.load(self._file, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
            # A machine that was lost while it wrote leaves a damaged file: this run begins anew.
            return
        self.step, self.late, self.looks_without_gain = state["step"], state["late"], state["without_gain"]
        self._least, self._best = state["least"], state["best"]
        self._network.load_state_dict(state["now"], strict=False)
        self._optimiser.load_state_dict(state["optimiser"])

    def best(self) -> Ended:
        """Return the network in its best state."""
        self._network.load_state_dict(self._best, strict=False)
        return Ended(self.step, self._least)


def _require_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise EngineError(
            "The training ended in a loss that is no number; try another --seed, and look at the longest rows"
        )


def _kept(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _step(network: Network, optimiser: torch.optim.Optimizer, rows: Sequence[Prepared]) -> float:
    network.train()
    loss = network.loss(rows)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


def _set_rate(optimiser: torch.optim.Optimizer, settings: TrainingSettings, step: int, steps: int) -> None:
    rising = min(1.0, (step + 1) / (settings.warm_up * steps)) if settings.warm_up else 1.0
    share = rising * (1 + math.cos(math.pi * step / steps)) / 2
    for group in optimiser.param_groups:
        group["lr"] = group["most"] * share


def _groups(network: Network, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Return the parameters by how fast they learn; ``most`` is the rate that a group's rises to."""
    usual: list[nn.Parameter] = []
    quick: list[nn.Parameter] = []
    for name, tensor in network.named_parameters():
        (quick if name.endswith("_quick") else usual).append(tensor)
    rate = settings.learning_rate
    groups: list[dict[str, Any]] = [{"params": usual, "lr": rate, "most": rate, "weight_decay": settings.weight_decay}]
    if quick:
        groups.append({"params": quick, "lr": settings.quick_rate, "most": settings.quick_rate, "weight_decay": 0.0})
    return groups


def _epoch(network: Network, rows: Sequence[Prepared], settings: TrainingSettings, epoch: int) -> list[list[Prepared]]:
    """Return the batches of an epoch: rows of like length together within chunks, in a random order."""
    rng = np.random.default_rng((settings.seed, epoch))
    rows = [network.objective.drawn(row, rng) for row in rows]
    numbers = rng.permutation(len(rows)).tolist()
    batches = []
    for start in range(0, len(numbers), _CHUNK):
        chunk = sorted(numbers[start : start + _CHUNK], key=lambda number: rows[number].sequences.longest)
        batches += _batches(chunk, rows, settings.batch_tokens)
    return [[rows[number] for number in batches[place]] for place in rng.permutation(len(batches))]


def _batches(numbers: Sequence[int], rows: Sequence[Prepared], tokens: int) -> list[list[int]]:
    """Cut numbers of rows, sorted by length, where a padded batch would pass so many tokens."""
    batches: list[list[int]] = []
    windows = 0
    for number in numbers:
        sequences = rows[number].sequences
        windows += len(sequences.inputs)
        if not batches or windows * sequences.longest > tokens:
            batches.append([])
            windows = len(sequences.inputs)
        batches[-1].append(number)
    return batches
