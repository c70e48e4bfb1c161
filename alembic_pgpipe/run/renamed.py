"""Sources that were renamed after they were applied, or begun: they would run a second time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Attempt, Revision
from alembic_pgpipe.run.step import Sources, Step
from alembic_pgpipe.showable import counted


def gone_texts(
    applied: Iterable[tuple[Revision, str | None]], sources: Sources
) -> Mapping[str, Revision]:
    """Return by checksum what is applied, and no file holds any more under its name."""
    return {
        checksum: revision
        for revision, checksum in applied
        if checksum is not None and sources.is_gone(revision)
    }


def renamed(
    revision: Revision, gone: Mapping[str, Revision], sources: Sources
) -> SourceError | None:
    """Return why a pending revision is what another one was; None where it is something new."""
    was = gone.get(sources.facts(revision).checksum or "")
    if was is None or sources.is_empty(revision):
        return None
    return SourceError(
        sources.file(revision),
        f"this is the text of {sources.file(was)}, which was applied as {was.id} and is gone. "
        f"If it was renamed, give it its old name back and remove {revision.path}; if it is "
        "to run a second time, put the old file back as well.",
    )


def refuse_begun_elsewhere(step: Step, begun: Mapping[str, Attempt]) -> None:
    """Refuse to run from its start what was done in part under a name that is gone.

    ``begun`` are such tries by the checksum of their text.
    """
    before = begun.get(step.checksum or "")
    if not step.runs or before is None or before.revision == step.revision.id:
        return
    done = counted(len(before.statement_hashes), "statement")
    raise SourceError(
        step.file,
        f"this is the text of {before.name}, of which build {before.build_number} finished "
        f"{done} outside a transaction, and whose file is gone. If it was renamed, give it its "
        f"old name back and remove {step.revision.path}; or take out of it what is done.",
    )
