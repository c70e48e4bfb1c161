"""What ``check`` reads: what the ledger and ``alembic_version`` say, and what is pending."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alembic_pgpipe.commands.status import upcoming_action
from alembic_pgpipe.ledger.agreement import Agreement, Evidence, agreement
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.project import OpenLedger
from alembic_pgpipe.rehearsal.upcoming import Upcoming, identity, user
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.plan import Action
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class Look:
    """A project and its database as of one moment.

    ``pending`` is what an upgrade would meet; it begins with what is to be tried again, and
    runs nothing of those that are ``passed_over``, for their sources say so.
    """

    ledger: OpenLedger
    sources: Sources
    evidence: Evidence
    agreed: Agreement
    pending: tuple[Revision, ...]
    passed_over: frozenset[str]

    @property
    def revisions(self) -> ProjectRevisions:
        """Return the project's revisions."""
        return self.ledger.visit.revisions

    @property
    def settings(self) -> Settings:
        """Return the project's settings."""
        return self.ledger.visit.settings

    @property
    def history(self) -> History:
        """Return what the ledger knows of the revisions."""
        return self.evidence.history

    @property
    def runs(self) -> tuple[Revision, ...]:
        """Return what an upgrade would run."""
        return tuple(r for r in self.pending if r.id not in self.passed_over)

    @property
    def say_skip(self) -> frozenset[str]:
        """Return the pending revisions of which a rehearsal runs nothing."""
        return frozenset(r.id for r in self.pending if self.sources.facts(r).skip)

    def upcoming(self) -> Upcoming:
        """Return what a rehearsal has to bring its database to."""
        ids = tuple(revision.id for revision in self.pending)
        passed, connection = self.evidence.passed, self.ledger.connection
        return Upcoming(
            frozenset(self.ledger.heads),
            ids,
            identity(connection),
            user(connection),
            frozenset(passed).intersection(ids),
            frozenset(i for i in passed if self.history.status(i) is Status.SKIPPED),
        )


def look_at(ledger: OpenLedger) -> Look:
    """Read what the database says, and find out what is pending there."""
    sources, evidence = Sources(ledger.visit.settings), ledger.evidence()
    pending = _pending(evidence)
    passed_over = _passed_over(pending, evidence.history, sources)
    return Look(ledger, sources, evidence, agreement(evidence), pending, passed_over)


def _pending(evidence: Evidence) -> tuple[Revision, ...]:
    passed, history = evidence.passed, evidence.history
    found = (r for r in evidence.revisions if _is_pending(r, history, r.id in passed))
    return tuple(sorted(found, key=lambda revision: revision.id not in passed))


def _is_pending(revision: Revision, history: History, passed: bool) -> bool:
    status = history.status(revision.id)
    if passed:
        return status in (Status.RETRY, Status.ERROR)
    return status not in (Status.SKIPPED, Status.SUCCESS)


def _passed_over(
    pending: Iterable[Revision], history: History, sources: Sources
) -> frozenset[str]:
    passed = (r for r in pending if upcoming_action(r, history, sources) is Action.PASS)
    return frozenset(revision.id for revision in passed)
