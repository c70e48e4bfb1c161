"""A signal that stops the run cancels what the server is doing, and only then."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from alembic_pgpipe.sending.stopping import cancelled_by_signals, stop

Handler = Callable[[int, FrameType | None], object]


@contextmanager
def handled(number: signal.Signals, handler: Handler) -> Iterator[None]:
    """Let a signal have a handler."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("number", "handler"),
    [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, stop)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_what_stops_the_run_cancels(number: signal.Signals, handler: Handler) -> None:
    cancelled = threading.Event()
    with (
        handled(number, handler),
        pytest.raises(KeyboardInterrupt),
        cancelled_by_signals(cancelled.set),
    ):
        os.kill(os.getpid(), number)
    assert cancelled.is_set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_handler_of_somebody_elses_is_not_overruled(number: signal.Signals) -> None:
    cancelled = threading.Event()
    with handled(number, lambda *_: None), cancelled_by_signals(cancelled.set):
        os.kill(os.getpid(), number)
    assert not cancelled.is_set()


def test_the_error_that_comes_of_cancelling_is_a_stop() -> None:
    cancelled = threading.Event()

    def swallow_the_stop() -> None:
        # As psycopg2 does with what its caller's read() raises.
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert cancelled.wait(10)
        raise ValueError

    with pytest.raises(KeyboardInterrupt), cancelled_by_signals(cancelled.set):
        swallow_the_stop()


def test_any_other_error_is_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), cancelled_by_signals(lambda: None):
        raise ValueError("mine")


def test_behind_it_nobody_listens_any_more() -> None:
    with cancelled_by_signals(lambda: None):
        pass
    assert signal.set_wakeup_fd(-1) == -1


def test_an_event_loop_keeps_its_own_signals() -> None:
    cancelled = threading.Event()
    loop, told = socket.socketpair()
    with loop, told:
        loop.setblocking(False)
        signal.set_wakeup_fd(loop.fileno())
        try:
            with pytest.raises(KeyboardInterrupt), cancelled_by_signals(cancelled.set):
                os.kill(os.getpid(), signal.SIGINT)
            assert told.recv(1) == bytes([signal.SIGINT])
        finally:
            assert signal.set_wakeup_fd(-1) == loop.fileno()
    assert not cancelled.is_set()


def test_outside_the_main_thread_it_does_no_harm() -> None:
    done: list[bool] = []

    def work() -> None:
        with cancelled_by_signals(lambda: done.append(False)):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
