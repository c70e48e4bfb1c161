"""COPY: what goes wrong while its rows are read is what the run ends with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection, create_engine, pool

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.sending.executor import Executor
from alembic_pgpipe.source.reader import CopyData, Statement

TABLE = "CREATE TABLE t (id int);"
COPY = "COPY t FROM STDIN;"
CHANGED = "changed while it was read"


class Impatient:
    """A watch that is stopped when it looks."""

    def begin(self, number: int, total: int) -> None:
        """Hear what begins."""

    def tick(self) -> None:
        """Be stopped."""
        raise OSError("no space left for the log")


@pytest.fixture
def connection(database: URL) -> Iterator[Connection]:
    """Give a connection with an empty table."""
    engine = create_engine(database, poolclass=pool.NullPool)
    with engine.connect() as opened:
        opened.exec_driver_sql(TABLE)
        yield opened


def copy(rows: Iterator[str]) -> Statement:
    words = ("COPY", "T", "FROM", "STDIN")
    return Statement(COPY, 0, 1, 1, words, "a1.sql", CopyData(rows, 2))


def test_a_file_that_changes_meanwhile_is_named(connection: Connection) -> None:
    def rows() -> Iterator[str]:
        yield "1\n"
        raise SourceError("a1.sql", CHANGED)

    with pytest.raises(SourceError, match=CHANGED):
        Executor(connection).send(copy(rows()), 1, 1)


def test_ctrl_c_ends_it(connection: Connection) -> None:
    def rows() -> Iterator[str]:
        yield "1\n"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Executor(connection).send(copy(rows()), 1, 1)


def test_what_the_watch_meets_is_raised(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alembic_pgpipe.sending.rows.FIRST_LOOK_SECONDS", -1.0)
    with pytest.raises(OSError, match="no space left"):
        Executor(connection, Impatient()).send(copy(iter(("1\n",))), 1, 1)
