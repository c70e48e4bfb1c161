"""Sources that no revision runs yet."""

from __future__ import annotations

from collections.abc import Iterable

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import SourceFile, discover
from alembic_pgpipe.source.other_tools import undone_by


def unwrapped_sources(
    revisions: ProjectRevisions, settings: Settings
) -> tuple[SourceFile, ...]:
    """Return the sources without a wrapper, in the natural order of their names.

    Raises SourceError where two files go by one name, and for one that undoes another by
    its name.
    """
    if not settings.sources.is_dir():
        return ()
    wrapped = {revision.source for revision in revisions.all()}
    sources = discover(settings.sources, settings.project)
    unwrapped = tuple(source for source in sources if source.file not in wrapped)
    _refuse_undo(unwrapped, sources, settings)
    return unwrapped


def _refuse_undo(
    unwrapped: Iterable[SourceFile], sources: Iterable[SourceFile], settings: Settings
) -> None:
    """Refuse what another tool runs to undo a source: it would run behind that, or ahead."""
    by_name = {source.name: source for source in sources if "/" not in source.file}
    for source in unwrapped:
        undone = undone_by(source.name, by_name) if "/" not in source.file else None
        if undone is not None:
            other = by_name[undone]
            raise SourceError(
                settings.shown(settings.sources / source.file),
                f"by its name this undoes {other.file}, and it would run like any other. Call "
                f"it {other.undo}, then: alembic pgpipe wrap",
            )
