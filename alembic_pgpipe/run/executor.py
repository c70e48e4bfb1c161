"""Send a source to the server; the only user of psycopg2.

The text goes out unchanged: ``cursor.execute(text)`` without parameters is the one
call that leaves ``%`` alone.
"""

from __future__ import annotations

import io
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions
from psycopg2.extensions import (
    POLL_OK,
    POLL_READ,
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INTRANS,
)
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import ServerError
from alembic_pgpipe.source import Execution, Mode, Source, Statement, statement_hash

NO_TRANSACTION = "2D000"
# The server, or the connection to it, went away.
GONE = ("08", "57P")


class StatementError(Exception):
    """Carry a server's error together with the statement that caused it.

    ``source`` is filled in by whoever knows which source it stands in.
    """

    def __init__(self, error: ServerError, statement: Statement, number: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.statement = statement
        self.number = number
        self.source: Source | None = None


class Notices(list[str]):
    """Hand each notice on as it arrives; psycopg2's own list keeps only 50."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def append(self, notice: str) -> None:
        """Take a notice from psycopg2."""
        self._say(notice.rstrip())


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs the statements of a source on one connection."""

    connection: Connection

    @property
    def _driver(self) -> psycopg2.extensions.connection:
        driver: psycopg2.extensions.connection = self.connection.connection.dbapi_connection  # type: ignore[assignment]
        return driver

    @property
    def is_dead(self) -> bool:
        """Return whether the connection is gone, and with it its transaction."""
        return not self.connection.invalidated and bool(self._driver.closed)

    @contextmanager
    def notices_to(self, say: Callable[[str], None]) -> Iterator[None]:
        """Send the server's notices to ``say`` for as long as the context lasts."""
        driver = self._driver
        before = driver.notices
        driver.notices = Notices(say)
        try:
            yield
        finally:
            # On a dead connection this would hide why it died.
            if not driver.closed:
                driver.notices = before

    def command(self, sql: str) -> None:
        """Run a command of our own that needs no answer."""
        with self._driver.cursor() as cursor:
            cursor.execute(sql)

    def commit(self) -> None:
        """Commit on the driver's level, below SQLAlchemy's idea of a transaction."""
        self._driver.commit()

    def run(
        self,
        execution: Execution,
        path: str,
        done: int = 0,
        before: Callable[[Statement], None] = lambda statement: None,
        finished: Callable[[str], None] = lambda statement_hash: None,
    ) -> int:
        """Run a source's statements from number ``done`` on; returns how many it has.

        Outside a transaction, ``before`` is called ahead of each statement and
        ``finished`` with its hash after it.  Raises StatementError where the server
        refuses one, SourceError where one ended the step's transaction.
        """
        if execution.mode is Mode.TRANSACTION:
            self._run_in_transaction(execution, path)
        else:
            self._run_alone(execution, done, before, finished)
        return len(execution.statements)

    def _run_in_transaction(self, execution: Execution, path: str) -> None:
        if execution.begin:
            self.command(f"SET TRANSACTION {execution.begin}")
        for number, statement in enumerate(execution.statements, 1):
            self._send(statement, number)
            if self._driver.info.transaction_status != TRANSACTION_STATUS_INTRANS:
                raise SourceError(
                    path,
                    "this statement ended the step's transaction. Keep transaction control out "
                    "of the source, or accept the risk with '-- pgpipe: transaction = off'.",
                    line=statement.line,
                    column=statement.column,
                )

    def _run_alone(
        self,
        execution: Execution,
        done: int,
        before: Callable[[Statement], None],
        finished: Callable[[str], None],
    ) -> None:
        """Run each statement by itself; what is inside a block counts when it is closed."""
        block: list[str] = []
        with self.autocommit():
            for number, statement in enumerate(execution.statements[done:], done + 1):
                before(statement)
                self._send(statement, number)
                block.append(statement_hash(statement.text))
                if self._driver.info.transaction_status == TRANSACTION_STATUS_IDLE:
                    for hash_ in block:
                        finished(hash_)
                    block.clear()

    @contextmanager
    def autocommit(self) -> Iterator[None]:
        """Leave the transaction for as long as the context lasts."""
        driver = self._driver
        driver.commit()
        driver.autocommit = True
        try:
            yield
        finally:
            if not driver.closed:
                if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
                    driver.rollback()
                driver.autocommit = False

    def _send(self, statement: Statement, number: int) -> None:
        try:
            with self._driver.cursor() as cursor:
                if statement.data is None:
                    with interruptible():
                        cursor.execute(statement.text)
                else:
                    cursor.copy_expert(statement.text, io.StringIO(statement.data))
        except psycopg2.Error as error:
            raise StatementError(server_error(error), statement, number) from error


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C cancel the statement that is sent; libpq alone would wait for its end.

    psycopg2 knows one wait callback for all connections, and cannot COPY with it.
    """
    before = psycopg2.extensions.get_wait_callback()
    psycopg2.extensions.set_wait_callback(_wait_or_cancel)
    try:
        yield
    finally:
        psycopg2.extensions.set_wait_callback(before)


def _wait_or_cancel(driver: psycopg2.extensions.connection) -> None:
    try:
        _wait(driver)
    except KeyboardInterrupt:
        driver.cancel()
        _wait(driver)
        raise


def _wait(driver: psycopg2.extensions.connection) -> None:
    while (state := driver.poll()) != POLL_OK:
        reading, writing = ([driver], []) if state == POLL_READ else ([], [driver])
        select.select(reading, writing, [])


def server_error(error: BaseException) -> ServerError:
    """Return what the server said, from psycopg2's error or SQLAlchemy's around it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, psycopg2.Error):
        return ServerError(message=str(original) or type(original).__name__)
    diag = original.diag
    code = original.pgcode
    return ServerError(
        message=diag.message_primary or " ".join(str(original).split()),
        sqlstate=code,
        condition=_condition(code),
        detail=diag.message_detail,
        hint=diag.message_hint or _hint(code),
        context=diag.context,
        position=int(diag.statement_position) if diag.statement_position else None,
    )


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error that came from the server, else None."""
    return (
        error.error.sqlstate
        if isinstance(error, StatementError)
        else server_error(error).sqlstate
    )


def is_unanswered(error: BaseException) -> bool:
    """Return whether a statement was sent and the connection broke before the answer."""
    if not isinstance(error, StatementError):
        return False
    return error.error.sqlstate is None or error.error.sqlstate.startswith(GONE)


def is_server_error(error: BaseException) -> bool:
    """Return whether an error came from the database driver."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(original, psycopg2.Error)


def _condition(code: str | None) -> str | None:
    try:
        return psycopg2.errorcodes.lookup(code).lower() if code else None
    except KeyError:
        return None


def _hint(code: str | None) -> str | None:
    if code == NO_TRANSACTION:
        return (
            "the routine commits by itself; '-- pgpipe: transaction = off' in the header lets "
            "this source run outside a transaction"
        )
    return None
