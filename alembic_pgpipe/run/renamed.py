"""Sources that were renamed after they were applied: they would be applied a second time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Revision
from alembic_pgpipe.run.step import Sources


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
