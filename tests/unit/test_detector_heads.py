"""What the heads of a detector of pairs read: the same by one product or window by window, and in 16 bits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from evalsvc.detection.heads import (  # noqa: E402
    BESIDE,
    Bounds,
    PairHeads,
    _distances_each,
    _distances_padded,
    features,
    pair_logits,
)
from evalsvc.detection.marks import MARKS  # noqa: E402

WIDTH = 48
# (contexts, response): one without contexts, one of a single token each, and lengths that differ.
SIZES = [(30, 12), (0, 5), (1, 1), (160, 96), (7, 40), (90, 3)]


def packed() -> tuple[torch.Tensor, torch.Tensor, list[Bounds]]:
    random = torch.Generator().manual_seed(3)
    windows, place = [], 0
    for beside, own in SIZES:
        windows.append(Bounds(place, place + beside + 2, place + beside + 2 + own))
        place += beside + own + 3
    return torch.randn(place, WIDTH, generator=random), torch.randint(0, MARKS, (place,), generator=random), windows


def test_distances_by_one_product_are_those_window_by_window() -> None:
    hidden, _, windows = packed()
    for some in (windows, windows[1:2], windows[:2]):
        units = torch.nn.functional.normalize(hidden[: some[-1].stop + 1], dim=1)
        assert torch.allclose(_distances_padded(units, some), _distances_each(units, some), atol=1e-6)
    units = torch.nn.functional.normalize(hidden, dim=1)
    found = _distances_padded(units, windows)
    assert found[windows[1].first : windows[1].stop].tolist() == [4.0] * 5, "a cosine of 0 where there is no context"
    assert found[windows[0].first - 1] == found[-1] == 0.0
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 8.0


def test_gradients_flow_through_both_alike() -> None:
    hidden, _, windows = packed()
    gradients = []
    for distances in (_distances_each, _distances_padded):
        own = hidden.clone().requires_grad_()
        distances(torch.nn.functional.normalize(own, dim=1), windows).square().sum().backward()
        gradients.append(own.grad)
    assert torch.allclose(*gradients, atol=1e-5)


def test_states_that_were_rounded_to_16_bits_give_the_logits_but_for_five_hundredths() -> None:
    """A GPU's states are of bfloat16: 8 bits, so that logits of a size of 10 may move by 0.05."""
    hidden, marks, windows = packed()
    random = torch.Generator().manual_seed(4)
    weights = [torch.randn(2, WIDTH + BESIDE, generator=random) * 0.3 for _ in range(2)]
    heads = PairHeads(weights[0], torch.zeros(2), weights[1], torch.zeros(2))
    starts = torch.tensor([window.first for window in windows])
    sizes = torch.tensor([window.stop - window.first for window in windows])

    def logits(states: torch.Tensor) -> torch.Tensor:
        found = pair_logits(features(states, marks, windows), starts, sizes, heads)
        return torch.cat([found.tokens, found.sentences[:, 1:]])

    exact, rounded = logits(hidden), logits(hidden.bfloat16().float())
    assert float(exact.abs().max()) > 5.0
    assert float((exact - rounded).abs().max()) < 0.05
