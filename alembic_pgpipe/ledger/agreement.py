"""Where ``alembic_version``, ``migrations`` and ``migration_attempts`` contradict each other.

A step writes the three in one transaction, so they agree unless somebody changed one by
hand, or another tool went past the ledger.  What two of them say can be told; else only a
person can know.  Nothing here reads or writes anything; the caller brings the evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from alembic_pgpipe.errors import UPGRADE
from alembic_pgpipe.ledger.history import BEFORE_THE_LEDGER, History
from alembic_pgpipe.ledger.script import REASON as BY_SCRIPT
from alembic_pgpipe.model import Attempt, Direction, Outcome, Revision, Row, Status, UnreadRow
from alembic_pgpipe.showable import counted

REPAIR = "alembic pgpipe repair"
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the database says of the project's revisions, all read at one moment.

    ``passed`` are the ids that ``alembic_version`` has passed, ``behind`` those that it
    holds besides one that builds on them, ``unknown`` those that no file of the project
    has.  ``running`` says that a run is at work.  ``lost`` are the versions that it would
    hold if all were passed that the ledger says is applied; empty where it holds any.
    """

    revisions: tuple[Revision, ...]
    passed: frozenset[str]
    history: History
    behind: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    running: bool = False
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetRow:
    """Give a revision a status; ``before`` is its row as it was read.

    ``proof`` is the attempt that says so; None where a person does.
    """

    revision: Revision
    before: Row | UnreadRow | None
    status: Status
    applied: bool
    proof: Attempt | None = None

    def __str__(self) -> str:
        was = _shown_status(self.before) or "no row"
        return f"{was} → {self.status.value}"


@dataclass(frozen=True, slots=True)
class ForgetVersion:
    """Take a revision out of ``alembic_version`` that another one there builds on."""

    version: str

    def __str__(self) -> str:
        return f"alembic_version: without {self.version}"


Mending = SetRow | ForgetVersion


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction: what says what, and what would mend it.

    ``mending`` is None where only a person can know; ``answers`` are then what to write
    where the revision is applied, and where it is not; both are None for a revision that
    only ``alembic_version`` knows.
    """

    subject: str
    path: str
    facts: str
    mending: Mending | None = None
    answers: tuple[SetRow, SetRow] | None = None

    @property
    def advice(self) -> str:
        """Return what to type."""
        if self.mending is not None:
            return f"Mend it ({self.mending}): {REPAIR}"
        if self.answers is None:
            return (
                "Only you can know what is applied here. Get its file from the branch that it "
                "comes from, or say it: alembic stamp --purge REVISION"
            )
        return (
            f"Only you can know. If it is applied: {REPAIR} --applied {self.subject}; if it is "
            f"not: {REPAIR} --not-applied {self.subject}"
        )

    def __str__(self) -> str:
        return f"{self.facts}. {self.advice}"


def said_applied(history: History) -> frozenset[str]:
    """Return the ids that both their row and their attempts say are applied."""
    return frozenset(
        id_
        for id_, attempt in history.settled.items()
        if attempt.direction is Direction.UPGRADE and history.status(id_) is Status.SUCCESS
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """What contradicts itself, and what is only worth a note: the next run settles it."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    """One revision, and the last word that each of the three has on it."""

    revision: Revision
    row: Row | UnreadRow | None
    passed: bool
    settled: Attempt | None
    tried: Attempt | None
    decided: Attempt | None
    begun_unseen: bool

    @property
    def status(self) -> Status | None:
        """Return the status of its row; None where there is none that we know."""
        return self.row.status if isinstance(self.row, Row) else None

    @property
    def applied(self) -> bool:
        """Return whether its attempts say that it is applied."""
        return self.settled is not None and self.settled.direction is Direction.UPGRADE

    @property
    def taken_back(self) -> bool:
        """Return whether its attempts say that it was applied and is not any more."""
        return self.settled is not None and not self.applied

    @property
    def last(self) -> Attempt | None:
        """Return its latest attempt or decision."""
        known = (a for a in (self.settled, self.tried, self.decided) if a is not None)
        return max(known, key=lambda attempt: attempt.id, default=None)

    @property
    def wanted(self) -> Attempt | None:
        """Return the last try or decision; where it is not applied, its row shows that."""
        known = [a for a in (self.tried, self.decided) if a is not None]
        return max(known, key=lambda attempt: attempt.id, default=None)


def agreement(evidence: Evidence) -> Agreement:
    """Compare what the three say; the findings are in the order of the revisions.

    Where ``alembic_version`` holds an unknown revision, nobody can tell what it has passed.
    """
    if evidence.unknown:
        return Agreement(tuple(_unknown(version) for version in evidence.unknown))
    findings = [_behind(version, evidence) for version in evidence.behind]
    watched = _ledger_was_kept(evidence.history)
    for revision in evidence.revisions:
        found = _judge(_case(revision, evidence), watched=watched)
        if found is not None:
            findings.append(found)
    if evidence.running:
        return Agreement(tuple(findings))
    dead = (_dead(attempt, evidence) for attempt in evidence.history.left_open)
    emptied = _emptied(evidence.lost) if findings else ()
    return Agreement(
        tuple(findings), (*emptied, *dead, *half_undone(evidence), *_strangers(evidence))
    )


# -- a revision ------------------------------------------------------------------------


def _case(revision: Revision, evidence: Evidence) -> _Case:
    history = evidence.history
    return _Case(
        revision,
        history.rows.get(revision.id) or history.unread.get(revision.id),
        revision.id in evidence.passed,
        history.settled.get(revision.id),
        history.last_try(revision.id, Direction.UPGRADE),
        history.decisions.get(revision.id),
        history.is_begun_unseen(revision.id),
    )


def _judge(case: _Case, *, watched: bool) -> Finding | None:
    """Return what contradicts itself about a revision, or None."""
    if case.begun_unseen:
        doubtful, known = True, None
    elif case.applied:
        doubtful, known = _judge_applied(case)
    elif case.status is None:
        doubtful, known = _judge_without_row(case, watched=watched)
    else:
        doubtful, known = _judge_not_applied(case), None
    if not doubtful and known is None:
        return None
    return _finding(case, known)


def _judge_applied(case: _Case) -> tuple[bool, Status | None]:
    """Judge what its attempts say is applied: (only a person can know, what is known)."""
    if not case.passed:
        return not (case.status is Status.SUCCESS and _stays_ahead(case)), None
    if case.status is Status.SUCCESS:
        return False, None
    # What was tried since may have been done twice.
    if case.tried is not None and case.settled is not None and case.tried.id > case.settled.id:
        return True, None
    return False, Status.SUCCESS


def _stays_ahead(case: _Case) -> bool:
    """Return whether a run passes it over: another tool, or a person, said it was applied."""
    settled = case.settled
    if settled is None or settled.outcome is Outcome.REPAIRED:
        return True
    return settled.outcome is Outcome.ADOPTED and settled.reason != BEFORE_THE_LEDGER


def _judge_without_row(case: _Case, *, watched: bool) -> tuple[bool, Status | None]:
    """Judge what has no row that we can read, and is not applied as far as we know."""
    wanted = case.wanted
    skipped = wanted is not None and wanted.outcome is Outcome.SKIPPED
    if not case.passed:
        # Without a row it simply runs; a downgrade may have passed what was skipped.
        return skipped or case.row is not None, None
    if skipped:
        return False, Status.SKIPPED
    if wanted is not None and not (case.settled and case.settled.id > wanted.id):
        return False, Status.RETRY if wanted.outcome is Outcome.RETRY else Status.ERROR
    return case.taken_back or case.row is not None or watched, None


def _judge_not_applied(case: _Case) -> bool:
    """Return whether a row contradicts attempts that know nothing of its being applied."""
    if case.passed:
        lost = case.status in (Status.WAITING, Status.ROLLED_BACK)
        return lost or (case.status is Status.SUCCESS and case.taken_back)
    if case.status is not Status.SUCCESS:
        return False
    broken_off = (Outcome.RUNNING, Outcome.INTERRUPTED)
    died = case.tried is not None and case.tried.outcome in broken_off
    return case.taken_back or died


def _finding(case: _Case, known: Status | None) -> Finding:
    revision = case.revision
    facts = f"{revision.id} ({revision.name}): {_facts(case)}"
    if known is not None:
        proof = case.settled if known is Status.SUCCESS else case.wanted
        applied = known is Status.SUCCESS
        mending = SetRow(revision, case.row, known, applied, proof)
        return Finding(revision.id, revision.path, facts, mending, _answers(case))
    return Finding(revision.id, revision.path, facts, None, _answers(case))


def _answers(case: _Case) -> tuple[SetRow, SetRow]:
    # What alembic_version has passed comes to its turn only as a RETRY.
    undone = Status.RETRY if case.passed else Status.WAITING
    return (
        SetRow(case.revision, case.row, Status.SUCCESS, applied=True),
        SetRow(case.revision, case.row, undone, applied=False),
    )


# -- in words --------------------------------------------------------------------------


def _facts(case: _Case) -> str:
    status = _shown_status(case.row)
    row = f"its row says {status}" if status else "it has no row"
    last = case.settled if case.applied else case.last
    passed = "has passed it" if case.passed else "has not passed it"
    return f"{row}, {_word(last)}, and alembic_version {passed}"


def _shown_status(row: Row | UnreadRow | None) -> str | None:
    if row is None:
        return None
    return row.status.value if isinstance(row, Row) else repr(row.status)


WORDS: Mapping[tuple[Outcome, Direction], str] = {
    (Outcome.SUCCESS, Direction.UPGRADE): "build {build} applied it{when}",
    (Outcome.SUCCESS, Direction.DOWNGRADE): "build {build} rolled it back{when}",
    (Outcome.STAMPED, Direction.UPGRADE): "{who} stamped it as applied{when}",
    (Outcome.STAMPED, Direction.DOWNGRADE): "{who} stamped it as not applied{when}",
    (Outcome.ADOPTED, Direction.UPGRADE): "it was found applied{when}",
    (Outcome.REPAIRED, Direction.UPGRADE): "{who} said{when} that it is applied",
    (Outcome.REPAIRED, Direction.DOWNGRADE): "{who} said{when} that it is not applied",
    (Outcome.SKIPPED, Direction.UPGRADE): "{who} skipped it{when}",
    (Outcome.RETRY, Direction.UPGRADE): "{who} wanted it retried{when}",
    (Outcome.ERROR, Direction.UPGRADE): "it failed in build {build}{when}",
}


def _word(last: Attempt | None) -> str:
    """Return what the last attempt at a revision says."""
    if last is None:
        return "no attempt at it is recorded"
    at = last.finished_at or last.started_at
    when = f" on {at:%Y-%m-%d %H:%M}" if at else ""
    form = WORDS.get(
        (last.outcome, last.direction), "build {build} was interrupted in it{when}"
    )
    return form.format(build=last.build_number, who=last.who or "somebody", when=when)


# -- the rest --------------------------------------------------------------------------


def _unknown(version: str) -> Finding:
    return Finding(
        version,
        "alembic_version",
        f"it holds revision {version!r}, which no file of the project has",
    )


def _behind(version: str, evidence: Evidence) -> Finding:
    known = {revision.id: revision for revision in evidence.revisions}[version]
    return Finding(
        version,
        known.path,
        f"{version} ({known.name}): alembic_version holds it besides one that builds on it, so "
        "that Alembic takes them for two branches",
        ForgetVersion(version),
    )


def _ledger_was_kept(history: History) -> bool:
    """Return whether a run has looked: each run records all that is passed at its time.

    A stamp and a script of ``--sql`` do not.
    """
    return any(
        attempt.outcome is Outcome.ADOPTED
        or (attempt.outcome is Outcome.SUCCESS and attempt.reason != BY_SCRIPT)
        for attempt in history.settled.values()
    )


def _emptied(lost: Sequence[str]) -> Iterator[str]:
    if lost:
        yield (
            "alembic_version is empty. If all is still there that the ledger says is applied, "
            f"one command says so: alembic stamp {' '.join(lost)}"
        )


def _dead(attempt: Attempt, evidence: Evidence) -> str:
    """Say what becomes of an attempt that is open while nobody is at work."""
    revisions = {revision.id: revision for revision in evidence.revisions}
    revision = revisions.get(attempt.revision)
    name = f"{attempt.revision} ({revision.name})" if revision else attempt.revision
    died = f"{name}: build {attempt.build_number} died in it"
    if revision is not None and _goes_on(attempt, evidence):
        return f"{died}; the next 'alembic {attempt.direction.value}' goes on"
    return f"{died}, and its attempt is still open; the next run closes that"


def _goes_on(attempt: Attempt, evidence: Evidence) -> bool:
    """Return whether the next run in an attempt's direction comes to that attempt."""
    if evidence.history.last_try(attempt.revision, attempt.direction) != attempt:
        return False
    status = evidence.history.status(attempt.revision)
    if attempt.direction is Direction.DOWNGRADE:
        return status is Status.SUCCESS
    if attempt.revision in evidence.passed:
        return status in (Status.RUNNING, Status.RETRY, Status.ERROR)
    return status not in (Status.SUCCESS, Status.SKIPPED)


def half_undone(evidence: Evidence) -> Iterator[str]:
    """Yield what is to be known of revisions that a downgrade has left in the middle."""
    for revision, last in taken_back_in_part(evidence):
        # Of one that is open it is said that its run has died.
        if last not in evidence.history.left_open:
            done, total = len(last.statement_hashes), last.statements_total
            yield (
                f"{revision.id} ({revision.name}) counts as applied, and is taken back in "
                f"part: its downgrade stopped in build {last.build_number}, where {done} of "
                f"{total} statements are done. To finish that, and what stands on it: "
                f"{taking_back(revision)}, then: {UPGRADE}"
            )


def taken_back_in_part(evidence: Evidence) -> Iterator[tuple[Revision, Attempt]]:
    """Yield the revisions that a downgrade has left in the middle, each with that attempt."""
    history = evidence.history
    for revision in evidence.revisions:
        last = history.half_undone(revision.id)
        if last is not None and history.status(revision.id) is Status.SUCCESS:
            yield revision, last


def taking_back(revision: Revision) -> str:
    """Return the command that takes a revision back, and what stands on it."""
    return f"alembic downgrade {revision.id}-1"


def _strangers(evidence: Evidence) -> Iterator[str]:
    """Note the rows that belong to no revision of the project."""
    names = [row.name for row in evidence.history.strangers]
    if names:
        yield (
            f"{counted(len(names), 'row')} of migrations {_belong(len(names))} no revision of "
            f"this project, as after another branch or a file that is gone: {_some(names)}"
        )


def _belong(number: int) -> str:
    return "belongs to" if number == 1 else "belong to"


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def refusal(findings: Iterable[Finding]) -> str | None:
    """Return why a run must not begin, or None where nothing contradicts itself."""
    found = tuple(findings)
    if not found:
        return None
    more = f" And {len(found) - 1} more." if len(found) > 1 else ""
    return (
        f"The ledger and alembic_version contradict each other: {found[0]}.{more} Nothing was "
        "run. See all of it: alembic pgpipe check"
    )
