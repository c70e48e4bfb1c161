"""``alembic pgpipe repair``: let the ledger and ``alembic_version`` agree again."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from alembic.config import Config
from sqlalchemy import Connection

from alembic_pgpipe.connect.lock import run_lock
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import UPGRADE, LedgerError, SettingsError, TransitionError
from alembic_pgpipe.ledger.agreement import Evidence, agreement
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.ledger.finding import REPAIR, Finding, ForgetVersion, Mending, SetRow
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.model import Build, Direction, Outcome, Revision, Status
from alembic_pgpipe.outside.resume import unfinished
from alembic_pgpipe.project import OpenLedger, open_ledger, read_evidence, visit_project
from alembic_pgpipe.run.edited import difference, edited_text
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.showable import counted

Answers = Mapping[str, bool]
APPLIED, NOT_APPLIED = "--applied", "--not-applied"


class About(Enum):
    """What a repair is about; of the last two only a person can say that they are so."""

    CONTRADICTION = ("contradiction", "mended")
    BEGINNING = ("revision", f"to begin anew: {UPGRADE}")
    TEXT = ("text", "taken for what was applied")


@dataclass(frozen=True, slots=True)
class TakeText:
    """Let what an applied source says now count as what was applied."""

    revision: Revision
    checksum: str

    def __str__(self) -> str:
        return "what it says now counts as applied"


@dataclass(frozen=True, slots=True)
class Repair:
    """One finding, and what is to be written so that it ends."""

    finding: Finding
    mending: Mending | TakeText
    about: About = About.CONTRADICTION


@dataclass(frozen=True, slots=True)
class Proposal:
    """What can be mended, and what only a person can know.

    ``notes`` are what the next run settles by itself, ``options`` what was said with it.
    """

    repairs: tuple[Repair, ...]
    asked: tuple[Finding, ...]
    notes: tuple[str, ...]
    options: str = ""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was mended, and what was found after that."""

    mended: tuple[Repair, ...]
    found: Proposal

    @property
    def left(self) -> bool:
        """Return whether something still contradicts itself."""
        return bool(self.found.asked or self.found.repairs)


def repair(
    config: Config,
    *,
    applied: Sequence[str] = (),
    not_applied: Sequence[str] = (),
    reason: str | None = None,
    agree: Callable[[Proposal], bool],
    say: Callable[[str], None],
) -> RepairReport:
    """Mend what the ledger's own records prove, and what a person says, if ``agree`` does.

    ``applied`` and ``not_applied`` name revisions, as ``retry`` does, about which only a
    person can know.  The run lock is held while all is written in one transaction; ``say``
    gets a line while it is waited for.  Each mending leaves an attempt with who and why.
    Raises TransitionError for a named revision about which nothing contradicts itself, and
    LedgerError where the ledger has changed since ``agree`` was asked.
    """

    def look(visit: Visit) -> RepairReport:
        answers = _answers(visit, applied, not_applied)
        with open_ledger(visit) as ledger:
            proposal = _propose(ledger.evidence(), answers, Sources(visit.settings))
            if not proposal.repairs or not agree(proposal):
                return RepairReport((), proposal)
            _mend(ledger, proposal, answers, reason, say)
            left = _propose(ledger.evidence(), {}, Sources(visit.settings))
            return RepairReport(proposal.repairs, left)

    return visit_project(config, look)


def _answers(visit: Visit, applied: Sequence[str], not_applied: Sequence[str]) -> Answers:
    revisions = visit.revisions
    answers = {revisions.resolve(name, f"{REPAIR} {APPLIED} {{}}").id: True for name in applied}
    for name in not_applied:
        revision = revisions.resolve(name, f"{REPAIR} {NOT_APPLIED} {{}}")
        if revision.id in answers:
            raise SettingsError(
                f"{revision.id} ({revision.name}) cannot be both {APPLIED} and {NOT_APPLIED}."
            )
        answers[revision.id] = False
    return answers


# -- what is to be done ----------------------------------------------------------------


def _propose(evidence: Evidence, answers: Answers, sources: Sources) -> Proposal:
    found = agreement(evidence)
    doubtful = {finding.subject for finding in found.findings}
    certain = {id_: applied for id_, applied in answers.items() if id_ not in doubtful}
    said = (*_begun_anew(evidence, certain), *_taken_texts(evidence, certain, sources))
    asked = {finding.subject for finding in found.findings if finding.answers is not None}
    asked |= {one.finding.subject for one in said}
    _refuse_answers(evidence.revisions, asked, answers)
    chosen = [(finding, _chosen(finding, answers)) for finding in found.findings]
    return Proposal(
        (*(Repair(finding, mending) for finding, mending in chosen if mending), *said),
        tuple(finding for finding, mending in chosen if mending is None),
        found.notes,
        "".join(f" {APPLIED if yes else NOT_APPLIED} {id_}" for id_, yes in answers.items()),
    )


def _chosen(finding: Finding, answers: Answers) -> Mending | None:
    """Return what to write: what a person says goes before what the records prove."""
    if finding.answers is None or finding.subject not in answers:
        return finding.mending
    if_applied, if_not = finding.answers
    return if_applied if answers[finding.subject] else if_not


def _refuse_answers(
    revisions: Iterable[Revision], asked: Container[str], answers: Answers
) -> None:
    for revision in revisions:
        if revision.id in answers and revision.id not in asked:
            raise TransitionError(
                f"Nothing was changed: nothing contradicts itself about {revision.id} "
                f"({revision.name}), so there is nothing to answer. To let it count as "
                f"applied: alembic stamp {revision.id}; to run it again: alembic downgrade, or "
                f"alembic pgpipe retry {revision.id} where it is skipped."
            )


def _begun_anew(evidence: Evidence, answers: Answers) -> Iterator[Repair]:
    """Yield what lets revisions begin anew that are done in part and said to be not applied."""
    history = evidence.history
    wanted = (one for one in evidence.revisions if answers.get(one.id) is False)
    for revision in wanted:
        before = unfinished(history.open_try(revision.id, Direction.UPGRADE))
        row = history.rows.get(revision.id)
        pending = row is not None and revision.id not in evidence.passed
        if pending and before is not None and before.begun:
            done = counted(len(before.statement_hashes), "statement")
            facts = f"{revision.id} ({revision.name}): build {before.build_number} did {done}"
            finding = Finding(revision.id, revision.path, f"{facts}, which are to run again")
            mending = SetRow(revision, row, Status.WAITING, applied=False)
            yield Repair(finding, mending, About.BEGINNING)


def _taken_texts(evidence: Evidence, answers: Answers, sources: Sources) -> Iterator[Repair]:
    """Yield what lets edited texts count as applied, of revisions that are said to be so."""
    history = evidence.history
    wanted = (one for one in evidence.revisions if answers.get(one.id) is True)
    for revision in wanted:
        text = edited_text(revision, history, sources)
        if text is not None:
            facts = f"{revision.id} ({revision.name}): {difference(revision, history, sources)}"
            finding = Finding(revision.id, revision.path, facts)
            yield Repair(finding, TakeText(revision, text), About.TEXT)


# -- writing ---------------------------------------------------------------------------


def _mend(
    ledger: OpenLedger,
    proposal: Proposal,
    answers: Answers,
    reason: str | None,
    say: Callable[[str], None],
) -> None:
    """Write all or nothing, while no run is at work."""
    settings = ledger.visit.settings
    build = current_build(os.environ, settings.build_number_env)
    lock = run_lock(ledger.database, settings.schema, build.number, settings.lock_wait, say)
    with lock, ledger.database.connect() as connection:
        # The lock is ours, so nobody is at work.
        evidence = read_evidence(ledger.visit, connection, running=False)
        again = _propose(evidence, answers, Sources(settings))
        if again.repairs != proposal.repairs:
            raise LedgerError(
                "The ledger has changed since it was looked at; nothing was mended. Look "
                "again: alembic pgpipe repair"
            )
        writer = _Writer(ledger.visit, connection, build, evidence, reason)
        writer.write(proposal.repairs)
        connection.commit()


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes repairs, each with an attempt that keeps who and why."""

    visit: Visit
    connection: Connection
    build: Build
    evidence: Evidence
    reason: str | None

    def write(self, repairs: Iterable[Repair]) -> None:
        """Write the repairs in the connection's transaction."""
        recorder = Recorder.on(self.connection, self.visit.settings.schema)
        if recorder.relations.missing():
            recorder.relations.create()
        for one in repairs:
            why = f"{self.reason}; {one.finding.facts}" if self.reason else one.finding.facts
            if isinstance(one.mending, SetRow):
                self._set_row(recorder, one.mending, why)
            elif isinstance(one.mending, TakeText):
                self._take(recorder, one.mending, why)
            else:
                self._forget(recorder, one.mending, why)

    def _set_row(self, recorder: Recorder, mending: SetRow, why: str) -> None:
        recorder.mend_row(mending.revision, mending.before, mending.status, mending.proof)
        self._note(recorder, mending.revision, why, applied=mending.applied)
        if mending.status is Status.RETRY and mending.proof is None:
            # The run says by whom it is retried.
            recorder.note(
                mending.revision, Direction.UPGRADE, Outcome.RETRY, self.build, self.reason
            )

    def _take(self, recorder: Recorder, taken: TakeText, why: str) -> None:
        upwards, outcome = Direction.UPGRADE, Outcome.REWORDED
        recorder.note(taken.revision, upwards, outcome, self.build, why, taken.checksum)

    def _forget(self, recorder: Recorder, mending: ForgetVersion, why: str) -> None:
        self.visit.forget_version(self.connection, mending.version)
        revision = self.visit.revisions.get(mending.version)
        applied = self.evidence.history.status(revision.id) is Status.SUCCESS
        self._note(recorder, revision, why, applied=applied)

    def _note(self, recorder: Recorder, revision: Revision, why: str, *, applied: bool) -> None:
        direction = Direction.UPGRADE if applied else Direction.DOWNGRADE
        recorder.note(revision, direction, Outcome.REPAIRED, self.build, why)
