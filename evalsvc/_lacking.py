"""What a scorer lacks on this machine, told before a worker starts: packages, weights, keys."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping


def lacking(scorer: object) -> str:
    """Return what keeps a built scorer from running here and what to do about it; '' where nothing is known to.

    Imports no package and loads no model. A scorer says which ``packages`` it imports, ``{"module": "what pip
    installs"}``, and may have a method ``lacks()`` that returns a text, empty where nothing is missing. The option to
    correct comes first in it, in backticks.

    >>> class Local:
    ...     packages = {"json": "json"}
    ...     def lacks(self) -> str:
    ...         return "`model` is not there"
    >>> lacking(Local())
    '`model` is not there'
    """
    asked = getattr(scorer, "lacks", None)
    try:
        said = asked() if callable(asked) and not isinstance(scorer, type) else ""
    except Exception as error:  # somebody else's code
        said = f"its lacks() raises {type(error).__name__}"
    found = (missing_package(scorer), said if isinstance(said, str) else "")
    return "; ".join(each for each in found if each)


def missing_package(scorer: object) -> str:
    """Return which of the packages that a scorer, or its class, says it loads is absent; importing none of them."""
    packages = getattr(scorer, "packages", None)
    for package, requirement in packages.items() if isinstance(packages, Mapping) else ():
        if importlib.util.find_spec(str(package).partition(".")[0]) is None:
            return f"needs package: {package} (pip install '{requirement}')"
    return ""
