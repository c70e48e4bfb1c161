"""Turn Alembic's steps into planned steps: held, marked, checked, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from alembic.runtime.migration import RevisionStep, StampStep

from alembic_pgpipe.errors import (
    HeldError,
    RevisionError,
    SourceError,
)
from alembic_pgpipe.ledger.agreement import Evidence, half_undone
from alembic_pgpipe.ledger.history import BEFORE_THE_LEDGER, History
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Direction, Outcome, Revision, Status
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.checks import Checks, ended
from alembic_pgpipe.run.failure import indented
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.run.plan import Action, Plan, decide_downgrade, plan_upgrade
from alembic_pgpipe.run.request import AlembicStep
from alembic_pgpipe.run.step import Sources, Step
from alembic_pgpipe.run.version_back import refuse_skipped_back
from alembic_pgpipe.run.ways_out import ways_out_of
from alembic_pgpipe.showable import counted
from alembic_pgpipe.source.directives import said_database

# Of what a message lists it shows so many.
MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Planned:
    """A step of Alembic's with what this package knows of it; None for a stamp.

    ``catch_up``: ``alembic_version`` has passed the revision already, and stays.
    """

    alembic: AlembicStep
    step: Step | None = None
    catch_up: bool = False


@dataclass(frozen=True, slots=True)
class Planner:
    """Decides about a run with the ledger before it, and writes the decisions down."""

    known: Known
    journal: Recorder
    sources: Sources
    log: BuildLog

    def plan(
        self, steps: Iterable[AlembicStep], heads: Iterable[str], verb: str
    ) -> list[Planned]:
        """Return the steps to hand to Alembic, in order.

        ``verb`` is what was typed: only an upgrade catches up with what was passed.  Raises
        LedgerError where the ledger contradicts ``alembic_version``, HeldError where a failed
        revision waits for a decision, StepError where a pending source may not run,
        RevisionError where an undo is missing.
        """
        wanted = list(steps)
        if verb == "stamp" or any(isinstance(step, StampStep) for step in wanted):
            return [Planned(step) for step in wanted]
        evidence = self.known.agreed(heads)
        applied = tuple(r for r in evidence.revisions if r.id in evidence.passed)
        self._adopt(applied, evidence.history)
        moving = [step for step in wanted if isinstance(step, RevisionStep)]
        if verb == "downgrade" or any(step.is_downgrade for step in moving):
            return self._plan_downgrade(moving)
        for note in half_undone(evidence):
            self.log.say(f"note: {note}")
        return self._plan_upgrade(moving, applied, evidence)

    def bury(self) -> None:
        """Close attempts and builds that have died; the lock is ours: nobody is at a step."""
        for attempt in self.known.reading.open_attempts():
            self.log.bury(attempt)
            self.journal.attempts.interrupt(attempt)
        self.log.bury_abandoned()

    def _adopt(self, applied: Iterable[Revision], history: History) -> None:
        """Record what plain Alembic applied before the ledger was kept."""
        found = [revision for revision in applied if revision.id not in history.rows]
        if found:
            self.journal.adopt(found, self.log.build, BEFORE_THE_LEDGER)
            them = counted(len(found), "revision")
            self.log.say(f"{them} {BEFORE_THE_LEDGER}: recorded as SUCCESS")

    # -- upwards -----------------------------------------------------------------------

    def _plan_upgrade(
        self, steps: list[RevisionStep], applied: tuple[Revision, ...], evidence: Evidence
    ) -> list[Planned]:
        history = evidence.history
        pending = tuple(self.known.revisions.describe(step.revision) for step in steps)
        looked_at = self._with_open_questions(applied, pending, history)
        facts = {revision.id: self.sources.facts(revision) for revision in looked_at}
        retry_failed = self.sources.settings.retry_failed
        plan = plan_upgrade(applied, pending, history, facts, retry_failed)
        self._refuse_held(plan, history)
        self.journal.add_waiting(r for r in pending if r.id not in history.rows)
        self._write_down(plan)
        checked = self._checks.checked(plan.decisions, evidence.passed, history)
        late = [self._alembic_step(revision) for revision, _ in plan.catch_up]
        caught_up = [
            Planned(alembic, step, catch_up=True)
            for alembic, step in zip(late, checked, strict=False)
            if step.runs
        ]
        return [*caught_up, *map(Planned, steps, checked[len(late) :])]

    @property
    def _checks(self) -> Checks:
        return Checks(self.known, self.journal, self.sources, self.log)

    def _with_open_questions(
        self, applied: Iterable[Revision], pending: Iterable[Revision], history: History
    ) -> Iterator[Revision]:
        """Yield the revisions whose files matter for the plan."""
        failed = (Status.ERROR, Status.RUNNING, Status.RETRY)
        yield from (r for r in applied if history.status(r.id) in failed)
        asked = (Status.WAITING, Status.ROLLED_BACK, *failed)
        yield from (r for r in pending if history.status(r.id) in asked)

    def _refuse_held(self, plan: Plan, history: History) -> None:
        for revision in plan.held:
            row = history.rows[revision.id]
            self.log.say(f"held: {revision.id} {revision.name} failed before:")
            self.log.say(indented(row.logs or "(the ledger holds no error text)"))
            if len(plan.held) > 1:
                self.log.say(indented(ways_out_of(revision, self.sources)))
        self._remember_text(plan.held, history)
        if plan.held:
            names = ", ".join(f"{r.id} ({r.name})" for r in plan.held)
            out = _sentence(ways_out_of(plan.held[0], self.sources))
            raise HeldError(
                f"Nothing was run: {counted(len(plan.held), 'revision')} failed before and "
                f"nobody has decided what comes of it: {names}. {out}"
            )

    def _remember_text(self, failed: Iterable[Revision], history: History) -> None:
        """Record the text of what failed under another tool: an edit is seen from now on."""
        up, reason = Direction.UPGRADE, "failed before the ledger was kept"
        for revision in failed:
            if history.last_try(revision.id, up) is None:
                facts = self.sources.facts(revision)
                text = (facts.checksum, facts.directives)
                self.journal.note(revision, up, Outcome.ERROR, self.log.build, reason, *text)

    def _write_down(self, plan: Plan) -> None:
        """Record what directives, edits and settings decided."""
        marked = (revision for revision, decision in plan.decisions if decision.mark)
        rows = self.known.history(marked).rows
        build = self.log.build
        for revision, decision in plan.decisions:
            outcome = Outcome.ADOPTED if decision.adopt else None
            if decision.mark is not None:
                self.journal.set_status(rows[revision.id], decision.mark)
                outcome = Outcome(decision.mark.value)
            if outcome is not None:
                self.journal.note(revision, Direction.UPGRADE, outcome, build, decision.why)

    def _alembic_step(self, revision: Revision) -> RevisionStep:
        revisions = self.known.revisions
        script = revisions.script_of(revision)
        return RevisionStep(revisions.script.revision_map, script, True)

    # -- downwards ---------------------------------------------------------------------

    def _plan_downgrade(self, steps: list[RevisionStep]) -> list[Planned]:
        revisions = [self.known.revisions.describe(step.revision) for step in steps]
        history = self.known.history(revisions)
        decisions = [decide_downgrade(revision, history) for revision in revisions]
        decided = list(zip(steps, revisions, decisions, strict=True))
        run = (one for _, one, decision in decided if decision.action is Action.RUN)
        refuse_skipped_back(run, self.known, self.sources)
        planned: list[Planned] = []
        refused: list[tuple[Revision, SourceError]] = []
        for alembic, revision, decision in decided:
            try:
                runs_it = decision.action is Action.RUN
                database = self._ran_in(revision, history) if runs_it else None
                step = self.sources.undo(revision, decision, database)
                planned.append(Planned(alembic, step))
            except SourceError as error:
                refused.append((revision, error))
        if refused:
            raise _without_undo(refused)
        return planned

    def _ran_in(self, revision: Revision, history: History) -> str | None:
        """Return the database that a revision was applied in; None for the run's own.

        Where no run has recorded that, its source says it.
        """
        settled = history.settled.get(revision.id)
        if settled is not None and settled.directives is not None:
            return said_database(settled.directives)
        return self.sources.database(revision)


def runs(planned: Planned) -> bool:
    """Return whether a planned step sends anything to the server."""
    return planned.step is not None and planned.step.decision.action is Action.RUN


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _without_undo(refused: Sequence[tuple[Revision, SourceError]]) -> RevisionError:
    """Return the error for revisions whose undo may not run, or is not there."""
    revision, error = refused[0]
    others = [f"{other.id} ({other.name})" for other, _ in refused[1:]]
    shown = ", ".join(others[:MOST_NAMES]) + (", …" if len(others) > MOST_NAMES else "")
    too = f"Nor can {counted(len(others), 'other revision')}: {shown}. " if others else ""
    return RevisionError(
        f"Revision {revision.id} ({revision.name}) cannot be downgraded: {ended(error)} {too}"
        "Nothing was run. Write the undo into that file, then downgrade again."
    )
