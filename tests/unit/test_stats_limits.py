"""Limits of shares where one formula gives way to another."""

from __future__ import annotations

import pytest

from evalsvc.stats.limits import binary_limits


@pytest.mark.parametrize(("share", "n"), [(0.5, 9.946), (0.5, 200.0), (0.2, 20.0), (0.8, 20.0), (0.4, 10.0)])
def test_the_order_of_a_sum_decides_no_limit(share: float, n: float) -> None:
    """Where another limit begins, one more rounding moved it by a hundredth."""
    here = binary_limits(share, n, 1.96)
    for rounded in (share * (1.0 - 1e-15), share * (1.0 + 1e-15)):
        assert binary_limits(rounded, n, 1.96) == pytest.approx(here, abs=1e-9)
