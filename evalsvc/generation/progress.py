"""How far a run is: counts and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    pass


class Progress(NamedTuple):
    """Counts since a run began. ``answered`` + ``failed`` + ``cached`` are done, of ``total``.

    ``cost_usd`` is what this run spent: kept answers cost nothing again. Where no price is known it is 0.
    """

    total: int = 0
    answered: int = 0
    failed: int = 0
    cached: int = 0
    cost_usd: float = 0.0

    @property
    def done(self) -> int:
        """Requests that have their answer or their reason."""
        return self.answered + self.failed + self.cached

    def __str__(self) -> str:
        """Return it as a line."""
        return (
            f"{self.done} of {self.total}: {self.answered} answered, {self.failed} failed, {self.cached} cached, "
            f"${self.cost_usd:.4f}"
        )
