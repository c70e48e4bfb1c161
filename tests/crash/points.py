"""The points at which a run is disturbed: where it is then, and how that shows on the wire.

Nothing here reads or writes anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from tests.crash.proxy import Event, Side
from tests.crash.wire import First

SENT, ANSWERED, NOTICED = Side.SENT, Side.ANSWERED, Side.NOTICED


class Role(Enum):
    """What a run uses a connection for.

    ``CREATOR`` creates the ledger, ``ELSEWHERE`` is in the database that a source names.
    """

    JOURNAL = "journal"
    MAIN = "main"
    LOCK = "lock"
    CREATOR = "creator"
    ELSEWHERE = "elsewhere"


# The three that a run has as long as it lasts; the others come and go within a step.
LASTING = (Role.JOURNAL, Role.MAIN, Role.LOCK)
SIGNS = (
    (Role.JOURNAL, re.compile(r"^SET lock_timeout = '10s'")),
    (Role.LOCK, re.compile(r"'application_name', 'alembic-pgpipe [^']")),
    (Role.CREATOR, re.compile(r"pg_advisory_xact_lock\(pg_catalog\.hashtext")),
    (Role.MAIN, re.compile(r"alembic_version")),
)


def role(first: First, texts: Iterable[str], database: str) -> Role | None:
    """Return what a connection is used for, by what was sent on it; None if not known yet.

    ``database`` is that of the project.
    """
    if first.parameters.get("database", database) != database:
        return Role.ELSEWHERE
    sent = tuple(texts)
    for found, sign in SIGNS:
        if any(sign.search(text) for text in sent):
            return found
    return None


class Kind(Enum):
    """What the revision is that the run is at."""

    FIRST = "the first run"
    WAITING = "behind another run"
    TRANSACTION = "a source in a transaction"
    SMALL = "a small source, which is one message"
    ALONE = "a source without a transaction"
    PYTHON = "a Python revision"
    ELSEWHERE = "a source for another database"
    LATE = "a skipped source, run later"


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a run: a message that matches ``pattern``, on one side of the server.

    Where ``after`` is given, a message that matches it has passed on the same connection.
    ``alive`` are the lasting connections that the run has open then.
    """

    name: str
    kind: Kind
    role: Role
    side: Side
    pattern: str
    after: str = ""
    alive: tuple[Role, ...] = LASTING

    @property
    def id(self) -> str:
        """Return a name that no other point has."""
        return f"{self.kind.value}: {self.name}"


@dataclass(slots=True)
class Finder:
    """Finds the first message of a run that is at a point."""

    point: Point
    database: str
    _passed: set[int] = field(default_factory=set)

    def is_here(self, event: Event) -> bool:
        """Return whether a message is the one; each is to be shown once."""
        link = event.link
        text = " ".join(event.text.split())
        here = (
            event.side is self.point.side
            and re.search(self.point.pattern, text) is not None
            and (not self.point.after or id(link) in self._passed)
            and role(link.first, link.texts, self.database) is self.point.role
        )
        if self.point.after and re.search(self.point.after, text):
            self._passed.add(id(link))
        return here


OPEN_ROW = r"^INSERT INTO public\.migration_logs"
CLOSE_ROW = r"^UPDATE public\.migration_logs SET .*status='"
TRY = r"pg_try_advisory_xact_lock\("
# With it the attempt is begun.
RUNNING = r"UPDATE public\.migrations .*applied_status='RUNNING'"
SUCCESS = r"^UPDATE public\.migrations .*applied_status='SUCCESS'"
END_ATTEMPT = r"^UPDATE public\.migration_attempts .*outcome='SUCCESS'"
VERSION = r"^UPDATE public\.alembic_version"
GATE = r"at the gate"
SLOWLY = r"slowly"
INDEX = r"^CREATE INDEX CONCURRENTLY"
COMMIT = r"^COMMIT"
# All of a small step: its beginning in the ledger, its statements, its version, its end in the
# ledger, its commit.
WHOLE = r"applied_status='RUNNING'.*BEGIN;SAVEPOINT .*;COMMIT$"
HASHES = r"^UPDATE public\.migration_attempts SET .*statement_hashes="
OWN = r"^INSERT INTO public\.effects VALUES \('b1'\)"

J, M, L = Role.JOURNAL, Role.MAIN, Role.LOCK


def _commits(kind: Kind) -> tuple[Point, ...]:
    """Return the points around a step's commit, which are alike for all kinds."""
    return (
        Point("before the commit", kind, M, ANSWERED, END_ATTEMPT),
        Point("commit sent, request lost", kind, M, SENT, COMMIT, END_ATTEMPT),
        Point("commit done, answer lost", kind, M, ANSWERED, COMMIT, END_ATTEMPT),
    )


POINTS: tuple[Point, ...] = (
    *(
        Point(name, Kind.FIRST, Role.CREATOR, side, pattern, after, (J,))
        for name, side, pattern, after in (
            ("while the ledger is created", SENT, r"CREATE TABLE public\.migration_logs", ""),
            ("its commit sent, request lost", SENT, COMMIT, "CREATE INDEX"),
            ("its commit done, answer lost", ANSWERED, COMMIT, "CREATE INDEX"),
        )
    ),
    Point("before alembic_version", Kind.FIRST, M, SENT, r"CREATE TABLE public\.alembic_v"),
    Point("first version committed", Kind.FIRST, M, ANSWERED, "INSERT INTO public.alembic_v"),
    Point("polling for the lock", Kind.WAITING, L, ANSWERED, TRY),
    *(
        Point(name, Kind.TRANSACTION, role_, side, pattern, after, alive)
        for name, role_, side, pattern, after, alive in (
            ("before the build's row", J, SENT, OPEN_ROW, "", (J,)),
            ("after the build's row", J, ANSWERED, OPEN_ROW, "", (J,)),
            ("before the lock", L, SENT, TRY, "", LASTING),
            ("the lock is had", L, ANSWERED, TRY, "", LASTING),
            ("before RUNNING is written", J, SENT, RUNNING, "", LASTING),
            ("RUNNING written, answer lost", J, ANSWERED, RUNNING, "", LASTING),
            ("while the session is prepared", M, SENT, "^DISCARD ALL", "", LASTING),
            ("before the first statement", M, SENT, OWN, "", LASTING),
            ("in the middle of a batch", M, NOTICED, GATE, "", LASTING),
            ("between two batches", M, SENT, "^SELECT 'between'", "", LASTING),
            ("before the version moves", M, SENT, VERSION, "", LASTING),
            ("before SUCCESS is written", M, SENT, SUCCESS, "", LASTING),
        )
    ),
    *_commits(Kind.TRANSACTION),
    *(
        Point(name, Kind.TRANSACTION, role_, side, pattern, after, alive)
        for name, role_, side, pattern, after, alive in (
            (
                "after the commit",
                J,
                SENT,
                r"^UPDATE public\.migration_logs .*applied in",
                "",
                LASTING,
            ),
            ("before the lock is given back", L, SENT, "^ROLLBACK", TRY, LASTING),
            # The main connection is closed before the row is.
            ("while the build's row is closed", J, SENT, CLOSE_ROW, "", (J,)),
            ("row closed, answer lost", J, ANSWERED, CLOSE_ROW, "", (J,)),
        )
    ),
    Point("all of it sent, request lost", Kind.SMALL, M, SENT, WHOLE),
    Point("in the middle of its statements", Kind.SMALL, M, NOTICED, GATE),
    Point("all of it done, answer lost", Kind.SMALL, M, ANSWERED, WHOLE),
    *(
        Point(name, Kind.ALONE, role_, side, pattern, after)
        for name, role_, side, pattern, after in (
            ("before its statements are listed", J, SENT, HASHES, ""),
            ("noted, not sent", M, SENT, OWN, ""),
            ("during a statement", M, NOTICED, GATE, ""),
            ("its own commit sent, request lost", M, SENT, COMMIT, OWN),
            ("its own commit done, answer lost", M, ANSWERED, COMMIT, OWN),
            ("done, not recorded", J, SENT, "statements_done=1", ""),
            ("recorded, answer lost", J, ANSWERED, "statements_done=1", ""),
            ("before CREATE INDEX CONCURRENTLY", M, SENT, INDEX, ""),
            ("during CREATE INDEX CONCURRENTLY", M, NOTICED, SLOWLY, ""),
            ("index built, answer lost", M, ANSWERED, INDEX, ""),
            ("index built, not recorded", J, SENT, "statements_done=3", ""),
            ("all recorded, before SUCCESS", M, SENT, SUCCESS, ""),
        )
    ),
    *_commits(Kind.ALONE),
    Point("between two statements", Kind.PYTHON, M, SENT, r"VALUES \('b2'\)"),
    Point("during a statement", Kind.PYTHON, M, NOTICED, GATE),
    *_commits(Kind.PYTHON),
    *(
        Point(name, Kind.ELSEWHERE, role_, side, pattern, after)
        for name, role_, side, pattern, after in (
            ("during a statement there", Role.ELSEWHERE, NOTICED, GATE, ""),
            ("before its transaction is noted", J, SENT, "transaction_id=", ""),
            ("commit there sent, request lost", Role.ELSEWHERE, SENT, COMMIT, "txid_current"),
            (
                "commit there done, answer lost",
                Role.ELSEWHERE,
                ANSWERED,
                COMMIT,
                "txid_current",
            ),
            ("committed there, not here", M, SENT, SUCCESS, ""),
        )
    ),
    *_commits(Kind.ELSEWHERE),
    Point("in the middle of a batch", Kind.LATE, M, NOTICED, GATE),
    *_commits(Kind.LATE),
)
