"""Run the project's own revisions on a scratch database, up to the state that is wanted.

What is there from an earlier command is kept where it is the beginning of the history as
it is now; else all is dropped and made anew, the roles too.  What a history takes for
given, because somebody once made it by hand, is made when the server misses it.
"""

from __future__ import annotations

import copy
import io
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.environment.visit import ELSEWHERE, Elsewhere, Visit
from alembic_pgpipe.errors import (
    PgpipeError,
    RehearsalError,
    StepError,
)
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.model import Direction, Outcome, Status
from alembic_pgpipe.project import open_ledger, visit_project
from alembic_pgpipe.rehearsal.beginning import NOTHING, State, compared, seen_in
from alembic_pgpipe.rehearsal.cluster import create, exists, forget_copy, kept, wipe
from alembic_pgpipe.rehearsal.undoing import Undone, to_undo, undone
from alembic_pgpipe.rehearsal.upcoming import (
    OWN,
    Identity,
    Upcoming,
    identity_seen,
    steps_ahead,
)
from alembic_pgpipe.run.other_database import is_elsewhere
from alembic_pgpipe.run.step import Sources, Step
from alembic_pgpipe.watching.holdups import told

T = TypeVar("T")
# More than any history misses; a text made at random could ask for ever.
MOST_MISSING = 200
MISSING = re.compile(r'\b(?P<kind>role|database|schema) "(?P<name>[^"]+)" does not exist')
NOT_REPLAYED = "The history cannot be replayed on a scratch server"
REHEARSED = "it failed at its place in a rehearsal"
USE_A_COPY = (
    "Mend it; or set pgpipe.rehearsal_url to a copy of the project's database, where all is "
    "rolled back."
)
USE_ANOTHER = (
    "Mend it; or, where no database is to run it, write --skip on its first line; or set "
    "pgpipe.rehearsal_url to a copy of the project's database, where all is rolled back."
)


@dataclass(frozen=True, slots=True)
class Replay:
    """The project's commands, sent to another database.

    Revisions that are ``pending`` must not fail at their place, and what they hold up is
    looked at; of others it is known that they went through somewhere, if not there.  Those
    that are ``retried`` may go through behind the others, and those that are ``left_out``
    need not go through at all.
    """

    config: Config
    elsewhere: Elsewhere
    pending: Collection[str] = ()
    retried: Collection[str] = ()
    left_out: Collection[str] = ()

    def ahead(
        self, to: Sequence[str] | None, upcoming: Upcoming | None = None
    ) -> tuple[Step, ...]:
        """Return the steps that lead a database that is named to the revisions wanted.

        Where they are ``upcoming``, that is to be a copy of the project's own; at the
        revisions that are wanted already it has none.  Raises RehearsalError where no steps
        lead there.
        """

        def look(visit: Visit) -> tuple[Step, ...]:
            with open_ledger(visit) as ledger:
                wanted = frozenset(visit.revisions.heads() if to is None else to)
                return steps_ahead(ledger, wanted, upcoming)

        steps = self._look(look)
        if upcoming is None and self._own() == self._look(identity_seen):
            raise RehearsalError(OWN)
        return steps

    def _own(self) -> Identity | None:
        """Return the identity of the project's own database; None where it cannot be asked."""
        try:
            with _quietly():
                return visit_project(self.config, identity_seen)
        except PgpipeError:
            return None

    def bring(self, server: Database, name: str, to: Sequence[str] | None) -> None:
        """Bring a scratch server's database to the revisions; to the heads without any.

        ``server`` is the database that the server is administered from.  Raises
        RehearsalError for a revision that cannot be run there.
        """
        with server.connect(autocommit=True) as connection:
            forget_copy(connection)
            state = self._state(to) if exists(connection, name) else NOTHING
            database = server.elsewhere(name)
            if not state.usable:
                self._make_anew(database, connection, name, to)
            elif state.heads != state.wanted:
                # What is new here may be pending as well, where nobody could say so.
                self._upgrade(database, connection, to, state.ahead)

    def try_undo(self, server: Database, name: str) -> Undone:
        """Undo the pending end of the history, and run it again; return what came of it.

        What went through before, as it is now, is left out.  The database ends at the heads,
        where it is before: a copy takes its place where an undo fails.
        """
        target = self._look(self._to_undo)
        if target is None:
            return Undone()
        with server.connect(autocommit=True) as connection:
            database, apart = (
                server.elsewhere(name),
                self._look(partial(self._leads_away, name)),
            )
            before = None if apart else kept(connection, name)
            found = self._there_and_back(target, database, connection)
            if found is not None and (before is None or not before.give_back()):
                self._make_anew(database, connection, name, None)
            forget_copy(connection)
        return self._fault(*found) if found is not None else Undone()

    def _leads_away(self, name: str, visit: Visit) -> bool:
        """Return whether a pending file runs in another database, which no copy keeps."""
        sources = Sources(visit.settings)
        pending = visit.revisions.those(self.pending)
        files = (file for one in pending for file in (one.source, sources.undo_file(one)))
        return any(is_elsewhere(sources.load(file), name) for file in files if file)

    def _there_and_back(
        self, target: str, database: Database, server: Connection
    ) -> tuple[PgpipeError, Direction] | None:
        """Return why an undo fails, or its revision the second time; None if neither does."""
        # To make what an undo misses would hide that it drops something by a wrong name.
        error = _error(lambda: command.downgrade(self._told(), target))
        if error is not None:
            return error, Direction.DOWNGRADE
        error = self._failure(lambda: self._run(("heads",), self.pending), database, server)
        return (error, Direction.UPGRADE) if error is not None else None

    def _to_undo(self, visit: Visit) -> str | None:
        with open_ledger(visit) as ledger:
            sources = Sources(visit.settings)
            return to_undo(visit.revisions, self.pending, ledger.history(), sources)

    def _fault(self, error: PgpipeError, direction: Direction) -> Undone:
        if not isinstance(error, StepError):
            raise error
        cause = error.cause

        def undo(visit: Visit) -> str:
            sources = visit.settings.sources
            file = visit.revisions.get(cause.revision).undo
            return visit.settings.shown(sources / file) if file else cause.file

        return undone(cause, direction, self._look(undo))

    def held_up(self) -> tuple[str, ...]:
        """Return what the pending revisions hold up: a line for each file that does."""

        def look(visit: Visit) -> tuple[str, ...]:
            with open_ledger(visit) as ledger:
                history, sources = ledger.history(), Sources(visit.settings)
            watched = self._watched(visit)
            pending = (r for r in visit.revisions.all() if r.id in watched)
            found = {sources.file(r): seen_in(r, history) for r in pending}
            return told({file: seen for file, seen in found.items() if seen is not None})

        return self._look(look)

    def _watched(self, visit: Visit) -> frozenset[str]:
        """Return of which revisions it has to be known what they hold up."""
        return replace(self.elsewhere, watched=self.pending).watches(visit.revisions.ids())

    # -- looking -----------------------------------------------------------------------

    def _state(self, to: Sequence[str] | None) -> State:
        def look(visit: Visit) -> State:
            with open_ledger(visit) as ledger:
                wanted = visit.revisions.heads() if to is None else to
                state = State(frozenset(ledger.heads), frozenset(wanted))
                watched = self._watched(visit)
                return compared(visit, ledger.history(), state, watched, self.left_out)

        return self._look(look)

    def _look(self, look: Callable[[Visit], T]) -> T:
        with _quietly():
            return visit_project(self._told(), look)

    # -- running -----------------------------------------------------------------------

    def _make_anew(
        self, database: Database, server: Connection, name: str, to: Sequence[str] | None
    ) -> None:
        wipe(server)
        create(server, "database", name)
        self._upgrade(database, server, to, self.pending)

    def _upgrade(
        self,
        database: Database,
        server: Connection,
        to: Sequence[str] | None,
        watched: Collection[str],
    ) -> None:
        """Run the history; what fails at its place is passed over, and tried in the end.

        So it went where somebody has skipped a revision and retried it later; who has only
        skipped it does without.
        """
        targets = ("heads",) if to is None else to
        passed: dict[str, PgpipeError] = {}

        def run() -> None:
            self._run(targets, watched)

        while (error := self._failure(run, database, server)) is not None:
            failed = error.cause.revision if isinstance(error, StepError) else None
            new = failed in self.pending and failed not in self.retried
            if failed is None or failed in passed or new:
                raise _not_replayed(error) from error
            passed[failed] = error
            self._decide(failed, Status.SKIPPED)
        for failed, error in passed.items():
            if failed in self.left_out:
                continue
            self._decide(failed, Status.RETRY)
            if self._failure(run, database, server) is not None:
                raise _not_replayed(error) from error

    def _failure(
        self, move: Callable[[], None], database: Database, server: Connection
    ) -> PgpipeError | None:
        """Return why a move fails when all that the history takes for given has been made."""
        made: set[tuple[str, str]] = set()
        while (error := _error(move)) is not None:
            missing = _missing(error)
            if missing is None or missing in made or len(made) == MOST_MISSING:
                return error
            made.add(missing)
            _make_or_raise(missing, database, server, error)
        return None

    def _decide(self, revision: str, status: Status) -> None:
        """Pass a revision over, or ask for it again."""

        def write(visit: Visit) -> None:
            with open_ledger(visit) as ledger:
                row = ledger.history().rows[revision]
                ledger.recorder.set_status(row, status, logs=row.logs)
                build = current_build({}, None)
                named = visit.revisions.get(revision)
                outcome = Outcome(status.value)
                ledger.recorder.note(named, Direction.UPGRADE, outcome, build, REHEARSED)

        self._look(write)

    def _run(self, targets: Iterable[str], watched: Collection[str]) -> None:
        for target in targets:
            command.upgrade(self._told(watched), target)

    def _told(self, watched: Collection[str] = ()) -> Config:
        """Return the project's configuration, with the other database in it.

        Of the revisions that are ``watched`` it is recorded what they hold up.
        """
        config = copy.copy(self.config)
        config.stdout = io.StringIO()
        elsewhere = replace(self.elsewhere, watched=watched)
        config.attributes = {**self.config.attributes, ELSEWHERE: elsewhere}
        return config


def _error(move: Callable[[], None]) -> PgpipeError | None:
    """Make a move, and return why it fails."""
    try:
        _make_move(move)
    except PgpipeError as error:
        return error
    return None


def _make_move(move: Callable[[], None]) -> None:
    try:
        with _quietly():
            move()
    except PgpipeError:
        raise
    except Exception as error:
        # What Alembic, env.py or a revision's module raises may be anything.
        said = f"{type(error).__name__}: {error}"
        raise RehearsalError(f"{NOT_REPLAYED}: {said}. {USE_A_COPY}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what env.py, Alembic and the revisions print and log out of a command's answer."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


# --- the scratch server ---


def _make(missing: tuple[str, str], database: Database, server: Connection) -> None:
    kind, name = missing
    if kind != "schema":
        create(server, kind, name)
        return
    with database.connect(autocommit=True) as connection:
        create(connection, kind, name)


def _make_or_raise(
    missing: tuple[str, str], database: Database, server: Connection, error: PgpipeError
) -> None:
    try:
        _make(missing, database, server)
    except DBAPIError:
        raise _not_replayed(error) from error


# --- what it failed for ---


def _missing(error: PgpipeError) -> tuple[str, str] | None:
    """Return kind and name of what a history took for given, and the server misses.

    A schema is made only for the tables that tell how far the history is: where a source
    misses one, that may be the very mistake that a rehearsal should find.
    """
    found = MISSING.search(str(error))
    if found is None or (found["kind"] == "schema" and isinstance(error, StepError)):
        return None
    return found["kind"], found["name"]


def _not_replayed(error: PgpipeError) -> PgpipeError:
    if not isinstance(error, StepError):
        return error
    cause = error.cause
    return RehearsalError(
        f"{NOT_REPLAYED}: {cause.revision} ({cause.name}) fails there. {cause.where}: "
        f"{cause.message.rstrip('.')}. {USE_ANOTHER}",
        cause,
    )
