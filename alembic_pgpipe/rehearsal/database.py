"""The rehearsal: a throwaway database at the head, in which nothing that is tried stays.

It is kept in ``PROJECT/.pgpipe/rehearsal`` from one command to the next, so that only new
revisions have to be run there; a project that may not be written to has one each time.
The project's own database has no part in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from alembic.config import Config
from sqlalchemy import Connection

from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.connect.url import LIBPQ_VARIABLES, database_name
from alembic_pgpipe.environment.visit import Elsewhere
from alembic_pgpipe.errors import (
    UPGRADE,
    WAIT,
    LedgerError,
    RehearsalError,
    SettingsError,
    UnreachableError,
    UntriedError,
)
from alembic_pgpipe.model import Problem
from alembic_pgpipe.rehearsal.in_copy import InCopy
from alembic_pgpipe.rehearsal.replay import Replay
from alembic_pgpipe.rehearsal.undoing import Undone
from alembic_pgpipe.rehearsal.upcoming import Upcoming, user
from alembic_pgpipe.run.step import Step
from alembic_pgpipe.scratch.server import scratch_server
from alembic_pgpipe.sending.executor import Executor
from alembic_pgpipe.sending.session import Session, leaving
from alembic_pgpipe.settings import RetryFailed, Settings, read_settings
from alembic_pgpipe.showable import counted
from alembic_pgpipe.source.directives import Transaction, read_directives
from alembic_pgpipe.source.reader import Statement, read_statements
from alembic_pgpipe.source.transaction import Rules

FOLDER = Path(".pgpipe") / "rehearsal"
DATABASE = "rehearsal"
# Those of the server itself; "postgres" is also where a scratch:// project has its tables.
RESERVED = frozenset({"postgres", "template0", "template1"})
WHERE = frozenset(LIBPQ_VARIABLES) - {"PGPASSWORD"}

AGAIN = "try again"
OLDER = (
    "the database of pgpipe.rehearsal_url is an older copy: {} of the project's database, run "
    "there first, met older rows"
)
BEYOND = "Bring that database past it, or remove the option: then a scratch server is used."

T = TypeVar("T")


class Where(Enum):
    """Whose database a rehearsal is in: the tool's own, or one that was named."""

    SCRATCH = "scratch"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A database in the state that was asked for; all is rolled back in the end.

    ``connection`` is in a transaction, with the search path that a source would have.
    ``ran`` is how many of the upcoming revisions have been run, ``fault`` what is wrong with
    the undo of one, ``notes`` what is to be known of them, as what they hold up.
    """

    connection: Connection
    settings: Settings
    where: Where
    ran: int = 0
    fault: Problem | None = None
    notes: tuple[str, ...] = ()
    _read: dict[Callable[[Connection], object], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def read(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to a question; it is asked again where something was run since."""
        if question not in self._read:
            self._read[question] = question(self.connection)
        answer: T = self._read[question]
        return answer

    def run(
        self, text: str, path: str, done: Callable[[Statement], None] = lambda _: None
    ) -> None:
        """Run what a file says, as a source with that text would be run.

        ``path`` is the file as people are shown it; ``done`` hears of each statement that
        went through.  Raises StatementError where the
        server refuses a statement, SourceError where the text cannot be read, or is not
        one for a transaction.
        """
        asked = replace(read_directives(text, path), transaction=Transaction.ON)
        rules = Rules(asked, require_transaction=False)
        statements = read_statements(text, path)
        for statement in statements:
            rules.see(statement)
        execution = rules.verdict()
        executor = Executor(self.connection)
        for number, statement in enumerate(execution.sent(statements), 1):
            self._read.clear()
            executor.send(statement, number, execution.total)
            done(statement)
        self._read.clear()
        executor.command(leaving(self.settings))

    def send(self, statement: Statement) -> None:
        """Send one statement; raises StatementError where the server refuses it."""
        self._read.clear()
        Executor(self.connection).send(statement, 1, 1)

    def command(self, sql: str) -> None:
        """Run a statement of our own."""
        self._read.clear()
        self.connection.exec_driver_sql(sql.replace("%", "%%"))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done within the context where an error leaves it."""
        before = dict(self._read)
        try:
            with self.connection.begin_nested():
                yield
        except BaseException:
            self._read.clear()
            self._read.update(before)
            raise


@contextmanager
def rehearsal(
    config: Config,
    to: Sequence[str] | None = None,
    upcoming: Upcoming | None = None,
    left_out: Collection[str] = (),
) -> Iterator[Rehearsal]:
    """Give a database at the heads, or at the revisions ``to``, to try things in.

    ``to`` are full revision ids.  None of the ``upcoming`` may fail at its place, where
    others may be passed over and tried in the end; on the scratch server their undo is tried
    too.  Those that are ``left_out`` need not run: the scratch server passes one over that
    fails, a copy that lacks it goes without.  The project's scratch server runs as
    long as the context lasts; where ``pgpipe.rehearsal_url`` is set, that database is used
    instead, and what is ahead of it is run in the transaction.  Raises RehearsalError where
    the state cannot be reached, UnreachableError where no server can be had, LockError where
    another command keeps the scratch server.
    """
    settings = read_settings(config)
    place = _on_scratch_server if settings.rehearsal_url is None else _in_copy
    gone_without = {*left_out, *(upcoming.left_out if upcoming is not None else ())}
    with place(config, settings, to, upcoming, gone_without) as opened:
        yield opened


@contextmanager
def _on_scratch_server(
    config: Config,
    settings: Settings,
    to: Sequence[str] | None,
    upcoming: Upcoming | None,
    left_out: Collection[str],
) -> Iterator[Rehearsal]:
    pending = upcoming.pending if upcoming is not None else ()
    with (
        _folder(settings.project) as folder,
        scratch_server(folder, os.environ) as server,
    ):
        name = _name(settings.url)
        elsewhere = _scratch(server.url(name).render_as_string())
        retried = upcoming.retried if upcoming is not None else ()
        replay = Replay(config, elsewhere, pending, retried, left_out)
        administration = _scratch(server.url().render_as_string())
        with open_database(replace(settings, **administration.options), {}) as database:
            replay.bring(database, name, to)
            held_up = replay.held_up() if pending else ()
            undone = replay.try_undo(database, name) if pending else Undone()
        with _open(settings, elsewhere, Where.SCRATCH) as opened:
            notes = (*held_up, *undone.notes)
            yield replace(opened, ran=len(pending), fault=undone.problem, notes=notes)


@contextmanager
def _in_copy(
    config: Config,
    settings: Settings,
    to: Sequence[str] | None,
    upcoming: Upcoming | None,
    left_out: Collection[str],
) -> Iterator[Rehearsal]:
    elsewhere = _given(str(settings.rehearsal_url))
    with ExitStack() as stack:
        with _said_of_the_copy():
            ahead = Replay(config, elsewhere).ahead(to, upcoming)
            steps = [step for step in ahead if step.revision.id not in left_out]
            opened = stack.enter_context(_open(settings, elsewhere, Where.GIVEN))
            _run_there(opened, steps, settings, upcoming)
        yield _after(opened, len(steps), upcoming)


@contextmanager
def _said_of_the_copy() -> Iterator[None]:
    """Let errors name the option, and nothing that is for the project's own database."""
    try:
        yield
    except (UnreachableError, LedgerError, SettingsError) as error:
        said = str(error).replace(WAIT, AGAIN).replace(UPGRADE, AGAIN)
        said = said.replace("sqlalchemy.url", "pgpipe.rehearsal_url")
        error.args = (f"pgpipe.rehearsal_url: {said}",)
        raise


def _after(opened: Rehearsal, steps: int, upcoming: Upcoming | None) -> Rehearsal:
    """Return a database that was named as it is when so many steps have been run there."""
    if upcoming is None or not steps:
        return replace(opened, ran=steps)
    since = steps - len(upcoming.pending)
    notes = (OLDER.format(counted(since, "revision")),) if since else ()
    return replace(opened, ran=len(upcoming.pending), notes=notes)


def _run_there(
    opened: Rehearsal, steps: Sequence[Step], settings: Settings, upcoming: Upcoming | None
) -> None:
    """Run steps in a database that was named.

    Where nothing is to be tried but what comes behind them, nothing may be left out.
    """
    own_name, shipper = database_name(settings.url), _other_shipper(opened, upcoming)
    try:
        InCopy(opened.connection, opened.settings, own_name, shipper).run(steps)
    except UntriedError as error:
        if upcoming is not None:
            raise
        raise RehearsalError(f"{error}. {BEYOND}", error.cause) from error


def _other_shipper(opened: Rehearsal, upcoming: Upcoming | None) -> str | None:
    """Return who ships to the project's database, where it is another user than here.

    Where a role is set, that has the rights.
    """
    if upcoming is None or opened.settings.role is not None:
        return None
    return upcoming.user if upcoming.user != user(opened.connection) else None


@contextmanager
def _folder(project: Path) -> Iterator[Path]:
    """Give the folder of the scratch server; where the project is read-only, for this time."""
    kept = project / FOLDER
    nearest = next(place for place in (kept, *kept.parents) if place.exists())
    if os.access(nearest, os.W_OK):
        yield kept
        return
    with TemporaryDirectory(prefix="pgpipe-") as folder:
        yield Path(folder)


def _given(url: str) -> Elsewhere:
    """Send commands to a database that is named; which one it is, its URL alone says."""
    environ = {name: value for name, value in os.environ.items() if name not in WHERE}
    return Elsewhere({"url": url, "log_file": None}, environ)


def _scratch(url: str) -> Elsewhere:
    """Send commands to the scratch server, whose superuser needs no role and no build."""
    options: Mapping[str, object] = {
        "url": url,
        "role": None,
        "log_file": None,
        "build_number_env": None,
        "retry_failed": RetryFailed.ALWAYS,
    }
    return Elsewhere(options, {})


def _name(url: str) -> str:
    """Return the name that the project's database goes by, which its sources may use."""
    name = database_name(url)
    return DATABASE if name is None or name in RESERVED else name


@contextmanager
def _open(settings: Settings, elsewhere: Elsewhere, where: Where) -> Iterator[Rehearsal]:
    told = replace(settings, **elsewhere.options)
    with (
        open_database(told, elsewhere.environ) as database,
        database.connect(own=False) as connection,
    ):
        Session(Executor(connection), told).prepare()
        transaction = connection.begin()
        try:
            yield Rehearsal(connection, told, where)
        finally:
            transaction.rollback()
