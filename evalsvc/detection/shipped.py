"""The detectors that come with the package, where they do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

SHIPPED = "shipped"
"""What names them where a file may be named."""
WEIGHTS = Path(__file__).parent / "weights"


def packaged(kind: Literal["faithfulness", "texts"]) -> Path | None:
    """Return the file of a detector that ships with the package, or ``None`` where it holds none."""
    path = WEIGHTS / f"{kind}.safetensors"
    return path if path.is_file() else None
