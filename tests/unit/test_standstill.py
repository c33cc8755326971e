"""A process that stands still says where it does, and so does one that native code ends; others say nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HELD = """
import ctypes, time
from evalsvc._standstill import watched

def hold():
    # A call into C that keeps the interpreter to itself.
    ctypes.PyDLL(None).usleep(1_500_000)

with watched(0.5):
    {body}
print("done")
"""


def ran(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HELD.format(body=body)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_process_that_stands_still_says_where_and_goes_on() -> None:
    done = ran("hold()")
    assert "Timeout (0:00:00.500000)!" in done.stderr
    assert "in hold" in done.stderr
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_who_works_or_sleeps_says_nothing() -> None:
    done = ran("time.sleep(1.5)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_fault_of_native_code_says_where() -> None:
    done = ran("ctypes.string_at(0)")
    assert done.returncode < 0
    assert "Fatal Python error: Segmentation fault" in done.stderr


@pytest.mark.parametrize("error", [OSError("away"), ValueError("wrong")])
def test_what_is_raised_inside_comes_out(error: Exception) -> None:
    from evalsvc._standstill import watched

    with pytest.raises(type(error)) as found, watched(30.0):
        raise error
    assert found.value is error
