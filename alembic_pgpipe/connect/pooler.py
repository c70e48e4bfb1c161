"""A pooler between this tool and the server: recognised, and refused where it shares.

A client is told which server process is its own.  A pooler gives it a number of its own
making, so that the process which answers is another one.  In session mode that process
answers to nobody else for as long as the client is connected, and all works.  Where a
connection is shared between transactions, what a run sets reaches other clients, and
DISCARD ALL, locks and temporary tables are at a process that is somebody else's next.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect

from alembic_pgpipe.errors import WAIT, SettingsError, UnreachableError

# Where the process that answers is kept, in the ``info`` of a connection.
PROCESS = "alembic_pgpipe.process"
POOLED = "alembic_pgpipe.pooled"
# A pooler lets a client in and then, without a word, wait for a connection to the server.
ANSWER_SECONDS = 30.0
# A pooler that is busy with other clients may give the right process by chance.
ROUNDS = 3
# Poolers know this setting for each client's own, so that it reaches nobody else; those
# that give a client its own connection as soon as it sets something (RDS Proxy) do so now.
WHO_ANSWERS = "SET application_name = 'alembic-pgpipe'; SELECT pg_catalog.pg_backend_pid()"
# The pooler has opened the connection with settings of its own, which DISCARD ALL gives back.
CLEAN = ("DISCARD ALL", "SET client_encoding = 'UTF8'")


@dataclass(slots=True)
class Entrance:
    """Lets the connections of one engine in, and leaves them clean behind a pooler.

    ``where`` names the database for messages.
    """

    where: str
    _keeps_apart: bool = False

    def admit(self, connect: Callable[[], Any], info: dict[Any, Any], dialect: Dialect) -> Any:
        """Open a connection of the driver, and note in ``info`` which process answers.

        Raises SettingsError where a pooler shares connections between its clients, and
        UnreachableError where the first answer does not come.
        """
        driver = connect()
        try:
            process = self._first_answer(driver, dialect)
            info[PROCESS], info[POOLED] = process, process != driver.info.backend_pid
            if info[POOLED]:
                self._refuse_shared(driver, process, connect, dialect)
                _send(driver, CLEAN)
        except BaseException:
            driver.close()
            raise
        return driver

    def leave(self, driver: Any, info: dict[Any, Any], dialect: Dialect) -> None:
        """Give a pooler its connection back as it was; not every pooler cleans it up."""
        if not info.get(POOLED) or driver.closed:
            return
        with suppress(dialect.loaded_dbapi.Error), _hung_up(driver):
            driver.rollback()
            _send(driver, CLEAN[:1])

    def _refuse_shared(
        self, driver: Any, process: int, connect: Callable[[], Any], dialect: Dialect
    ) -> None:
        """Refuse where two connections are not answered by a process each, all the time."""
        if self._keeps_apart:
            return
        other = connect()
        try:
            mine, theirs = {process}, {self._first_answer(other, dialect)}
            # Two in a row: a pool of two that goes round would look like session mode.
            for _ in range(ROUNDS):
                mine |= {_process(driver), _process(driver)}
                theirs |= {_process(other), _process(other)}
        finally:
            other.close()
        if len(mine) > 1 or len(theirs) > 1 or mine == theirs:
            raise SettingsError(
                f"In front of {self.where} is a pooler that shares its connections (pool_mode "
                "= transaction or statement): what a run sets would reach other clients, and "
                "its lock would not hold. Nothing was run there. Write the server's own host "
                "and port into sqlalchemy.url (or PGHOST and PGPORT, or the secret), or give "
                "this project a pool with pool_mode = session."
            )
        self._keeps_apart = True

    def _first_answer(self, driver: Any, dialect: Dialect) -> int:
        """Return the process that answers; libpq alone would wait for ever."""
        try:
            with _hung_up(driver) as late:
                return _process(driver)
        except dialect.loaded_dbapi.Error as error:
            how = f"did not answer within {ANSWER_SECONDS:g} s"
            if not late.is_set():
                how = "was closed before the first answer"
            raise UnreachableError(
                f"A connection to {self.where} was accepted and {how}: a pooler does so that "
                "has no free connection to the server. A run needs three at once: enlarge its "
                f"pool, or name the server itself; then: {WAIT}"
            ) from error


def _process(driver: Any) -> int:
    """Ask, outside a transaction, which process answers."""
    driver.autocommit = True
    with driver.cursor() as cursor:
        cursor.execute(WHO_ANSWERS)
        process = int(cursor.fetchone()[0])
    driver.autocommit = False
    return process


def _send(driver: Any, commands: tuple[str, ...]) -> None:
    driver.autocommit = True
    with driver.cursor() as cursor:
        for command in commands:
            cursor.execute(command)
    driver.autocommit = False


@contextmanager
def _hung_up(driver: Any) -> Iterator[threading.Event]:
    """Hang up when the context lasts too long; the event says that it did."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError), socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(ANSWER_SECONDS, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()
