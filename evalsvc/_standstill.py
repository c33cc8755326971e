"""A process that stands still, or is ended by a fault in native code, says where: the stacks of all its threads.

Engines run in this process by native code. Where one of them keeps the interpreter from running, no log line and no
alert of ours can tell; Python's ``faulthandler`` has a thread that needs no interpreter.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def watched(seconds: float = 60.0) -> Iterator[None]:
    """Write all stacks to standard error whenever no Python code ran for so long, and on a fault of native code.

    Nothing is ended. A process that was stopped by a signal, or a machine that slept, is reported when it goes on. Does
    nothing where standard error is no file.
    """
    enabled, ended, stream = faulthandler.is_enabled(), threading.Event(), sys.__stderr__
    try:
        number = stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        number = None
    if number is None:
        yield
        return

    def beat() -> None:
        while not ended.wait(seconds / 6.0):
            faulthandler.dump_traceback_later(seconds, repeat=True, file=number)

    faulthandler.enable(number)
    faulthandler.dump_traceback_later(seconds, repeat=True, file=number)
    thread = threading.Thread(target=beat, name="standstill", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()
        if not enabled:
            faulthandler.disable()
