"""The package's public names are complete, sorted, and really there."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import evalsvc
from evalsvc import errors, stats, types


def test_every_name_is_there_and_sorted():
    assert dir(evalsvc) == sorted(evalsvc.__all__)
    for name in evalsvc.__all__:
        assert getattr(evalsvc, name) is not None


def test_names_are_those_of_their_modules():
    assert evalsvc.Event is types.Event
    assert evalsvc.EvalsvcError is errors.EvalsvcError


def test_statistics_are_there_whatever_was_imported_before():
    """A name that is also a module's would be the module once that was imported."""
    modules = set(stats.__all__) & {module.name for module in pkgutil.iter_modules(stats.__path__)}
    assert all(getattr(stats, name) is importlib.import_module(f"evalsvc.stats.{name}") for name in modules)
    code = "from evalsvc import stats; [getattr(stats, name) for name in stats.__all__ * 2]; print(len(dir(stats)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(stats.__all__)
    with pytest.raises(AttributeError, match="no attribute 'cohens'"):
        stats.cohens  # noqa: B018


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Evnt'"):
        evalsvc.Evnt  # noqa: B018
