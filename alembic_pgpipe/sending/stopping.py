"""What a signal does that stops a run: the server gives up what it is doing there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOBODY = -1


def stop(number: int, _frame: FrameType | None) -> None:
    """Handle a signal as Python handles Ctrl-C; a second one ends the process at once."""
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


@contextmanager
def cancelled_by_signals(cancel: Callable[[], None]) -> Iterator[None]:
    """Call ``cancel`` in a thread of its own as soon as a signal comes that stops the run.

    While libpq waits for an answer, Python's handlers wait as well; what a signal writes
    into a pipe does not.  Where a signal has another handler, or somebody else reads such
    a pipe, as an event loop does, or outside the main thread, nothing is changed.  Raises
    KeyboardInterrupt in place of the error that comes of cancelling.
    """
    ours = threading.current_thread() is threading.main_thread()
    numbers = frozenset(n for n in SIGNALS if ours and signal.getsignal(n) in _stopping())
    if not numbers:
        yield
        return
    stopped = threading.Event()

    def heed(told: bytes) -> None:
        if numbers.intersection(told):
            stopped.set()
            cancel()

    try:
        with _listening(heed):
            yield
    except Exception as error:
        if stopped.is_set():
            raise KeyboardInterrupt from error
        raise


def _stopping() -> tuple[object, ...]:
    return signal.default_int_handler, stop


@contextmanager
def _listening(heed: Callable[[bytes], None]) -> Iterator[None]:
    """Hand the numbers of the signals that come on to ``heed``, in a thread."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if before != NOBODY:
        signal.set_wakeup_fd(before)
    listener = threading.Thread(target=_listen, args=(reading, heed), daemon=True)
    listener.start()
    try:
        yield
    finally:
        if before == NOBODY:
            signal.set_wakeup_fd(NOBODY)
        # The listener ends at the end of the pipe, and with it a cancellation under way.
        os.close(writing)
        listener.join()
        os.close(reading)


def _listen(reading: int, heed: Callable[[bytes], None]) -> None:
    while told := os.read(reading, 64):
        heed(told)
