"""One run of upgrade, downgrade or stamp: lock, look, decide, run each step, record."""

from __future__ import annotations

import functools
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep

from alembic_pgpipe.connect.lock import run_lock
from alembic_pgpipe.errors import LedgerError, SourceError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.broken_step import BrokenStep
from alembic_pgpipe.run.other_database import is_elsewhere
from alembic_pgpipe.run.planner import Planned, Planner, runs
from alembic_pgpipe.run.request import AlembicStep, Request
from alembic_pgpipe.run.runner import ENDED, Runner
from alembic_pgpipe.run.running import Running
from alembic_pgpipe.run.setback import Setback
from alembic_pgpipe.run.small_steps import SmallSteps
from alembic_pgpipe.run.stamping import follow_stamp
from alembic_pgpipe.run.step import Step
from alembic_pgpipe.run.ways_out import applied_again
from alembic_pgpipe.sending.other_reading import refuse_escapes

PRESENT = (
    "alembic_version holds its revision {} ({}) already, though it has not run: what ran "
    "before it, or somebody, has written it there. Find out who, then: alembic pgpipe repair"
)
# Where Alembic says which revision it runs.
ALEMBIC = logging.getLogger("alembic.runtime.migration")


@dataclass(slots=True)
class Pipeline:
    """One run on one database, in which there may be something to do."""

    runner: Runner
    planner: Planner
    small_steps: SmallSteps
    request: Request
    _heads: frozenset[str] = frozenset()
    _history: History = field(default_factory=lambda: History({}, {}, {}))
    _passed: frozenset[str] = frozenset()
    _remaining: deque[Planned] = field(default_factory=deque)
    _count: int = 0
    _chance: random.Random = field(default_factory=random.Random)

    def run(self) -> None:
        """Do what is to be done.

        Raises StepError where a step failed, HeldError where failed revisions wait for
        a decision, LockError where another run holds the lock.
        """
        escapes = not self.runner.executor.reads_standard_strings
        settings, log = self.runner.settings, self.runner.log
        with run_lock(
            self.runner.database, settings.schema, log.number, settings.lock_wait, self._say_now
        ) as hold:
            self.runner.journal = replace(self.runner.journal, hold=hold)
            self.planner.bury()
            if self.request.context.purge:
                self._plan_purge()
            else:
                self._plan()
            if escapes:
                self._refuse_escapes()
            with self._saying_what_comes_back():
                self._run_alembic()

    @contextmanager
    def _saying_what_comes_back(self) -> Iterator[None]:
        """Say behind a downgrade, also one that broke off, what the next upgrade applies."""
        planned = list(self._remaining)
        try:
            yield
        finally:
            done = planned[: len(planned) - len(self._remaining)]
            if coming := list(filter(None, map(self._comes_back, done))):
                self._say(applied_again(coming))

    def _comes_back(self, planned: Planned) -> Revision | None:
        """Return the revision of a step downwards, where the next upgrade applies it.

        Also one that was only passed: it had failed, or had been skipped.
        """
        step, alembic = planned.step, planned.alembic
        if step is None or step.upwards or not isinstance(alembic, RevisionStep):
            return None
        sources, revision = self.planner.sources, step.revision
        joins = alembic.revision.is_merge_point and step.source is None
        stays_away = sources.facts(revision).skip or sources.is_gone(revision)
        return None if joins or stays_away else revision

    def _refuse_escapes(self) -> None:
        """Refuse, ahead of the first step, what this database would read in another way."""
        executor = self.runner.executor
        for planned in self._remaining:
            source = planned.step.source if planned.step is not None else None
            if source is not None and not is_elsewhere(source, executor.database):
                refuse_escapes(source, executor.database)

    def next_steps(self, heads: Any, context: MigrationContext) -> Iterator[AlembicStep]:
        """Give Alembic one step after the other; it asks for the next after a commit.

        Small steps are run without it.  It does not see them: behind them it begins anew.
        """
        self._heads, moved = frozenset(heads), False
        while self._remaining:
            planned = self._remaining[0]
            at_once = self._ran_at_once(planned)
            moved = moved or at_once
            if planned.catch_up:
                self._catch_up(planned)
            elif not at_once:
                if moved:
                    return
                self._refuse_present(planned)
                yield planned.alembic
            self._committed(self._remaining.popleft())
            if not at_once:
                self.runner.log.flush()

    def on_version_apply(self, *, heads: set[str], **_: Any) -> None:
        """Write the ledger in the step's own transaction; Alembic calls this."""
        self._heads = frozenset(heads)
        planned = self._remaining[0]
        if planned.step is None:
            self._follow_stamp(heads)
        elif planned.step.runs:
            self.runner.record()
        else:
            self.runner.recorder.refuse_lost_lock()
            if not planned.step.upwards:
                self._unpass(planned.step)

    # -- the run -----------------------------------------------------------------------

    def _plan(self) -> None:
        heads = self.request.heads()
        if not heads and self.request.verb == "upgrade":
            self._refuse_applied_by_another_tool()
        self._passed = self._revisions.applied(heads)
        planned = self.planner.plan(self.request.due(heads), heads, self.request.verb)
        self._count = len(planned)
        for one in planned:
            if one.step is not None:
                one.alembic.migration_fn = self._tracked(one.step, one.alembic.migration_fn)
        self._remaining = deque(planned)
        self._look()
        if not planned:
            self._say("nothing to do")

    def _refuse_applied_by_another_tool(self) -> None:
        # Only a first run asks.
        from alembic_pgpipe.ledger.other_tools import applied_by_another_tool

        known, versions = self.request.known, self.request.versions
        found = applied_by_another_tool(
            known.reading.connect(), versions, known.revisions.all(), known.history()
        )
        if found is not None:
            raise LedgerError(str(found))

    def _look(self) -> None:
        """Read what the ledger knows of the steps that are left."""
        self.small_steps.forget()
        left = (one.step.revision for one in self._remaining if one.step is not None)
        self._history = self.request.known.history(left)

    def _plan_purge(self) -> None:
        """Plan a stamp that forgets ``alembic_version``, whatever that holds.

        Its steps begin at the base.  What was passed before, the ledger knows as well.
        """
        rows, revisions = self.request.known.history().rows, self._revisions
        known = revisions.ids().intersection(self.request.heads())
        applied = frozenset(r for r in rows if rows[r].status is Status.SUCCESS)
        self._passed = applied | revisions.applied(known)
        self._remaining = deque(Planned(step) for step in self.request.due(()))

    def _tracked(self, step: Step, body: Callable[..., None]) -> Callable[..., None]:
        """Return what Alembic runs in place of a revision's own function."""

        @functools.wraps(body)
        def tracked(**arguments: Any) -> None:
            if self.runner.tried is None:
                self._announce(step)
            self.runner.log.flush()
            if step.runs:
                row = self._history.rows.get(step.revision.id)
                last = self._history.open_try(step.revision.id, step.direction)
                self.runner.run(step, row, last, lambda: body(**arguments))

        return tracked

    def _announce(self, step: Step) -> None:
        place = self._count - len(self._remaining) + 1
        why = f" · {step.decision.why}" if step.decision.why else ""
        passed = "" if step.runs else " · passed over"
        name = f"{step.revision.id} {step.revision.name}"
        self._say(f"[{place}/{self._count}] {name}{why}{passed}")

    def _run_alembic(self) -> None:
        tries: Counter[str] = Counter()
        try:
            while not self._ran(tries):
                pass
        except Exception:
            raise
        except BaseException:
            # It may also have come while a failure was written down, or in the pause behind it.
            if self.runner.running is not None:
                self._setback(self.runner.running).stopped()
            raise

    def _ran(self, tries: Counter[str]) -> bool:
        """Let Alembic run what is left; return whether nothing is."""
        try:
            self.request.run(behind=self._follow_purge)
        except Exception as error:
            running = self.runner.running
            if running is None:
                raise
            tries[running.step.revision.id] += 1
            self._setback(running).settle(error, tries[running.step.revision.id])
            return False
        return not self._remaining

    def _ran_at_once(self, planned: Planned) -> bool:
        """Run a small step as one message.

        Returns False where it is to be run in the usual way, or to be run on.
        """
        if self.runner.running is not None:
            return False
        small = self.small_steps.take(planned, self._heads, self._history)
        if small is None or not self.runner.executor.reads_standard_strings:
            return False
        # Alembic has read its versions in a transaction.
        self.runner.main.commit()
        ALEMBIC.info("Running %s", planned.alembic)
        self._announce(small.step)
        after = self._heads - {small.move.before} | {small.move.after}
        if not self.runner.run_at_once(small, lambda: self._prepare_next(after)):
            return False
        self._heads = after
        return True

    def _prepare_next(self, heads: frozenset[str]) -> None:
        if len(self._remaining) > 1:
            self.small_steps.prepare(self._remaining[1], heads, self._history)

    def _refuse_present(self, planned: Planned) -> None:
        """Refuse an upgrade to a version that is there already; Alembic only asserts it."""
        step = planned.step
        if step is None or not step.upwards:
            return
        if step.revision.id in self._heads:
            raise SourceError(step.file, PRESENT.format(step.revision.id, step.revision.name))

    def _catch_up(self, planned: Planned) -> None:
        """Run a revision that ``alembic_version`` has passed; Alembic would move it."""
        with self.request.context.begin_transaction(_per_migration=True):
            planned.alembic.migration_fn()
            self.runner.record()

    def _committed(self, planned: Planned) -> None:
        if planned.step is not None and runs(planned):
            if self.runner.main.in_transaction():
                self.runner.keep()
                raise SourceError(planned.step.file, ENDED)
            self.runner.finish()

    # -- following what Alembic does ---------------------------------------------------

    def _follow_stamp(self, heads: Iterable[str]) -> None:
        recorder = self.runner.recorder
        revisions, build = self._revisions, self.runner.log.build
        now = revisions.applied(heads)
        self._say(str(follow_stamp(recorder, revisions, self._passed, now, build)))
        self._passed = now

    def _follow_purge(self) -> None:
        """Follow ``stamp --purge base``, which has no step of its own."""
        context = self.request.context
        if context.purge:
            heads = context.get_current_heads()
            if self._revisions.applied(heads) != self._passed:
                self._follow_stamp(heads)

    def _unpass(self, step: Step) -> None:
        row = self._history.rows.get(step.revision.id)
        if row is not None and row.status is not Status.ROLLED_BACK:
            self.runner.recorder.set_status(row, Status.WAITING)

    def _following(self, step: Step) -> str:
        """Return what to type to go on from a step that broke off."""
        last = self._remaining[-1].alembic
        if step.upwards or not isinstance(last, RevisionStep):
            return self.runner.journal.again
        below = last.to_revisions
        several = f"-{len(self._remaining)}"
        target = below[0] if len(below) == 1 else several if below else "base"
        return f"alembic downgrade {target}"

    # -- small things ------------------------------------------------------------------

    @property
    def _revisions(self) -> ProjectRevisions:
        return self.request.known.revisions

    def _setback(self, running: Running) -> Setback:
        broken = BrokenStep(self.runner, running)
        return Setback(broken, self._following, self._look, self._chance)

    def _say(self, text: str) -> None:
        self.runner.log.say(text)

    def _say_now(self, text: str) -> None:
        """Say what is followed by a wait; whoever reads the row meanwhile has it."""
        self._say(text)
        self.runner.log.flush()
