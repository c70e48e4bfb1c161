"""The words of docs/glossary.md as data: what travels between the rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from alembic_pgpipe.showable import in_one_line


class Status(str, Enum):
    """The current state of a revision, as the column ``applied_status`` holds it."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    RETRY = "RETRY"
    SKIPPED = "SKIPPED"
    ROLLED_BACK = "ROLLED_BACK"


class Direction(str, Enum):
    """Which way a step goes through the history."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"


class Outcome(str, Enum):
    """How an attempt, or a decision about a revision, ended.

    ``INTERRUPTED``: the run died before it could say.  ``STAMPED``, ``SKIPPED``,
    ``RETRY``: a person or a directive decided.  ``ADOPTED``: applied before the
    ledger was kept, by plain Alembic or by the bash tool.  ``REPAIRED``: said by
    ``repair``; upwards that it is applied, downwards that it is not.  ``REWORDED``: its text
    was edited since, and somebody let it count as the one that was applied.
    """

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    INTERRUPTED = "INTERRUPTED"
    SKIPPED = "SKIPPED"
    RETRY = "RETRY"
    STAMPED = "STAMPED"
    ADOPTED = "ADOPTED"
    REPAIRED = "REPAIRED"
    REWORDED = "REWORDED"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of the project; a wrapper names the source that it runs."""

    id: str
    name: str
    path: str
    source: str | None = None
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of ``migrations``: the status of a revision."""

    id: str
    name: str
    status: Status
    started_at: datetime | None = None
    finished_at: datetime | None = None
    logs: str | None = None


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """One row of ``migrations`` whose status is none that we know."""

    id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A statement that was sent outside the step's transaction and is not recorded yet.

    ``last`` is the number of the last one where a block is meant.  ``process`` and
    ``since`` name the server process that works on it.  Where it is ``atomic``, it is done
    if, and only if, ``transaction`` was committed.  ``seen`` are the oids of the objects of
    its kind that were there before it, ``subject`` that of its table.  ``left`` are those
    that it left behind when the server refused it; None while there is no answer.
    ``parted``: it had ended a transaction by itself before the server refused it, so that a
    part of it may stay.  ``session`` is what there is in its session, told ahead of its commit;
    None where that is what there was before it.
    """

    number: int
    last: int
    text: str
    hash: str
    process: int
    since: float
    atomic: bool = False
    transaction: int | None = None
    subject: int | None = None
    seen: tuple[int, ...] = ()
    left: tuple[int, ...] | None = None
    parted: bool = False
    session: tuple[Remnant, ...] | None = None


class RemnantKind(Enum):
    """What a source may leave in its session; an object is temporary, or prepared."""

    SETTING = "setting"
    SECRET = "secret"
    LOCK = "lock"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Remnant:
    """Something that a source has left in its session, which ends with that.

    The ``value`` is that of a setting, None where it was reset, or is a secret; of a lock it
    is the mode, of an object what it is.
    """

    kind: RemnantKind
    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of ``migration_attempts``, as far as decisions and reports need it.

    The ``checksum`` is of the source without its ``directives``, which are None in a row that
    was written before they were kept.  ``build_number`` is that of the row with the build's
    log.  ``statement_hashes`` and ``statement_texts`` are those of the finished statements; a
    text may be cut short.  ``session`` is what those have left in theirs.
    """

    id: int
    revision: str
    direction: Direction
    outcome: Outcome
    checksum: str | None = None
    build_number: str | None = None
    build_id: str | None = None
    who: str | None = None
    reason: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    statement_hashes: tuple[str, ...] = ()
    statement_texts: tuple[str, ...] = ()
    under_way: UnderWay | None = None
    statements_total: int | None = None
    transaction_id: int | None = None
    name: str | None = None
    message: str | None = None
    sqlstate: str | None = None
    duration_ms: int | None = None
    directives: str | None = None
    session: tuple[Remnant, ...] = ()

    @property
    def begun(self) -> tuple[str, ...]:
        """Return by what the ledger knows the statements that are done, or may be."""
        under_way = self.under_way
        open_ = under_way is not None and under_way.left != ()
        return (*self.statement_hashes, *((under_way.hash,) if under_way and open_ else ()))

    @property
    def left_standing(self) -> str | None:
        """Return what a try outside a transaction has left, in words; None for nothing."""
        if self.statement_hashes:
            return (
                f"{len(self.statement_hashes)} of {self.statements_total} statements are done"
            )
        return "a statement may be done" if self.begun else None


@dataclass(frozen=True, slots=True)
class Build:
    """One pipeline run: its number, its full id, and who and what started it."""

    number: str
    id: str
    project: str = ""
    commit: str | None = None
    who: str = ""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One row of ``migration_logs``; ``status`` is None while the build runs."""

    number: str
    status: str | None
    started_at: datetime | None
    logs: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: the server process, the build as others see it, and since when.

    Of a long number the middle is left out; ``alembic pgpipe log`` knows which one is meant.
    """

    pid: int
    build: str
    since: datetime | None = None
    age: timedelta | None = None

    def __str__(self) -> str:
        since = f", since {self.since:%Y-%m-%d %H:%M:%S %Z}" if self.since else ""
        age = f", for {_rounded(self.age)}" if self.age is not None else ""
        return f"build {self.build} (server process {self.pid}{since}{age})"


@dataclass(frozen=True, slots=True)
class Hold:
    """What a run holds together with its ledger's lock: an advisory lock that only it knows.

    ``key`` is that lock's, a number of 64 bits.
    """

    key: int


@dataclass(frozen=True, slots=True)
class ServerError:
    """What PostgreSQL says of an error; positions count characters from 1.

    ``internal_query`` is a statement that a routine ran, and ``internal_position`` the
    place in it.  ``constraint`` is one that was violated, ``table`` the table it is on.
    """

    message: str
    sqlstate: str | None = None
    condition: str | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None
    position: int | None = None
    internal_query: str | None = None
    internal_position: int | None = None
    constraint: str | None = None
    table: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed, with the place and the text that people are shown.

    ``details`` are what the server says besides: its detail and its hint.
    """

    message: str
    text: str
    sqlstate: str | None = None
    details: tuple[str, ...] = ()
    file: str | None = None
    line: int | None = None
    column: int | None = None
    statement: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of ``check``: the place, and what is wrong there.

    ``excerpt`` are the lines that show the place, with a caret.
    """

    file: str
    message: str
    line: int = 0
    column: int = 0
    excerpt: tuple[str, ...] = ()

    def __str__(self) -> str:
        file = in_one_line(self.file)
        where = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One line of ``status``: a revision with all that the ledger knows of it."""

    revision: Revision
    status: Status
    applied: bool
    at: datetime | None = None
    build_number: str | None = None
    who: str | None = None
    reason: str | None = None
    logs: str | None = None
    notes: tuple[str, ...] = field(default=())


def _rounded(age: timedelta) -> str:
    """Return an age in its largest unit, as people say it."""
    seconds = max(0, int(age.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
