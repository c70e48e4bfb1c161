"""The rows of a COPY, on their way from a source to the server."""

from __future__ import annotations

import time
from typing import TextIO, cast

import psycopg2
import psycopg2.extensions

from alembic_pgpipe.sending.waiting import FIRST_LOOK_SECONDS, LOOK_EVERY_SECONDS, Watch
from alembic_pgpipe.source.reader import CopyData

COPY_CHARACTERS = 1 << 16
READ_FAILED = "error in .read() call"


class Rows:
    """The rows of a COPY; psycopg2 reads them, and calls nobody else while it sends them.

    ``error`` is why they could not be read to their end: psycopg2 swallows it.
    """

    def __init__(self, data: CopyData, watch: Watch | None) -> None:
        self.error: BaseException | None = None
        self._data = data
        self._watch = watch
        self._look_at = time.monotonic() + FIRST_LOOK_SECONDS

    def read(self, size: int = -1) -> str:
        """Return the next characters, and look around when it is time."""
        try:
            if self._watch is not None and time.monotonic() > self._look_at:
                self._watch.tick()
                self._look_at = time.monotonic() + LOOK_EVERY_SECONDS
            return self._data.read(size)
        except BaseException as error:
            self.error = error
            raise


def send_rows(
    cursor: psycopg2.extensions.cursor, sql: str, data: CopyData, watch: Watch | None
) -> None:
    """Send a COPY with its rows; raises the driver's error, or why they cannot be read."""
    rows = Rows(data, watch)
    try:
        cursor.copy_expert(sql, cast("TextIO", rows), COPY_CHARACTERS)
    except psycopg2.Error as error:
        if rows.error is not None:
            raise rows.error from error
        # Ctrl-C may come in the moment between psycopg2 and read().
        if READ_FAILED in str(error):
            raise KeyboardInterrupt from error
        raise
