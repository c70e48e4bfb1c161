"""The build log: each line goes to the terminal, to a file, and into ``migration_logs``.

The file has it also where the database cannot be reached.  A line that the database does
not take at once waits for the next chance; a log never fails a build.  Of a long entry, and
of a long log in the row and in the file, the middle is left out with a note.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.errors import PgpipeError, UnreachableError
from alembic_pgpipe.invocation import PLAIN, Invocation
from alembic_pgpipe.ledger.build import (
    HEADING,
    current_build,
    heading,
    numbers_taken,
    own_signature,
    row_numbers,
)
from alembic_pgpipe.ledger.build_rows import BuildRows
from alembic_pgpipe.model import Attempt, Build, Failure
from alembic_pgpipe.run.log_file import GROWTH, LogFile
from alembic_pgpipe.settings import Settings, in_ci
from alembic_pgpipe.showable import ENTRY, ROW, WORDS, bounded, harmless, redacted, spellings

FLUSH_SECONDS = 2.0
# The journal is opened anew where it was lost: the second time it is another one.
CLOSING_TRIES = 2
NOT_CLOSED = (
    "warning: the database did not take the outcome of this build; the next run, which cannot "
    "know it, closes its row as FAILURE"
)


class BuildLog:
    """One run's log; ``secrets`` are texts that no line may ever hold.

    ``call`` is how the run was called, and its commands are shown.
    """

    def __init__(
        self,
        build: Build,
        file: Path | None,
        echo: Callable[[str], None],
        call: Invocation = PLAIN,
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        self.build = build
        self._call = call
        self.number = build.number
        self._heading = heading(build, datetime.now(timezone.utc))
        self._file = LogFile(file, build, self._heading)
        self._echo = echo
        self._secrets = secrets
        self._waiting: list[str] = []
        self._size = 0
        self._rows: BuildRows | None = None
        self._flushed = time.monotonic()
        self._told: BaseException | None = None

    def say(self, text: str) -> None:
        """Add lines to the log; the database gets them within seconds."""
        self._echo(self._entry(text))
        self.note(text)

    def note(self, text: str) -> None:
        """Add lines that the terminal shows in another way, or not at all."""
        self._keep(self._entry(text))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def hide(self, secret: str | None) -> None:
        """Never show a text from now on; a password becomes known when it is resolved."""
        if secret:
            self._secrets |= spellings(secret)

    def redact(self, text: str) -> str:
        """Return a text without any of the secrets, and harmless to a terminal."""
        return harmless(redacted(text, self._secrets))

    def is_secret(self, text: str) -> bool:
        """Return whether a text holds a secret."""
        return redacted(text, self._secrets) != text

    def redacted(self, failure: Failure) -> Failure:
        """Return a failure as the ledger may keep it and people may see it."""
        message, *details = map(self._words, (failure.message, *failure.details))
        text = self._entry(failure.text)
        return replace(failure, message=message, details=tuple(details), text=text)

    def _words(self, text: str) -> str:
        """Return what the server says as one may read it; first of all, secrets are whole."""
        return harmless(bounded(redacted(text, self._secrets), WORDS))

    def may_show(self, error: BaseException) -> bool:
        """Return whether an error's traceback, as Python prints it, holds no secret.

        One of great length is not shown either.
        """
        if not all(map(ENTRY.hold, _said(error))):
            return False
        shown = "".join(traceback.format_exception(error))
        return self.redact(shown) == shown

    @contextmanager
    def recorded_in(self, rows: BuildRows) -> Iterator[None]:
        """Keep the log in the build's row as well, and close the row with the outcome."""
        self._begin(rows)
        try:
            yield
        except BaseException as error:
            self._tell(error)
            self._end(rows, succeeded=False)
            raise
        self._end(rows, succeeded=True)

    def __enter__(self) -> BuildLog:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._tell(error)
        self._file.close()

    @property
    def is_recorded(self) -> bool:
        """Return whether the build has a row that is not closed yet."""
        return self._rows is not None

    def flush(self) -> None:
        """Send what waits to the database; keep it where that does not work now."""
        self._flushed = time.monotonic()
        if self._rows is None or not self._waiting:
            return
        lines = self._collapse()
        try:
            length = self._rows.append_log(self.number, lines)
            self._waiting, self._size = [], 0
            if length > GROWTH * ROW.most:
                self._rows.rewrite_log(self.number, lambda logs: bounded(logs, ROW))
        except (SQLAlchemyError, UnreachableError):
            return

    def _collapse(self) -> str:
        """Return what waits for the database; it is never more than a row may hold."""
        lines = bounded("".join(line + "\n" for line in self._waiting), ROW)
        self._waiting, self._size = [lines.removesuffix("\n")], len(lines)
        return lines

    def bury(self, attempt: Attempt) -> None:
        """Close the build of an attempt whose run died before it could say anything.

        Only a run that holds the lock knows that it did.
        """
        if self._rows is None:
            return
        line = f"died in {attempt.revision}; build {self.number} found it so\nFAILURE\n"
        self._rows.close_dead_build(attempt, self.number, line)

    def bury_abandoned(self) -> None:
        """Close the builds whose runs are gone, though no attempt of theirs is open."""
        if self._rows is None:
            return
        line = f"died outside a step; build {self.number} found it so\nFAILURE\n"
        self._rows.close_abandoned_builds(HEADING, self.number, line)

    def _begin(self, rows: BuildRows) -> None:
        self.number = self._open_row(rows)
        if self.number != self.build.number:
            self.say(
                f"warning: build {self.build.number} in {rows.schema}.migration_logs is "
                f"another build; this one is recorded as {self.number}"
            )
        self._rows = rows
        self.flush()

    def _open_row(self, rows: BuildRows) -> str:
        """Open the row and return its number: a row of another build is never touched."""
        own = own_signature(self.build)
        for number in row_numbers(self.build):
            if rows.open_build(number, self._heading + "\n", own):
                return number
        raise numbers_taken(self.build, rows.schema)

    def _end(self, rows: BuildRows, *, succeeded: bool) -> None:
        self.flush()
        self._keep("SUCCESS" if succeeded else "FAILURE")
        self._rows = None
        lines = self._collapse()
        for _ in range(CLOSING_TRIES):
            with suppress(SQLAlchemyError, PgpipeError):
                rows.close_build(self.number, succeeded, lines)
                return
        # The file has the outcome; the error that is on its way matters more.
        self._echo(NOT_CLOSED)
        self._keep(NOT_CLOSED)

    def _tell(self, error: BaseException) -> None:
        """Write an error down once; the command line shows it to people."""
        if error is not self._told:
            self._told = error
            self._keep(self._entry(_last_word(error)))

    def _entry(self, text: str) -> str:
        """Return an entry of the log as it may be kept; first of all, secrets are whole."""
        return harmless(bounded(self._call.typed(redacted(text, self._secrets)), ENTRY))

    def _keep(self, text: str) -> None:
        self._waiting.append(text)
        self._size += len(text) + 1
        if self._size > GROWTH * ROW.most:
            self._collapse()
            self.flush()
        self._file.add(text + "\n")


def keep_failure(
    settings: Settings, environ: Mapping[str, str], said: str, secrets: Iterable[str]
) -> None:
    """Add what a command said that failed in a CI build to that build's log file.

    ``secrets`` are those that it used.  At a desk somebody has read it.  Raises
    SettingsError for a number that is not set.
    """
    if not in_ci(environ):
        return
    build = current_build(environ, settings.build_number_env)
    with BuildLog(build, settings.log_file, lambda _: None) as log:
        for secret in (*secrets, environ.get("PGPASSWORD")):
            log.hide(secret)
        log.note(said)


def _last_word(error: BaseException) -> str:
    """Return what a log says of the error that ends it: its name only where that says more."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, CommandError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _said(error: BaseException) -> Iterator[str]:
    """Yield what an error, and each that it came from, says."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield str(current)
        current = current.__cause__ or current.__context__
