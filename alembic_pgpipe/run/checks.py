"""Check every pending source before the first one runs, and record which are refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from alembic_pgpipe.errors import SourceError, StepError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Direction, Failure, Outcome, Revision, Status
from alembic_pgpipe.outside.resume import unfinished
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.failure import cause_of, describe_failure, indented
from alembic_pgpipe.run.ground import Ground
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.run.plan import Action, Decision
from alembic_pgpipe.run.renamed import gone_texts, renamed
from alembic_pgpipe.run.step import Sources, Step
from alembic_pgpipe.run.ways_out import then, ways_out_of
from alembic_pgpipe.showable import counted

Decisions = Iterable[tuple[Revision, Decision]]


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of one run."""

    known: Known
    journal: Recorder
    sources: Sources
    log: BuildLog

    def checked(
        self, decisions: Decisions, passed: Collection[str], history: History
    ) -> list[Step]:
        """Return a step for each decision; raises StepError where a source may not run.

        All are checked before the first one runs; why one is refused is in the ledger then.
        """
        checked: list[Step] = []
        refused: list[tuple[Step, SourceError]] = []
        decided = tuple(decisions)
        to_run = [r for r, d in decided if d.action is Action.RUN]
        gone = self._gone_texts(to_run, passed)
        ground = Ground(self.known.revisions, self.known.reading, self.sources)
        begun = ground.begun_elsewhere(to_run)
        for revision, decision in decided:
            try:
                step = self._step(revision, decision, gone)
                ground.refuse_lost(step, history, begun)
                checked.append(step)
            except SourceError as error:
                refused.append((Step(revision, Direction.UPGRADE, decision), error))
        if refused:
            raise self._refuse(refused)
        return checked

    def _step(
        self, revision: Revision, decision: Decision, gone: Mapping[str, Revision]
    ) -> Step:
        step = self.sources.step(revision, Direction.UPGRADE, decision)
        if step.source is not None and (error := renamed(revision, gone, self.sources)):
            raise error
        return step

    def _gone_texts(
        self, pending: Iterable[Revision], passed: Collection[str]
    ) -> Mapping[str, Revision]:
        """Return those of the pending texts that were applied under names that are gone."""
        checksums = (self.sources.facts(r).checksum for r in pending if r.source is not None)
        texts = self.known.reading.applied_texts(filter(None, checksums))
        found = [one for one in texts if one[0] in passed]
        by_id = {r.id: r for r in self.known.revisions.those([id_ for id_, _ in found])}
        return gone_texts(((by_id[id_], checksum) for id_, checksum in found), self.sources)

    def _refuse(self, refused: list[tuple[Step, SourceError]]) -> StepError:
        history = self.known.history(step.revision for step, _ in refused)
        causes = []
        for step, error in refused:
            failure = self._record_refusal(step, history, error)
            causes.append(cause_of(step.revision, failure))
            self.log.say(f"refused: {step.revision.id} {step.revision.name}")
            self.log.say(indented(failure.text))
            self.log.say(indented(ways_out_of(step.revision, self.sources, refused=True)))
        step, error = refused[0]
        return StepError(
            f"Nothing was run: {counted(len(refused), 'revision')} cannot run as written. "
            f"{step.revision.id} ({step.revision.name}): {self.log.redact(ended(error))} "
            f"Then: {then(step.revision, self.sources.settings.retry_failed)}",
            causes[0],
        )

    def _record_refusal(self, step: Step, history: History, error: SourceError) -> Failure:
        revision, facts = step.revision, self.sources.facts(step.revision)
        failure = self.log.redacted(
            describe_failure(error, revision, None, self.sources.settings.project)
        )
        attempt = self.journal.attempts.begin(
            revision,
            Direction.UPGRADE,
            self.log.build,
            checksum=facts.checksum,
            directives=facts.directives,
            total=None,
            before=unfinished(history.open_try(revision.id, Direction.UPGRADE)),
        )
        self.journal.attempts.end(attempt, Outcome.ERROR, failure)
        row = history.rows[revision.id]
        self.journal.set_status(row, Status.ERROR, logs=failure.text)
        return failure


def ended(error: SourceError) -> str:
    """Return an error's text as a sentence that another one may follow."""
    return f"{str(error).rstrip('.')}."
