"""The package's public names are complete, sorted, and really there."""

from __future__ import annotations

import pytest

import evalsvc
from evalsvc import errors, types


def test_every_name_is_there_and_sorted():
    assert dir(evalsvc) == sorted(evalsvc.__all__)
    for name in evalsvc.__all__:
        assert getattr(evalsvc, name) is not None


def test_names_are_those_of_their_modules():
    assert evalsvc.Event is types.Event
    assert evalsvc.EvalsvcError is errors.EvalsvcError


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Evnt'"):
        evalsvc.Evnt  # noqa: B018
