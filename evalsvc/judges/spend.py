"""What calls cost: tokens, dollars where prices are known, and how many requests."""

from __future__ import annotations

from typing import Any, NamedTuple


class Spend(NamedTuple):
    """A sum over calls; ``usd`` is ``None`` where prices are not known.

    >>> Spend(100, 20, 0.5, 1) + Spend(50, 10, 0.25, 1)
    Spend(input_tokens=150, output_tokens=30, usd=0.75, calls=2)
    """

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    calls: int = 0

    def __add__(self, other: object) -> Spend:
        """Add; unknown money stays unknown only where both are."""
        if not isinstance(other, Spend):
            return NotImplemented
        usd = None if self.usd is None and other.usd is None else (self.usd or 0.0) + (other.usd or 0.0)
        return Spend(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            usd,
            self.calls + other.calls,
        )

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def detail(self) -> dict[str, Any]:
        """Return it as a score's detail has it."""
        return {
            "cost_usd": None if self.usd is None else round(self.usd, 9),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "calls": self.calls,
        }
