"""Sources that no revision runs yet, and files that are no source."""

from __future__ import annotations

from collections.abc import Iterable

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import SourceFile, discover
from alembic_pgpipe.source.other_tools import undone_by
from alembic_pgpipe.source.strays import strays

MOST_STRAYS = 3


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


def out_of_reach(settings: Settings) -> str | None:
    """Return which SQL files lie where no source is looked for; None where there are none."""
    # Where the sources folder is all of the project, the folders in it are of any kind.
    if settings.sources.resolve() == settings.project.resolve():
        return None
    found = strays(settings.sources, settings.routines)
    if not found:
        return None
    shown = [settings.shown(settings.sources / file) for file in found[:MOST_STRAYS]]
    more = f" and {len(found) - MOST_STRAYS} more" if len(found) > MOST_STRAYS else ""
    return (
        f"nothing runs {', '.join(shown)}{more}: a source lies in "
        f"{settings.shown(settings.sources)} itself, or is a NAME/migration.sql or NAME/up.sql "
        "there. Move it there, or let a source include it with \\ir"
    )


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
