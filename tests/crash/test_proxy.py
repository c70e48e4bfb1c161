"""The proxy stops a connection at any message, and loses what a network may lose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

import psycopg2
import pytest
from psycopg2 import extensions

from tests.background import eventually
from tests.crash.proxy import Event, Proxy, Side, Trap, proxy
from tests.crash.server import CrashServer
from tests.crash.wire import PROTOCOL, First


@contextmanager
def through(server: CrashServer, trap: Trap) -> Iterator[tuple[extensions.connection, Proxy]]:
    """Connect through a proxy."""
    with proxy(server.socket, trap) as running:
        where = f"host=127.0.0.1 port={running.port} user=postgres dbname=postgres"
        connection = psycopg2.connect(f"{where} application_name=test")
        try:
            yield connection, running
        finally:
            connection.close()


def at(side: Side, text: str, do: Callable[[Event], None]) -> Trap:
    """Return a trap that does something where a message on that side holds a text."""

    def trap(event: Event) -> None:
        if event.side is side and text in event.text:
            do(event)

    return trap


@pytest.fixture
def table(crashing: CrashServer) -> Iterator[str]:
    crashing.query("CREATE TABLE rows (a int)")
    yield "rows"
    crashing.query("DROP TABLE rows")


def count(server: CrashServer) -> int:
    return int(server.query("SELECT count(*) FROM rows")[0][0])


def test_a_trap_sees_each_query_before_and_after_the_server(crashing: CrashServer) -> None:
    seen: list[tuple[Side, str]] = []
    with through(crashing, lambda e: seen.append((e.side, e.text))) as (connection, running):
        connection.cursor().execute("SELECT 42")
        connection.commit()
        assert running.links[0].first.parameters["application_name"] == "test"
        assert running.links[0].backend == connection.info.backend_pid
    texts = ("BEGIN", "SELECT 42", "COMMIT")
    assert seen == [(side, text) for text in texts for side in (Side.SENT, Side.ANSWERED)]


@pytest.mark.parametrize(("side", "rows"), [(Side.SENT, 0), (Side.ANSWERED, 1)])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.usefixtures("table")
def test_a_commit_is_lost_before_the_server_or_after_it(
    crashing: CrashServer, side: Side, rows: int, reset: bool
) -> None:
    trap = at(side, "COMMIT", lambda event: event.link.end(reset=reset))
    with through(crashing, trap) as (connection, _):
        connection.cursor().execute("INSERT INTO rows VALUES (1)")
        with pytest.raises(psycopg2.OperationalError):
            connection.commit()
    assert count(crashing) == rows


@pytest.mark.parametrize("reset", [False, True])
def test_an_end_is_told_from_a_reset(crashing: CrashServer, reset: bool) -> None:
    with proxy(crashing.socket) as running:
        client = socket.create_connection(("127.0.0.1", running.port))
        client.sendall(First(PROTOCOL, b"user\0postgres\0\0").raw)
        assert client.recv(1)
        eventually(lambda: running.links[0].backend)
        running.links[0].end(reset=reset)
        with client:
            assert how_it_ends(client) is (ConnectionResetError if reset else None)


def how_it_ends(client: socket.socket) -> type[OSError] | None:
    try:
        while client.recv(1 << 16):
            pass
    except OSError as error:
        return type(error)
    return None


@pytest.mark.usefixtures("table")
def test_what_is_stalled_goes_on_later(crashing: CrashServer) -> None:
    with through(crashing, at(Side.SENT, "INSERT", lambda event: event.link.stall())) as opened:
        connection, running = opened
        connection.autocommit = True
        insert = threading.Thread(
            target=lambda: connection.cursor().execute("INSERT INTO rows VALUES (1)")
        )
        insert.start()
        eventually(lambda: not running.links[0].flows.is_set())
        assert count(crashing) == 0
        running.links[0].resume()
        insert.join(10)
    assert count(crashing) == 1


def test_a_notice_comes_while_the_server_is_at_work(crashing: CrashServer) -> None:
    active = "SELECT state FROM pg_stat_activity WHERE query LIKE 'DO %%' AND pid = %s"
    states: list[str] = []

    def look(event: Event) -> None:
        states.append(crashing.query(active, event.link.backend)[0][0])

    with through(crashing, at(Side.NOTICED, "half way", look)) as (connection, _):
        connection.cursor().execute(
            "DO $$ BEGIN RAISE NOTICE 'half way'; PERFORM pg_sleep(0.05); END $$"
        )
    assert states == ["active"]


def test_another_query_goes_out_in_place_of_one(crashing: CrashServer) -> None:
    def refuse(event: Event) -> None:
        event.link.instead = "SELECT 1 / 0"

    with through(crashing, at(Side.SENT, "SELECT 42", refuse)) as (connection, _):
        with pytest.raises(psycopg2.errors.DivisionByZero):
            connection.cursor().execute("SELECT 42")
        connection.rollback()
        connection.cursor().execute("SELECT 43")


@pytest.mark.usefixtures("table")
def test_a_copy_passes(crashing: CrashServer) -> None:
    with through(crashing, lambda _: None) as (connection, _):
        connection.cursor().copy_expert("COPY rows FROM STDIN", StringIO("1\n" * 100_000))
        connection.commit()
    assert count(crashing) == 100_000


@pytest.mark.usefixtures("table")
def test_a_crash_loses_no_commit_and_keeps_no_more(crashing: CrashServer) -> None:
    with through(crashing, lambda _: None) as (connection, running):
        cursor = connection.cursor()
        for _ in range(20):
            cursor.execute("INSERT INTO rows VALUES (1)")
            connection.commit()
        cursor.execute("INSERT INTO rows VALUES (2)")
        crashing.crash()
        with pytest.raises(psycopg2.Error):
            connection.commit()
        crashing.start()
        running.socket_folder = crashing.socket
    assert count(crashing) == 20
