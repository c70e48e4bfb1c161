"""How a command gets to see a project: through its env.py, like Alembic's own commands."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from alembic_pgpipe.connect.database import Database, open_database
from alembic_pgpipe.connect.lock import holder
from alembic_pgpipe.environment.visit import VISIT, Visit
from alembic_pgpipe.errors import SettingsError
from alembic_pgpipe.ledger.agreement import Evidence, said_applied
from alembic_pgpipe.ledger.history import History, match_history, refuse_unread
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.states import UNSETTLED, unsettled
from alembic_pgpipe.ledger.tables import ATTEMPTS, BUILDS, MIGRATIONS
from alembic_pgpipe.model import Revision, Status

T = TypeVar("T")
ADOPT = (
    "env.py does not call alembic-pgpipe. Add to {env}: "
    "'from alembic_pgpipe.environment import run', and call run(context, "
    "target_metadata=target_metadata) in place of its run_migrations_offline() and "
    "run_migrations_online()."
)


def visit_project(config: Config, look: Callable[[Visit], T]) -> T:
    """Run the project's env.py and give ``look`` what it resolves; return its answer.

    The URL may be made in env.py, so that no command of ours can know it otherwise.
    Raises SettingsError where env.py fails, or does not use this package.
    """
    script = ScriptDirectory.from_config(config)
    visits: list[Visit] = []
    answers: list[T] = []

    def visited(visit: Visit) -> None:
        visits.append(visit)
        answers.append(look(visit))

    config.attributes[VISIT] = visited
    try:
        with EnvironmentContext(config, script, fn=lambda heads, context: []):
            script.run_env()
    except CommandError:
        raise
    except (Exception, SystemExit) as error:
        if visits:
            raise
        raise SettingsError(_failed_env(script.env_py_location, error)) from error
    finally:
        del config.attributes[VISIT]
    if not answers:
        raise SettingsError(ADOPT.format(env=script.env_py_location))
    return answers[0]


def _failed_env(env: str, error: BaseException) -> str:
    """Return where and how the project's own env.py has failed, ahead of our call."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((f":{one.lineno}" for one in reversed(frames) if one.filename == env), "")
    return (
        f"{env}{line}: this fails: {type(error).__name__}: {error}. Mend it, or set what it "
        "wants, then type the same command again."
    )


@dataclass(frozen=True, slots=True)
class OpenLedger:
    """A project, its database, and the ledger there; nothing is created by opening it."""

    visit: Visit
    database: Database
    connection: Connection
    recorder: Recorder
    missing: tuple[str, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """Return what ``alembic_version`` says."""
        return self.visit.heads(self.connection)

    def schema_of_sources(self) -> str | None:
        """Return the schema that an unqualified name in a source means, if there is any."""
        with self.database.connect(own=False) as connection:
            found = connection.exec_driver_sql("SELECT pg_catalog.current_schema()")
            schema: str | None = found.scalar_one()
        return schema

    def status(self, revision: str, history: History) -> Status:
        """Return a revision's status; SUCCESS where it was applied before there was one."""
        if revision not in history.rows and self._passed(revision):
            return Status.SUCCESS
        return history.status(revision)

    def _passed(self, revision: str) -> bool:
        return revision in self.visit.revisions.applied(self.heads)

    def unsettled(self, passed: Collection[str]) -> tuple[Revision, ...]:
        """Return the revisions of which a row says that something is left to be done.

        ``passed`` are the ids that ``alembic_version`` has passed.  Where several rows have
        the name of one, its status may be another all the same.
        """
        if MIGRATIONS in self.missing:
            return ()
        revisions = self.visit.revisions
        known = revisions.ids()
        rows = [
            (id_, name)
            for id_, name, status in self.recorder.reading.named({*UNSETTLED, Status.SKIPPED})
            if unsettled(status, passed=id_ in passed)
        ]
        names = {name for id_, name in rows if id_ not in known}
        return revisions.those({id_ for id_, _ in rows}, names)

    def history(self, of: Iterable[Revision] | None = None) -> History:
        """Return what the ledger knows of the project's revisions, or of some of them.

        Nothing where it does not exist yet.  Raises LedgerError where it cannot be read.
        """
        has_rows, revisions = MIGRATIONS not in self.missing, self.visit.revisions
        # That one of the others cannot be read must be said as well.
        narrow = None if has_rows and self.recorder.reading.has_unread_rows() else of
        some = revisions.all() if narrow is None else tuple(narrow)
        asked = None if narrow is None else some
        rows = self.recorder.reading.rows(asked) if has_rows else ()
        attempts = () if ATTEMPTS in self.missing else self.recorder.reading.attempts(asked)
        history = match_history(some, rows, attempts, revisions.ids())
        refuse_unread(history)
        return history

    def evidence(self) -> Evidence:
        """Return what the database says of the revisions, as of one moment."""
        with self.database.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ")
            return read_evidence(self.visit, connection)


def read_evidence(
    visit: Visit, connection: Connection, *, running: bool | None = None
) -> Evidence:
    """Return what the database says of the revisions, all within one transaction.

    Where the ledger does not exist yet it says nothing.  ``running`` is whether another
    run is at work, where the caller knows.
    """
    revisions, everything = visit.revisions, visit.revisions.all()
    # This ends a transaction, so it comes first.
    heads = visit.heads(connection)
    recorder, missing = _ledger_on(connection, visit.settings.schema)
    rows = () if MIGRATIONS in missing else recorder.reading.rows()
    attempts = () if ATTEMPTS in missing else recorder.reading.attempts()
    names = {revision.id for revision in everything}
    known = [head for head in heads if head in names]
    if running is None:
        running = holder(connection, visit.settings.schema) is not None
    history = match_history(everything, rows, attempts)
    return Evidence(
        everything,
        revisions.applied(known),
        history,
        revisions.behind(known),
        tuple(head for head in heads if head not in names),
        running,
        () if heads else revisions.tops(said_applied(history) & names),
    )


@contextmanager
def open_ledger(visit: Visit) -> Iterator[OpenLedger]:
    """Connect to the project's database, each statement committing by itself."""
    with (
        open_database(visit.settings, visit.environ, hide=visit.hide) as database,
        database.connect(autocommit=True) as connection,
    ):
        recorder, missing = _ledger_on(connection, visit.settings.schema)
        yield OpenLedger(visit, database, connection, recorder, missing)


def _ledger_on(connection: Connection, schema: str) -> tuple[Recorder, tuple[str, ...]]:
    """Return the ledger as far as it is there, and which of its tables are not."""
    recorder = Recorder.on(connection, schema)
    missing = recorder.relations.missing()
    # Whoever only looks needs no build's log for that.
    readable = BUILDS not in missing and recorder.relations.may_read(recorder.tables.builds)
    return replace(recorder, with_builds=readable), missing
