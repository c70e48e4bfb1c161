"""Sources that no revision runs yet."""

from __future__ import annotations

from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import SourceFile, discover


def unwrapped_sources(
    revisions: ProjectRevisions, settings: Settings
) -> tuple[SourceFile, ...]:
    """Return the sources without a wrapper, in the natural order of their names.

    Raises SourceError where two files go by one name.
    """
    if not settings.sources.is_dir():
        return ()
    wrapped = {revision.source for revision in revisions.all()}
    return tuple(
        s for s in discover(settings.sources, settings.project) if s.file not in wrapped
    )
