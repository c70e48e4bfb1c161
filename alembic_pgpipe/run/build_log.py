"""The build log: each line goes to the terminal, to a file, and into ``migration_logs``.

The file has everything, also where the database cannot be reached.  A line that the
database does not take at once waits for the next chance; a log never fails a build.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import TextIO
from urllib.parse import quote

from sqlalchemy.exc import SQLAlchemyError

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.build import LOCAL
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Attempt, Build, Failure

FLUSH_SECONDS = 2.0
HIDDEN = "***"
HEADING = "== build "
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
        self._file = _open(file)
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
        signature = _signature(attempt.build_number, attempt.build_id)
        line = f"died in {attempt.revision}; build {self.number} found it so\nFAILURE\n"
        self._recorder.close_dead_build(signature, self.number, line)

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
        build = self.build
        # On a desk all runs share one row, whoever began it.
        signature = "" if build.number == LOCAL else _signature(build.number, build.id)
        names = (build.number, f"{build.number}@{build.project or build.id}")
        for number in (*names, f"{build.number}@{build.id}"):
            if recorder.open_build(number, self._heading() + "\n", signature):
                return number
        raise LedgerError(
            f"{recorder.schema}.migration_logs has rows of other builds under "
            f"{', '.join(names)}. Name the variable of another number in "
            "pgpipe.build_number_env."
        )

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

    def _heading(self) -> str:
        now = datetime.now(timezone.utc)
        commit = f", commit {self.build.commit}" if self.build.commit else ""
        signature = _signature(self.build.number, self.build.id)
        return f"{signature}, {now:%Y-%m-%d %H:%M:%S} UTC{commit}, by {self.build.who}"


def harmless(text: str) -> str:
    """Return a text with pictures in place of control characters, and without NUL."""
    return text.replace("\x00", "").replace("\r\n", "\n").translate(PICTURES)


def _signature(number: str | None, id_: str | None) -> str:
    """Return how the heading of a build's log begins; it tells builds of one number apart."""
    return f"{HEADING}{number} ({id_})"


def spellings(secret: str) -> frozenset[str]:
    """Return a secret as it is, and as SQL, a URL, Python and JSON would write it."""
    written = {secret, secret.replace("'", "''"), repr(secret)[1:-1]}
    written |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return frozenset(written | {quote(secret), quote(secret, safe="")})


def _open(file: Path | None) -> TextIO | None:
    if file is None:
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("w", encoding="utf-8")
    except OSError:
        return None
