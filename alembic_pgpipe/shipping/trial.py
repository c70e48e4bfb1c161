"""Try in a rehearsal what is to be shipped: pending revisions, and changed working copies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alembic.config import Config

from alembic_pgpipe.errors import Cause, PgpipeError, RehearsalError, UntriedError
from alembic_pgpipe.model import Problem, Revision
from alembic_pgpipe.rehearsal.database import Rehearsal, Where, rehearsal
from alembic_pgpipe.rehearsal.unmade import Missing, unmade
from alembic_pgpipe.rehearsal.upcoming import ANEW, Upcoming, named
from alembic_pgpipe.routines.working import RoutineChange
from alembic_pgpipe.settings import read_settings
from alembic_pgpipe.shipping.bodies import Bodies
from alembic_pgpipe.shipping.planning import Shipping
from alembic_pgpipe.shipping.shipment import Shipment
from alembic_pgpipe.shipping.stage import Stage
from alembic_pgpipe.shipping.texts import Texts, latest_texts

THERE_ALREADY = (
    "the database of pgpipe.rehearsal_url is at the head already, and the project's database "
    "at {}. {}"
)
TOO_OLD = (
    "{} ({}), which the project's database has, does not run in the older database of "
    "pgpipe.rehearsal_url: {}. {}"
)
# The gate of a pipeline is its exit code: what was to be tried and was not is a problem.
NOT_REHEARSED = "not rehearsed (to do without: alembic pgpipe check --no-rehearsal): {}"
FAILS = {
    Where.SCRATCH: "fails on a scratch server",
    Where.GIVEN: "fails in the database of pgpipe.rehearsal_url",
}
# What a real server has been given, and a scratch server has not.
LACKS = re.compile(r'extension "[^"]+" is not available|could not (?:open|access) .*file ')
UNMADE = "not tried on a scratch server{}: the history does not make {}, which the database has"
MAKE = (
    "to have that tried, set pgpipe.rehearsal_url to a copy of the database; or give the "
    "history a baseline: pg_dump -s into a source ahead of all others, alembic pgpipe wrap, "
    "alembic stamp"
)


@dataclass(frozen=True, slots=True)
class Tried:
    """How many pending revisions and changed routine files were run, and where.

    One that failed there was run too.
    """

    where: Where
    revisions: int
    routines: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What is wrong with the files, and what could not be found out.

    ``tried`` is what was run for it; None where nothing was.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    tried: Tried | None = None


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What is to be shipped to a project's database.

    The ``upcoming`` revisions are the ``pending`` ones; a rehearsal runs nothing of those
    whose sources say ``--skip``.
    """

    config: Config
    upcoming: Upcoming
    pending: tuple[Revision, ...]
    say_skip: frozenset[str]
    changes: tuple[RoutineChange, ...]

    def rehearse(self) -> Trial:
        """Run what is pending and try what has changed; say why where that cannot be done.

        The project's database is only asked what it has.
        """
        try:
            with rehearsal(self.config, upcoming=self.upcoming) as rehearsed:
                tried = Tried(rehearsed.where, self._run_of(rehearsed.ran), len(self.changes))
                trial = _try_changes(rehearsed, self.changes)
                notes = (*rehearsed.notes, *trial.notes)
                trial = replace(trial, notes=notes, tried=tried)
        except RehearsalError as error:
            return self._stopped(error)
        except PgpipeError as error:
            return self._not_rehearsed(str(error))
        if rehearsed.where is Where.GIVEN:
            return self._compared(rehearsed, trial)
        faults = (rehearsed.fault,) if rehearsed.fault is not None else ()
        return self._forgiven(replace(trial, problems=(*faults, *trial.problems)))

    def _not_rehearsed(self, said: str) -> Trial:
        """Return that nothing was run; of a database that was named that is a problem."""
        if self._where is Where.SCRATCH:
            return Trial(notes=(f"not rehearsed: {said}",))
        named_in = Path(self.config.config_file_name or "alembic.ini").name
        return Trial((Problem(named_in, NOT_REHEARSED.format(said)),))

    def _stopped(self, error: RehearsalError) -> Trial:
        """Return what came of a rehearsal that has not reached the state that it should."""
        cause = error.cause
        # The fault of what is applied already is not that of what is to be shipped.
        if cause is None or cause.revision not in self.upcoming.pending:
            older = cause if self._where is Where.GIVEN else None
            return self._not_rehearsed(_too_old(older) if older else str(error))
        if isinstance(error, UntriedError):
            return Trial(notes=(str(error),), tried=self._up_to(Where.GIVEN, error))
        if LACKS.search(cause.message):
            return Trial(notes=(f"not rehearsed: {error}",))
        return self._failed(error, cause)

    @property
    def _where(self) -> Where:
        is_scratch = read_settings(self.config).rehearsal_url is None
        return Where.SCRATCH if is_scratch else Where.GIVEN

    def _failed(self, error: RehearsalError, cause: Cause) -> Trial:
        """Return that one of the pending revisions fails."""
        where = self._where
        problem = Problem(cause.file, cause.message, cause.line, cause.column)
        if where is Where.SCRATCH and (missing := self._unmade(problem)) is not None:
            note = _unmade_note(problem, missing, ", nor is what follows")
            return Trial(notes=(note, MAKE), tried=self._up_to(where, error))
        problem = replace(problem, message=f"{FAILS[where]}: {cause.message}")
        return Trial((problem,), tried=self._up_to(where, error, 1))

    def _up_to(self, where: Where, error: RehearsalError, more: int = 0) -> Tried | None:
        """Return how much was run ahead of the revision that has stopped a rehearsal."""
        assert error.cause is not None, "no revision has stopped it"
        count = self._run_of(self.upcoming.pending.index(error.cause.revision) + more)
        return Tried(where, count, 0) if count else None

    def _run_of(self, met: int) -> int:
        """Return how many were run of so many pending revisions that a rehearsal has met."""
        return sum(revision.id not in self.say_skip for revision in self.pending[:met])

    def _forgiven(self, trial: Trial) -> Trial:
        """Make notes of the problems that are only those of an empty server."""
        found = [(problem, self._unmade(problem)) for problem in trial.problems]
        notes = [_unmade_note(problem, one) for problem, one in found if one is not None]
        if not notes or trial.tried is None:
            return trial
        forgiven = {problem.file for problem, one in found if one is not None}
        routines = sum(change.path not in forgiven for change in self.changes)
        tried = replace(trial.tried, routines=routines)
        problems = tuple(problem for problem, one in found if one is None)
        return Trial(problems, (*notes, MAKE, *trial.notes), tried)

    def _unmade(self, problem: Problem) -> Missing | None:
        return unmade(self.config, problem, self.pending)

    def _compared(self, rehearsed: Rehearsal, trial: Trial) -> Trial:
        """Add where a database that was named had the pending revisions already."""
        if rehearsed.ran == len(self.pending):
            return trial
        told = self._not_rehearsed(THERE_ALREADY.format(named(self.upcoming.heads), ANEW))
        tried = trial.tried if self.changes else None
        return replace(trial, problems=(*told.problems, *trial.problems), tried=tried)


def _too_old(cause: Cause) -> str:
    return TOO_OLD.format(cause.revision, cause.name, cause.message.rstrip("."), ANEW)


def _unmade_note(problem: Problem, missing: Missing, rest: str = "") -> str:
    return str(replace(problem, message=UNMADE.format(rest, missing)))


def _try_changes(rehearsed: Rehearsal, changes: Sequence[RoutineChange]) -> Trial:
    """Ship the changes as ``wrap`` would, and read the bodies; nothing is written.

    Where plpgsql_check can be had, what it finds in the PL/pgSQL routines of the accepted
    files is among the problems.
    """
    bodies = Bodies(rehearsed)

    def note(shipment: Shipment) -> None:
        for change in shipment.changes:
            bodies.note(change.path, change.new)

    stage = Stage(rehearsed)
    texts = Texts(stage, latest_texts(rehearsed.settings))
    plan = Shipping(stage, texts).plan(changes, note)
    report = bodies.report()
    return Trial((*plan.problems, *report.problems), report.notes)
