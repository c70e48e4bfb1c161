"""``alembic pgpipe check``: all that can be known to be wrong before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from alembic.config import Config

from alembic_pgpipe.commands.look import look_at
from alembic_pgpipe.commands.notes import lacking, notes
from alembic_pgpipe.commands.problems import besides, stopping
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Problem, Revision
from alembic_pgpipe.project import open_ledger, visit_project
from alembic_pgpipe.rehearsal.database import Where
from alembic_pgpipe.rehearsal.upcoming import Upcoming
from alembic_pgpipe.routines.working import GONE, RoutineChange, changed_routines, unsettled
from alembic_pgpipe.run.failure import excerpt, problem_of
from alembic_pgpipe.settings import Settings, read_settings
from alembic_pgpipe.shipping.trial import Outstanding, Trial, Tried

STUCK = "not rehearsed: as it is, an upgrade would run nothing; mend what is said above first"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found in the pending revisions and so many changed routine files.

    ``notes`` say what could not be looked into, and what the pending revisions hold up.
    ``tried`` is what was run of them; None where they were only read.  An upgrade runs
    nothing of those that are ``passed_over``.
    """

    problems: tuple[Problem, ...]
    pending: tuple[Revision, ...]
    routines: int = 0
    notes: tuple[str, ...] = ()
    tried: Tried | None = None
    passed_over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found by reading alone; ``stuck`` where an upgrade would run nothing.

    The ``upcoming`` revisions are the ``pending`` ones.  An upgrade runs nothing of those that
    are ``passed_over``, a rehearsal nothing of those whose sources ``say_skip``.  ``lacking``
    is what only a scratch server may have.
    """

    upcoming: Upcoming
    problems: tuple[Problem, ...]
    pending: tuple[Revision, ...]
    passed_over: frozenset[str]
    say_skip: frozenset[str]
    routines: tuple[RoutineChange, ...]
    stuck: bool
    notes: tuple[str, ...]
    lacking: str | None

    @property
    def runs(self) -> bool:
        """Return whether there is anything to be rehearsed."""
        left_out = self.passed_over | self.say_skip
        return bool(self.routines) or any(one.id not in left_out for one in self.pending)

    def rehearsed(self, config: Config) -> Trial:
        """Try what is to be shipped, where there is a point in it."""
        if not self.runs:
            return Trial()
        if self.stuck:
            return Trial(notes=(STUCK,))
        trial = Outstanding(
            config, self.upcoming, self.pending, self.say_skip, self.routines
        ).rehearse()
        on_scratch = trial.tried is not None and trial.tried.where is Where.SCRATCH
        if self.lacking is None or not on_scratch:
            return trial
        return replace(trial, notes=(*trial.notes, self.lacking))


def check(config: Config, *, rehearse: bool = True) -> CheckReport:
    """Validate all pending sources, and name applied ones that were edited since.

    Names where ``alembic_version`` and the ledger contradict each other as well.
    The project's database is only read.  Pending revisions and changed routine files are
    then tried on a scratch server, unless ``rehearse`` is false.
    """
    found = visit_project(config, _found)
    trial = found.rehearsed(config) if rehearse else Trial()
    project = read_settings(config).project
    return CheckReport(
        tuple(_shown(one, project) for one in (*found.problems, *trial.problems)),
        found.pending,
        len(found.routines),
        (*found.notes, *trial.notes),
        trial.tried,
        found.passed_over,
    )


def _found(visit: Visit) -> _Found:
    with open_ledger(visit) as ledger:
        look = look_at(ledger)
        stuck = tuple(stopping(look))
        routines, unreadable = _changed(look.settings)
        return _Found(
            look.upcoming(),
            (*stuck, *besides(look), *unreadable),
            look.pending,
            look.passed_over,
            look.say_skip,
            routines,
            stuck=bool(stuck),
            notes=tuple(notes(look)),
            lacking=lacking(look),
        )


def _changed(settings: Settings) -> tuple[tuple[RoutineChange, ...], tuple[Problem, ...]]:
    """Return the routine files that differ from their snapshot, and what is wrong there."""
    try:
        changes = changed_routines(settings)
    except SourceError as error:
        return (), (problem_of(error),)
    waiting = unsettled(changes)
    gone = tuple(Problem(change.path, GONE) for change in waiting if not change.new)
    return tuple(change for change in waiting if change.new), gone


def _shown(problem: Problem, project: Path) -> Problem:
    """Return a finding with the lines of its file that show the place."""
    if not problem.line:
        return problem
    lines = excerpt(project / problem.file, problem.line, problem.column)
    return replace(problem, excerpt=tuple(lines))
