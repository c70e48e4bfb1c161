"""A scratch server that loses nothing it has confirmed, and that a test may crash."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg2 import sql
from sqlalchemy import URL

from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.conftest import connect_to

# A throwaway server may lose its last commits in a crash; this one must not.
SETTINGS = {"synchronous_commit": "on", "max_connections": "60"}
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class CrashServer:
    """The server as it runs now; each start has another socket and another process."""

    folder: Path
    running: ScratchServer | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start it, after a crash too; only the thread that lives longest may do so."""
        self._stack.close()
        self.running = self._stack.enter_context(
            scratch_server(self.folder, os.environ, settings=SETTINGS)
        )

    def crash(self) -> None:
        """Shut it down at once, without a word to its clients' transactions."""
        pid = self._now.pid
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _is_alive(pid):
            assert time.monotonic() < deadline, "the server does not go"
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop it for good."""
        self._stack.close()

    @property
    def socket(self) -> Path:
        """Return the folder of its socket."""
        return self._now.socket

    def url(self, database: str = "postgres") -> URL:
        """Return the URL of one of its databases."""
        return self._now.url(database)

    def query(self, statement: str, *values: object, database: str = "postgres") -> list[Any]:
        """Run a statement of the test's own, not through any proxy."""
        connection = connect_to(self.url(database))
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def clone(self, template: str) -> str:
        """Make a database from another one; return its name."""
        name = f"crash_{uuid4().hex[:12]}"
        self._administer("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop(self, *names: str) -> None:
        """Drop databases, whoever is in them."""
        for name in names:
            self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _administer(self, statement: str, *names: str) -> None:
        connection = connect_to(self.url())
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        finally:
            connection.close()

    @property
    def _now(self) -> ScratchServer:
        assert self.running is not None, "the server has not been started"
        return self.running


@contextmanager
def crash_server(folder: Path) -> Iterator[CrashServer]:
    """Run a server that may be crashed until the block ends."""
    server = CrashServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _is_alive(pid: int) -> bool:
    """Return whether a process is there, and is no zombie that waits for its parent."""
    with suppress(OSError, ChildProcessError):
        # The number and the name, which may hold anything, come before the state.
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return status != "Z"
    return False
