"""What a run needs to know of a step before it starts: its source, checked and hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Direction, Revision, Status
from alembic_pgpipe.run.plan import UNREADABLE, Action, Decision, Facts
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.directives import Directives
from alembic_pgpipe.source.loading import Source, load_source
from alembic_pgpipe.source.transaction import Execution, Mode

EMPTY = "holds no statement"


@dataclass(frozen=True, slots=True)
class Step:
    """One revision in one direction, with the source that it runs."""

    revision: Revision
    direction: Direction
    decision: Decision
    source: Source | None = None
    execution: Execution | None = None
    checksum: str | None = None

    @property
    def runs(self) -> bool:
        """Return whether anything is sent to the server for this step."""
        return self.decision.action is Action.RUN

    @property
    def upwards(self) -> bool:
        """Return whether it applies its revision, and does not take it back."""
        return self.direction is Direction.UPGRADE

    @property
    def goal(self) -> Status:
        """Return the status that its revision has when it is committed."""
        return Status.SUCCESS if self.upwards else Status.ROLLED_BACK

    @property
    def directives(self) -> Directives:
        """Return the source's directives; a Python revision has none."""
        return self.source.directives if self.source is not None else Directives()

    @property
    def total(self) -> int | None:
        """Return how many statements the step has, where that is known."""
        return self.execution.total if self.execution is not None else None

    @property
    def transactional(self) -> bool:
        """Return whether a failure undoes all of the step."""
        return self.execution is None or self.execution.mode is Mode.TRANSACTION

    @property
    def file(self) -> str:
        """Return the file that people would edit."""
        return self.source.path if self.source is not None else self.revision.path


def refuse_apart(source: Source, role: str | None, database: str | None = None) -> None:
    """Raise SourceError for a source that cannot be a part of a Python revision's step.

    Such a step has one transaction, ``role`` and ``database`` for all that it runs.
    """
    said, needed = source.directives, []
    if said.role not in (None, role):
        needed.append(f"role = {said.role}")
    if said.database not in (None, database):
        needed.append(f"database = {said.database}")
    if source.execution.mode is Mode.AUTOCOMMIT:
        needed.append("to be outside a transaction")
    if needed:
        raise SourceError(
            source.path,
            f"it needs {' and '.join(needed)}, which a Python revision that runs it cannot "
            "give: all of it has one transaction, role and database. Give the source a wrapper "
            "of its own: alembic pgpipe wrap",
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of a run; each is checked once, and what runs is what was checked."""

    settings: Settings
    _loaded: dict[str, Source] = field(default_factory=dict)

    def load(self, file: str) -> Source:
        """Return a source by its path below the sources folder; raises SourceError."""
        if file not in self._loaded:
            settings = self.settings
            self._loaded[file] = load_source(
                settings.sources, file, settings.project, settings.require_transaction
            )
        return self._loaded[file]

    def file(self, revision: Revision) -> str:
        """Return the file that people edit: the source, or the Python revision itself."""
        if revision.source is None:
            return revision.path
        return self.settings.shown(self.settings.sources / revision.source)

    def is_gone(self, revision: Revision) -> bool:
        """Return whether there is no file under the name of a revision's source."""
        source = revision.source
        return source is not None and not (self.settings.sources / source).exists()

    def facts(self, revision: Revision) -> Facts:
        """Return what a revision's files say now, for the plan; never raises."""
        try:
            if revision.source is None:
                return Facts(self._python_checksum(revision))
            source = self.load(revision.source)
        except SourceError:
            return Facts(UNREADABLE)
        said = source.directives
        return Facts(source.checksum, said.retry, said.skip, str(said))

    def refusal(self, revision: Revision) -> SourceError | None:
        """Return why a revision's source may not run upwards as it is; None where it may."""
        try:
            self.step(revision, Direction.UPGRADE, Decision(Action.RUN))
        except SourceError as error:
            return error
        return None

    def undo_file(self, revision: Revision) -> str | None:
        """Return a revision's undo by its path below the sources folder; None without one."""
        file = revision.undo if revision.source is not None else None
        if file is None:
            return None
        try:
            return file if (self.settings.sources / file).exists() else None
        except OSError:
            # What keeps it from being looked for, says who reads it.
            return file

    def undo_refusal(self, revision: Revision) -> SourceError | None:
        """Return why a revision's undo may not run as it is; None where it may, or is not."""
        if self.undo_file(revision) is None:
            return None
        try:
            self.step(revision, Direction.DOWNGRADE, Decision(Action.RUN))
        except SourceError as error:
            return error
        return None

    def may_undo(self, revision: Revision) -> bool:
        """Return whether a revision has an undo that may run."""
        return self.undo_file(revision) is not None and self.undo_refusal(revision) is None

    def doubts(self, revision: Revision) -> tuple[str, ...]:
        """Return which comments of a revision's source look like directives and are none."""
        try:
            return self.load(revision.source).doubts if revision.source is not None else ()
        except SourceError:
            return ()

    def is_empty(self, revision: Revision) -> bool:
        """Return whether a revision's source may run, and has nothing in it."""
        try:
            source = self.load(revision.source) if revision.source is not None else None
            return source is not None and source.execution.total == 0
        except SourceError:
            return False

    def step(self, revision: Revision, direction: Direction, decision: Decision) -> Step:
        """Return a step ready to run; raises SourceError where its source may not."""
        file = revision.source if direction is Direction.UPGRADE else revision.undo
        if decision.action is not Action.RUN:
            return Step(revision, direction, decision)
        if revision.source is None or file is None:
            checksum = self._python_checksum(revision)
            return Step(revision, direction, decision, checksum=checksum)
        source = self.load(file)
        return Step(revision, direction, decision, source, source.execution, source.checksum)

    def undo(self, revision: Revision, decision: Decision, database: str | None) -> Step:
        """Return a step downwards, which runs in ``database`` unless its undo names another."""
        step = self.step(revision, Direction.DOWNGRADE, decision)
        source = step.source
        if source is None or database is None or source.directives.database is not None:
            return step
        directives = replace(source.directives, database=database)
        return replace(step, source=replace(source, directives=directives))

    def database(self, revision: Revision) -> str | None:
        """Return the database that a revision's source names now; raises SourceError."""
        return self.load(revision.source).directives.database if revision.source else None

    def _python_checksum(self, revision: Revision) -> str:
        path = Path(self.settings.project, revision.path)
        try:
            raw = path.read_bytes().replace(b"\r\n", b"\n")
        except OSError as error:
            raise SourceError(revision.path, f"cannot be read: {error.strerror}.") from error
        return hashlib.sha256(raw).hexdigest()
