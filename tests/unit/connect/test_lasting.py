"""A connection that was lost: whom it is asked of again, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, create_engine

from alembic_pgpipe.connect.lasting import PAUSE_SECONDS, RECOVERY_SECONDS, Lasting
from alembic_pgpipe.errors import UnreachableError

RECOVERS = UnreachableError("in recovery mode", recovering=True)
GONE = UnreachableError("does not answer")


class Server:
    """Refuses with each of some errors, once it is to; counts how often it was asked."""

    def __init__(self) -> None:
        self.refusals: list[UnreachableError] = []
        self.asked = 0
        self.slept: list[float] = []
        self.lasting = Lasting(self.open, self.slept.append)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        self.asked += 1
        if self.refusals:
            raise self.refusals.pop(0)
        with create_engine("sqlite://").connect() as connection:
            yield connection

    def lose(self, *refusals: UnreachableError) -> None:
        self.lasting().close()
        self.refusals += refusals
        self.asked = 0


def test_a_server_that_recovers_is_waited_for() -> None:
    server = Server()
    server.lose(RECOVERS, RECOVERS)
    assert not server.lasting().closed
    assert (server.asked, server.slept) == (3, [PAUSE_SECONDS] * 2)


def test_it_is_waited_for_so_long_and_no_longer() -> None:
    server = Server()
    server.lose(*[RECOVERS] * 1000)
    for _ in range(2):
        with pytest.raises(UnreachableError, match="recovery"):
            server.lasting()
    assert sum(server.slept) == pytest.approx(RECOVERY_SECONDS, abs=2 * PAUSE_SECONDS)


def test_one_that_refuses_is_asked_once() -> None:
    server = Server()
    server.lose(GONE)
    for _ in range(2):
        with pytest.raises(UnreachableError, match="does not answer"):
            server.lasting()
    assert (server.asked, server.slept) == (1, [])


def test_the_first_connection_is_not_waited_for() -> None:
    server = Server()
    server.refusals.append(RECOVERS)
    with pytest.raises(UnreachableError, match="recovery"):
        server.lasting()
    assert (server.asked, server.slept) == (1, [])
