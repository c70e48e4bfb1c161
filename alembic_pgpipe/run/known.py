"""What the ledger knows of a project's revisions, as far as a run has to ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from operator import itemgetter

from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.agreement import Evidence, agreement, refusal
from alembic_pgpipe.ledger.history import History, match_history
from alembic_pgpipe.ledger.reading import Reading
from alembic_pgpipe.ledger.states import UNSETTLED
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions

LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of a project's revisions; it is read anew each time."""

    revisions: ProjectRevisions
    reading: Reading

    def history(self, of: Iterable[Revision] | None = None) -> History:
        """Read what the ledger knows of the project's revisions, or of some of them."""
        reading = self.reading
        if of is None:
            return match_history(self.revisions.all(), reading.rows(), reading.attempts())
        some = tuple(of)
        if not some:
            return History({}, {}, {})
        ids = self.revisions.ids()
        return match_history(some, reading.rows(some), reading.attempts(some), ids)

    def settled(self, heads: Iterable[str]) -> bool:
        """Return whether the ledger holds no work besides Alembic's own steps."""
        if self.reading.open_attempts():
            return False
        evidence = self.evidence(heads)
        if agreement(evidence).findings:
            return False
        rows = evidence.history.rows
        passed = [one.id for one in evidence.revisions if one.id in evidence.passed]
        if any(map(evidence.history.half_undone, passed)):
            return False
        return all(id_ in rows and rows[id_].status not in UNSETTLED for id_ in passed)

    def evidence(self, heads: Iterable[str]) -> Evidence:
        """Return what the ledger says of all revisions but those that are plainly applied.

        Those have been passed and have a row of their own, which nothing contradicts: most
        of a long history, of which there is nothing to be said or done.
        """
        passed, behind = self.revisions.applied(heads), self.revisions.behind(heads)
        ahead = self.revisions.ids() - passed
        open_ = (passed - self.reading.applied_ids()).union(behind, ahead)
        revisions = self.revisions.those(open_)
        history = self.history(revisions)
        if any(r.id in passed and not history.has_row(r.id) for r in revisions):
            # Whether its row is lost, or never was, the whole ledger has to tell.
            revisions, history = self.revisions.all(), self.history()
        return Evidence(revisions, passed, history, behind=behind, running=True)

    def agreed(self, heads: Iterable[str]) -> Evidence:
        """Return the evidence; raises LedgerError where ``alembic_version`` contradicts it.

        That is for what must not be as it is; a run settles the rest by itself.
        """
        evidence = self.evidence(heads)
        refused = refusal(agreement(evidence).findings)
        if refused is not None:
            raise LedgerError(refused)
        return evidence

    def applied_files(self) -> Iterator[str]:
        """Yield the sources that were applied, the one applied last first."""
        rows = self.history().rows
        done = [
            (rows[revision.id].finished_at or LONG_AGO, revision.source)
            for revision in self.revisions.all()
            if revision.source and revision.id in rows
            if rows[revision.id].status is Status.SUCCESS
        ]
        yield from (file for _, file in sorted(done, key=itemgetter(0))[::-1])
