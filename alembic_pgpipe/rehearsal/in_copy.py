"""Run what lies ahead of a database that was named, in a transaction that is rolled back.

A copy of the real database has its rows: duplicates that a new index meets are found there.
All steps share the one transaction, so that nothing stays of them; what cannot be a part of
it ends the rehearsal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from alembic_pgpipe.errors import Cause, RehearsalError, SourceError, UntriedError
from alembic_pgpipe.revisions.wrapper import only_runs_its_source
from alembic_pgpipe.run.failure import cause_of, describe_failure
from alembic_pgpipe.run.setback import WORTH_ANOTHER_TRY
from alembic_pgpipe.run.step import Step
from alembic_pgpipe.sending.executor import Executor
from alembic_pgpipe.sending.server_errors import (
    StatementError,
    is_broken_off,
    is_server_error,
    server_error,
    sqlstate,
)
from alembic_pgpipe.sending.session import Session
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.transaction import Mode
from alembic_pgpipe.sqlstates import (
    ACTIVE_TRANSACTION,
    DISK_FULL,
    INSUFFICIENT_PRIVILEGE,
    OUT_OF_MEMORY,
    UNCOMMITTED_VALUE,
)

GIVEN = "the database of pgpipe.rehearsal_url"
NO_FAULT = WORTH_ANOTHER_TRY | {DISK_FULL}
# SET ROLE, SET LOCAL ROLE, SET SESSION AUTHORIZATION.
ROLES = frozenset({"ROLE", "AUTHORIZATION"})
TAKES_NO_WRITES = (
    "The database in pgpipe.rehearsal_url takes no writes, as a standby. Name one that does, "
    "or remove the option: then a scratch server is used."
)
# A value that ALTER TYPE has added may be used when that is committed; locks are held, and need
# memory, to the end of the one transaction.
SHARED = frozenset({UNCOMMITTED_VALUE, OUT_OF_MEMORY})
OF_THE_SERVER = re.compile(r'(?:role|database) "[^"]+" does not exist')


@dataclass(frozen=True, slots=True)
class InCopy:
    """Runs steps in the transaction that is open in the database that was named.

    ``own_name`` is what the project's own database is called, where its URL says that.
    ``shipper`` is who ships to that, where it is somebody else than the user here.
    """

    connection: Connection
    settings: Settings
    own_name: str | None
    shipper: str | None = None

    def run(self, steps: Sequence[Step]) -> None:
        """Run steps one behind the other, each in a session as a run would give it.

        Raises RehearsalError for the first that fails, UntriedError for the first that
        cannot be tried like this.
        """
        runs = [step for step in steps if step.runs]
        if runs and self._is_read_only():
            raise RehearsalError(TAKES_NO_WRITES)
        for number, step in enumerate(runs):
            reason = self._hindrance(step)
            if reason is not None:
                raise _untried(step, reason)
            self._run(step, is_first=number == 0)

    def _is_read_only(self) -> bool:
        return self.connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"

    def _hindrance(self, step: Step) -> str | None:
        """Return why a step cannot be a part of the transaction."""
        source, path = step.source, step.revision.path
        if source is None:
            return "a Python revision may commit what it does"
        text = Path(self.settings.project, path).read_text("utf-8")
        if not only_runs_its_source(text):
            return f"{path} does more than to run it"
        if source.execution.mode is Mode.AUTOCOMMIT:
            return "it does not run in a transaction"
        database = source.directives.database
        if database not in (None, self.own_name, self._executor.database):
            return f"it runs in another database, {database}"
        return None

    def _run(self, step: Step, *, is_first: bool) -> None:
        source, at_end = step.source, False
        assert source is not None, "a Python revision is not run here"
        session = Session(self._executor, self.settings)
        try:
            session.go_on(source.directives)
            self._executor.run(_without_modes(source))
            at_end = True
            session.go_on()
        except Exception as error:
            if not _is_of_step(error):
                raise
            fault = _not_its_fault(error, is_first=is_first)
            reason = fault or self._others_right(error, source)
            if reason is not None:
                raise _untried(step, reason) from error
            project = self.settings.project
            failure = describe_failure(error, step.revision, source, project, at_end=at_end)
            raise _failed(cause_of(step.revision, failure)) from error

    def _others_right(self, error: Exception, source: Source) -> str | None:
        """Return that a right is missing, where it is not the shipper who lacks it."""
        if self.shipper is None or sqlstate(error) != INSUFFICIENT_PRIVILEGE:
            return None
        if isinstance(error, StatementError) and _takes_a_role(source):
            return None
        return (
            f"{server_error(error).message}, and it is another user, {self.shipper}, who ships"
        )

    @property
    def _executor(self) -> Executor:
        return Executor(self.connection)


def _without_modes(source: Source) -> Source:
    """Return a source whose envelope asks for no isolation level: the transaction has one."""
    return replace(source, verdict=replace(source.execution, begin=None))


def _is_of_step(error: Exception) -> bool:
    """Return whether it is the source, or the server, that has refused something."""
    return isinstance(error, (StatementError, SourceError)) or is_server_error(error)


def _not_its_fault(error: Exception, *, is_first: bool) -> str | None:
    """Return what keeps a step from being tried here, and would not keep a run from it."""
    said, code = server_error(error), sqlstate(error)
    if is_broken_off(error):
        return "the connection was lost"
    if code in NO_FAULT or OF_THE_SERVER.fullmatch(said.message):
        return f"{said.message} ({code})"
    # Such as SET TRANSACTION, where it is not the transaction's first statement.
    sets = isinstance(error, StatementError) and error.statement.words[:1] == ("SET",)
    shared = code in SHARED and not is_first
    if shared or (code == ACTIVE_TRANSACTION and sets):
        return f"it needs a transaction of its own: {said.message} ({code})"
    return None


def _takes_a_role(source: Source) -> bool:
    """Return whether a source goes on as somebody else, who has the rights then."""
    return source.directives.role is not None or any(
        one.words[:1] == ("SET",) and not ROLES.isdisjoint(one.words[:3])
        for one in source.statements()
    )


def _untried(step: Step, reason: str) -> UntriedError:
    revision = step.revision
    return UntriedError(
        f"{step.file} was not tried in {GIVEN}, nor was what follows it: {reason}",
        Cause(revision.id, revision.name, reason, step.file),
    )


def _failed(cause: Cause) -> RehearsalError:
    return RehearsalError(
        f"{cause.revision} ({cause.name}) fails in {GIVEN}. {cause.where}: "
        f"{cause.message.rstrip('.')}. Mend it.",
        cause,
    )
