"""Wait for the server's answer, so that Ctrl-C, a watch and other work have their turn."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import psycopg2.extensions
from psycopg2.extensions import POLL_OK, POLL_READ

# Short messages are never looked at; a lock_timeout may be as short as this.
FIRST_LOOK_SECONDS = 0.1
LOOK_EVERY_SECONDS = 1.0


class Watch(Protocol):
    """Whoever wants to look around while a statement runs."""

    def begin(self, number: int, total: int) -> None:
        """Hear that a message is about to be sent, which begins with that statement."""

    def tick(self) -> None:
        """Look; called ever more rarely, at last once a second, until the answer is there."""


@contextmanager
def interruptible(
    watched: psycopg2.extensions.connection,
    watch: Watch | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Let Ctrl-C cancel the statement that is sent; libpq alone would wait for its end.

    ``meanwhile`` is called once, when the statement is on its way.  psycopg2 knows one
    wait callback for all connections, and cannot COPY with it: what ``watch`` asks on
    another connection passes through it too.
    """
    before = psycopg2.extensions.get_wait_callback()

    def wait(driver: psycopg2.extensions.connection) -> None:
        if driver is watched:
            _wait_or_cancel(driver, watch, meanwhile)
        else:
            _wait_or_cancel(driver, None, lambda: None)

    psycopg2.extensions.set_wait_callback(wait)
    try:
        yield
    finally:
        psycopg2.extensions.set_wait_callback(before)


def _wait_or_cancel(
    driver: psycopg2.extensions.connection, watch: Watch | None, meanwhile: Callable[[], None]
) -> None:
    try:
        _wait(driver, watch, meanwhile)
    except KeyboardInterrupt:
        driver.cancel()
        _wait(driver, None, lambda: None)
        raise


def _wait(
    driver: psycopg2.extensions.connection, watch: Watch | None, meanwhile: Callable[[], None]
) -> None:
    called = False
    pause = FIRST_LOOK_SECONDS
    while (state := driver.poll()) != POLL_OK:
        if state == POLL_READ and not called:
            called = True
            meanwhile()
        reading, writing = ([driver], []) if state == POLL_READ else ([], [driver])
        ready = select.select(reading, writing, [], pause if watch is not None else None)
        if watch is not None and not any(ready):
            watch.tick()
            pause = min(2 * pause, LOOK_EVERY_SECONDS)
