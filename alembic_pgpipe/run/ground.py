"""Where a half done revision may not go on: what it stood on is gone, or its name is.

What such a try has finished outside a transaction is there for ever, unless somebody knows
that it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.reading import Reading
from alembic_pgpipe.model import Attempt, Direction, Revision
from alembic_pgpipe.outside.resume import unfinished
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.step import Sources, Step
from alembic_pgpipe.showable import counted


@dataclass(frozen=True, slots=True)
class Ground:
    """Knows from the ledger what was begun, under which name, and what was taken back since."""

    revisions: ProjectRevisions
    reading: Reading
    sources: Sources

    def begun_elsewhere(self, pending: Iterable[Revision]) -> Mapping[str, Attempt]:
        """Return by checksum which pending texts were begun under names that are gone."""
        facts = (self.sources.facts(one) for one in pending if one.source is not None)
        texts = self.reading.begun_texts({one.checksum for one in facts if one.checksum})
        known = {r.id: r for r in self.revisions.those([one.revision for one in texts])}
        return {
            str(one.checksum): one
            for one in texts
            if one.revision not in known or self.sources.is_gone(known[one.revision])
        }

    def refuse_lost(
        self, step: Step, history: History, elsewhere: Mapping[str, Attempt]
    ) -> None:
        """Raise SourceError for a step that would go on, or begin, where it may not.

        ``elsewhere`` are the tries of ``begun_elsewhere``.
        """
        if not step.runs:
            return
        other = elsewhere.get(step.checksum or "")
        if other is not None and other.revision != step.revision.id:
            raise SourceError(step.file, _begun(step, other))
        before = unfinished(history.open_try(step.revision.id, Direction.UPGRADE))
        if before is not None and before.begun:
            below = self.revisions.applied([step.revision.id]) - {step.revision.id}
            gone = self.reading.taken_back_under(step.revision.id, below)
            if gone is not None:
                raise SourceError(step.file, _lost(step, before, gone))


def _begun(step: Step, before: Attempt) -> str:
    return (
        f"this is the text of {before.name}, of which build {before.build_number} finished "
        f"{_done(before)} outside a transaction, and whose file is gone. If it was renamed, "
        f"give it its old name back and remove {step.revision.path}; or take out of it what is "
        "done."
    )


def _lost(step: Step, before: Attempt, below: str) -> str:
    return (
        f"build {before.build_number} finished {_done(before)} of it, and since then {below}, "
        "on which it builds, was taken back: what they did may be gone with that. Look. Where "
        "nothing of it is left, let it begin anew: alembic pgpipe repair --not-applied "
        f"{step.revision.id}; else skip it and write a new one."
    )


def _done(before: Attempt) -> str:
    return counted(len(before.statement_hashes), "statement")
