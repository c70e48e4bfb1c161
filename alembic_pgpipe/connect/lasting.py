"""A connection that is opened anew where it was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType

from sqlalchemy import Connection

from alembic_pgpipe.errors import UnreachableError

# So long a server that has crashed may take until it is back.
RECOVERY_SECONDS = 10.0
PAUSE_SECONDS = 0.2


@dataclass(slots=True)
class Lasting:
    """Gives the connection that there is; whoever asks after its loss gets another one.

    SQLAlchemy gives a connection up where Ctrl-C meets a statement on it, too.  A server
    that recovers from a crash is waited for.  A database that has refused otherwise is not
    asked again: what was lost would be waited for each time.
    """

    open: Callable[[], AbstractContextManager[Connection]]
    sleep: Callable[[float], None] = time.sleep
    _stack: ExitStack = field(default_factory=ExitStack)
    _connection: Connection | None = None
    _refused: UnreachableError | None = None

    def __call__(self) -> Connection:
        """Return the connection; raises UnreachableError where there is none to be had."""
        if self._refused is not None:
            raise self._refused
        if self._connection is None or is_lost(self._connection):
            self._give_up()
            try:
                self._connection = self._opened()
            except UnreachableError as error:
                self._refused = error
                raise
        return self._connection

    def _opened(self) -> Connection:
        tries = 1 if self._connection is None else round(RECOVERY_SECONDS / PAUSE_SECONDS)
        for _ in range(tries - 1):
            try:
                return self._stack.enter_context(self.open())
            except UnreachableError as error:
                if not error.recovering:
                    raise
            self.sleep(PAUSE_SECONDS)
        return self._stack.enter_context(self.open())

    def __enter__(self) -> Lasting:
        self()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_up()
        self._stack.close()

    def _give_up(self) -> None:
        """Spare a connection that died the rollback that it would be closed with."""
        lost = self._connection
        if lost is not None and not lost.closed and is_lost(lost):
            lost.invalidate()


def is_lost(connection: Connection) -> bool:
    """Return whether a connection is gone, whoever has noticed."""
    if connection.closed or connection.invalidated:
        return True
    return bool(getattr(connection.connection.dbapi_connection, "closed", False))
