"""The build log: each line goes to the terminal, to a file, and into ``migration_logs``.

The file has everything, also where the database cannot be reached.  A line that the
database does not take at once waits for the next chance; a log never fails a build.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import TextIO
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.ledger.build import (
    HEADING,
    LOCAL,
    current_build,
    heading,
    numbers_taken,
    own_signature,
    row_numbers,
    signature,
)
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Attempt, Build, Failure
from alembic_pgpipe.settings import Settings, in_ci

FLUSH_SECONDS = 2.0
HIDDEN = "***"
# A row holds this much of a log file, in bytes: how it began, and most of how it ended.
KEPT_HEAD = 100_000
KEPT_TAIL = 400_000
# What moves a terminal's cursor, colours it or turns its text round is shown as a picture of
# itself, each as wide as one character so that a caret below it stays where it is.
PICTURES: Mapping[int, str] = MappingProxyType(
    {
        **{code: chr(0x2400 + code) for code in range(1, 0x20) if code not in (0x09, 0x0A)},
        0x7F: "\u2421",
        **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
        **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
    }
)


class BuildLog:
    """One run's log; ``secrets`` are texts that no line may ever hold."""

    def __init__(
        self,
        build: Build,
        file: Path | None,
        echo: Callable[[str], None],
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        self.build = build
        self.number = build.number
        self._heading = heading(build, datetime.now(timezone.utc))
        self._file = _open(file, build, self._heading)
        self._echo = echo
        self._secrets = secrets
        self._waiting: list[str] = []
        self._recorder: Recorder | None = None
        self._flushed = time.monotonic()
        self._told: BaseException | None = None

    def say(self, text: str) -> None:
        """Add lines to the log; the database gets them within seconds."""
        self._echo(self.redact(text))
        self.note(text)

    def note(self, text: str) -> None:
        """Add lines that the terminal shows in another way, or not at all."""
        self._keep(self.redact(text))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def hide(self, secret: str | None) -> None:
        """Never show a text from now on; a password becomes known when it is resolved."""
        if secret:
            self._secrets |= spellings(secret)

    def redact(self, text: str) -> str:
        """Return a text without any of the secrets, and harmless to a terminal."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return harmless(text)

    def redacted(self, failure: Failure) -> Failure:
        """Return a failure as the ledger may keep it and people may see it."""
        return replace(
            failure, message=self.redact(failure.message), text=self.redact(failure.text)
        )

    def may_show(self, error: BaseException) -> bool:
        """Return whether an error's traceback, as Python prints it, holds no secret."""
        shown = "".join(traceback.format_exception(error))
        return self.redact(shown) == shown

    @contextmanager
    def recorded_in(self, recorder: Recorder) -> Iterator[None]:
        """Keep the log in the build's row as well, and close the row with the outcome."""
        self._begin(recorder)
        try:
            yield
        except BaseException as error:
            self._tell(error)
            self._end(recorder, succeeded=False)
            raise
        self._end(recorder, succeeded=True)

    def __enter__(self) -> BuildLog:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._tell(error)
        if self._file is not None:
            self._file.close()

    def flush(self) -> None:
        """Send what waits to the database; keep it where that does not work now."""
        self._flushed = time.monotonic()
        if self._recorder is None or not self._waiting:
            return
        lines = "".join(line + "\n" for line in self._waiting)
        try:
            self._recorder.append_log(self.number, lines)
        except SQLAlchemyError:
            return
        self._waiting.clear()

    def bury(self, attempt: Attempt) -> None:
        """Close the build of an attempt whose run died before it could say anything.

        Only a run that holds the lock knows that it did.
        """
        if self._recorder is None:
            return
        dead = signature(attempt.build_number, attempt.build_id)
        line = f"died in {attempt.revision}; build {self.number} found it so\nFAILURE\n"
        self._recorder.close_dead_build(dead, self.number, line)

    def bury_abandoned(self) -> None:
        """Close the builds whose runs are gone, though no attempt of theirs is open."""
        if self._recorder is None:
            return
        line = f"died outside a step; build {self.number} found it so\nFAILURE\n"
        self._recorder.close_abandoned_builds(HEADING, self.number, line)

    def _begin(self, recorder: Recorder) -> None:
        self.number = self._open_row(recorder)
        if self.number != self.build.number:
            self.say(
                f"warning: build {self.build.number} in {recorder.schema}.migration_logs is "
                f"another build; this one is recorded as {self.number}"
            )
        self._recorder = recorder
        self.flush()

    def _open_row(self, recorder: Recorder) -> str:
        """Open the row and return its number: a row of another build is never touched."""
        own = own_signature(self.build)
        for number in row_numbers(self.build):
            if recorder.open_build(number, self._heading + "\n", own):
                return number
        raise numbers_taken(self.build, recorder.schema)

    def _end(self, recorder: Recorder, *, succeeded: bool) -> None:
        self._keep("SUCCESS" if succeeded else "FAILURE")
        self.flush()
        self._recorder = None
        try:
            recorder.close_build(self.number, succeeded)
        except SQLAlchemyError:
            # The file has the outcome; the error that is on its way matters more.
            self._keep("the database did not take the outcome of this build")

    def _tell(self, error: BaseException) -> None:
        """Write an error down once; the command line shows it to people."""
        if error is not self._told:
            self._told = error
            self._keep(self.redact(f"{type(error).__name__}: {error}"))

    def _keep(self, text: str) -> None:
        self._waiting.append(text)
        if self._file is not None:
            self._file.write(text + "\n")
            self._file.flush()


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


def harmless(text: str) -> str:
    """Return a text with pictures in place of control characters, and without NUL."""
    return text.replace("\x00", "").replace("\r\n", "\n").translate(PICTURES)


def spellings(secret: str) -> frozenset[str]:
    """Return a secret as it is, and as SQL, a URL, Python and JSON would write it."""
    written = {secret, secret.replace("'", "''"), repr(secret)[1:-1]}
    written |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return frozenset(written | {quote(secret), quote(secret, safe="")})


def log_of(build: Build, file: Path | None) -> str:
    """Return the log that a file keeps of a build; empty where it keeps none of this one.

    Of a long one the middle is left out.
    """
    if file is None or not _is_of(file, build):
        return ""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if size <= KEPT_HEAD + KEPT_TAIL:
            return harmless(stream.read().decode("utf-8", "replace"))
        head = stream.read(KEPT_HEAD)
        stream.seek(size - KEPT_TAIL)
        tail = stream.read()
    left_out = size - KEPT_HEAD - KEPT_TAIL
    note = f"\n… {left_out:,} bytes are left out here; the log file has them …\n"
    return harmless(head.decode("utf-8", "replace") + note + tail.decode("utf-8", "replace"))


def _open(file: Path | None, build: Build, begins: str) -> TextIO | None:
    """Open the log file: what a CI build said before stays, another build's log goes."""
    if file is None:
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        goes_on = build.number != LOCAL and _is_of(file, build)
        stream = file.open("a" if goes_on else "w", encoding="utf-8")
    except OSError:
        return None
    stream.write(f"\n{begins}\n" if goes_on else f"{begins}\n")
    return stream


def _is_of(file: Path, build: Build) -> bool:
    """Tell whether a log file is there, and is this build's."""
    begins = signature(build.number, build.id).encode()
    try:
        with file.open("rb") as stream:
            return stream.read(len(begins)) == begins
    except OSError:
        return False
