"""Every error that this package raises on purpose.

::

    alembic.util.CommandError
    └── PgpipeError                 exit code 1
        ├── SettingsError           an option, or the URL, is missing or wrong
        ├── SourceError             a source cannot be read, or may not run
        ├── RevisionError           a revision is unknown, ambiguous, or has two heads
        ├── RoutineError            a working copy cannot be shipped as it is
        ├── TransitionError         retry or skip was asked where the state table has no row
        ├── LedgerError             the ledger cannot be created, read, or is somebody else's
        ├── StepError               a step failed in the database
        ├── RehearsalError          the history cannot be replayed for a rehearsal
        │   └── UntriedError        a revision cannot be tried there, and nobody is to blame
        ├── HeldError               exit code 3: failed revisions wait for a decision
        ├── LockError               exit code 4: another run holds the lock, or it was lost
        ├── UnreachableError        exit code 5: the database or the secret does not answer
        └── CheckError              exit code 6: a check found problems

Every message is a sentence for somebody who has nothing but a build log: what
happened, where, and what to type next.  None ever holds a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from alembic.util import CommandError

from alembic_pgpipe.showable import harmless, in_one_line

# What is to be typed next, where nothing else is.
UPGRADE = "alembic upgrade head"
# And where the database does not answer yet.
WAIT = "alembic pgpipe wait --timeout 60"


class PgpipeError(CommandError):
    """Stop a command with a message; Alembic prints it and exits non-zero.

    The message may quote names and texts of others: it is made harmless to a terminal.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))


class SettingsError(PgpipeError):
    """Report an option or a URL that is missing, unknown or malformed."""


class Place(Protocol):
    """What stands somewhere in a source, such as a statement."""

    @property
    def path(self) -> str:
        """Return the file."""

    @property
    def line(self) -> int:
        """Return the line, from 1."""

    @property
    def column(self) -> int:
        """Return the column, from 1."""


class SourceError(PgpipeError):
    """Report a place in a source that cannot be read or may not run.

    ``line`` and ``column`` count from 1; both are 0 where the whole file is meant.
    """

    def __init__(
        self, path: PurePath | str, message: str, *, line: int = 0, column: int = 0
    ) -> None:
        self.path = str(path)
        self.problem = message
        self.line = line
        self.column = column
        super().__init__(f"{self.where}: {message}")

    @classmethod
    def at(cls, place: Place, message: str) -> SourceError:
        """Return the error for what stands at a place."""
        return cls(place.path, message, line=place.line, column=place.column)

    @property
    def where(self) -> str:
        """Return ``file``, or ``file:line:column`` where the place is known."""
        path = in_one_line(self.path)
        return f"{path}:{self.line}:{self.column}" if self.line else path


class RevisionError(PgpipeError):
    """Report a revision that is unknown, ambiguous, or one head too many."""


class RoutineError(PgpipeError):
    """Report working copies that cannot be shipped or written, or an object nobody knows."""


class TransitionError(PgpipeError):
    """Refuse a retry or a skip that the state table does not know."""


class LedgerError(PgpipeError):
    """Report that the ledger cannot be created, read or trusted."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What made a step fail: the revision, and where known the place, counted from 1."""

    revision: str
    name: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def where(self) -> str:
        """Return ``file``, or ``file:line:column`` where the place is known."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class StepError(PgpipeError):
    """Report that a step failed; the ledger already says so."""

    def __init__(self, message: str, cause: Cause) -> None:
        self.cause = cause
        super().__init__(message)


class RehearsalError(PgpipeError):
    """Report that no database could be brought to the state that a rehearsal needs.

    ``cause`` is the step that failed there, where one did.
    """

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        self.cause = cause
        super().__init__(message)


class UntriedError(RehearsalError):
    """Report a revision that cannot be tried in a rehearsal, and nothing behind it then.

    Its ``cause`` says why; the revision may be as good as any other.
    """

    cause: Cause

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message, cause)


class HeldError(PgpipeError):
    """Report failed revisions that nobody has decided on."""

    exit_code = 3


class LockError(PgpipeError):
    """Report that another run holds the lock, and who it is; or that this one has lost it."""

    exit_code = 4


class UnreachableError(PgpipeError):
    """Report that the database or the secret does not answer.

    ``final`` says that waiting does not help, ``recovering`` that the server is on its way.
    """

    exit_code = 5

    def __init__(self, message: str, *, final: bool = False, recovering: bool = False) -> None:
        self.final = final
        self.recovering = recovering
        super().__init__(message)


class CheckError(PgpipeError):
    """Report that a check found problems."""

    exit_code = 6
