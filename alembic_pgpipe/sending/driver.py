"""A connection on the driver's level, below SQLAlchemy: its state, and commands of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS
from sqlalchemy import Connection

from alembic_pgpipe.connect.pooler import PROCESS

TIMEOUTS = """
    SELECT name, setting::int FROM pg_catalog.pg_settings
    WHERE name IN ('lock_timeout', 'statement_timeout')
    """
# What a person may do without, the run must not wait for.
# A role hides from its members what other sessions of theirs do; the login sees its own.
BRIEFLY = (
    "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '1s'; SET LOCAL ROLE none; "
)


class Notices(list[str]):
    """Hand each notice on as it arrives; psycopg2's own list keeps only 50.

    When a message is repeated, the notices that it has sent before are ``heard`` already.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self.said = 0
        self.heard = 0

    def append(self, notice: str) -> None:
        """Take a notice from psycopg2."""
        if self.heard:
            self.heard -= 1
            return
        self.said += 1
        self._say(notice.rstrip())


@dataclass(frozen=True, slots=True)
class DriverConnection:
    """One connection as psycopg2 knows it."""

    connection: Connection

    @property
    def _driver(self) -> psycopg2.extensions.connection:
        driver: psycopg2.extensions.connection = self.connection.connection.dbapi_connection  # type: ignore[assignment]
        return driver

    @property
    def _is_dead(self) -> bool:
        """Return whether the connection is gone, and with it its transaction."""
        return not self.connection.invalidated and bool(self._driver.closed)

    @contextmanager
    def given_up_where_dead(self) -> Iterator[None]:
        """Give the connection up if it dies in a block: a rollback on it would hide why."""
        try:
            yield
        except BaseException:
            if self._is_dead:
                self.connection.invalidate()
            raise

    @property
    def in_transaction(self) -> bool:
        """Return whether the server has a transaction open that has not failed."""
        return self._driver.info.transaction_status == TRANSACTION_STATUS_INTRANS

    @property
    def is_idle(self) -> bool:
        """Return whether the server has no transaction open, not even a failed one."""
        return self._driver.info.transaction_status == TRANSACTION_STATUS_IDLE

    @property
    def reads_standard_strings(self) -> bool:
        """Return whether a backslash in a string is one, as the session is now."""
        return self._driver.get_parameter_status("standard_conforming_strings") == "on"

    @property
    def client_encoding(self) -> str:
        """Return the encoding that the server takes texts for, as the session is now."""
        return str(self._driver.get_parameter_status("client_encoding"))

    @property
    def database(self) -> str:
        """Return the database's name without a query, which would begin the transaction."""
        return str(self._driver.info.dbname)

    @property
    def pid(self) -> int:
        """Return the server process behind the connection, also behind a pooler."""
        return int(self.connection.info[PROCESS])

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
                # The driver knows of no transaction here, and would send nothing itself.
                if driver.info.transaction_status != TRANSACTION_STATUS_IDLE:
                    self.command("ROLLBACK")
                driver.autocommit = False

    def command(self, sql: str) -> None:
        """Run a command of our own that needs no answer."""
        with self._driver.cursor() as cursor:
            cursor.execute(sql)

    def ask(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows that a question of our own has; nothing where it cannot be asked.

        Below SQLAlchemy, which gives a connection up where Ctrl-C meets a statement on it.
        """
        try:
            with self._driver.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall()
        except psycopg2.Error:
            return []

    def ask_briefly(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Ask outside a transaction, as the login, and give up after a second."""
        return self.ask(BRIEFLY + sql, values)

    @property
    def timeouts(self) -> dict[str, int]:
        """Return how many milliseconds a lock and a statement may take; 0 is no limit."""
        return {name: int(value) for name, value in self.ask(TIMEOUTS, {})}

    def canceller(self) -> Callable[[], None]:
        """Return what makes the server give up its work here; another thread may call it."""
        driver = self._driver

        def cancel() -> None:
            with suppress(psycopg2.Error):
                driver.cancel()

        return cancel
