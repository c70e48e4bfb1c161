"""Append revisions to the head: the wrappers of sources, snapshots and merges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alembic_pgpipe.errors import RevisionError, SourceError
from alembic_pgpipe.ledger.tables import NAME_LIMIT
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.wrapper import Wrapper, WrapperWriter
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.files import source_name


@dataclass(frozen=True, slots=True)
class Wrapped:
    """One revision that was written, or would be.

    ``notes`` say, before it is written, what it does besides running a text.
    """

    revision: str
    name: str
    file: str
    notes: tuple[str, ...] = ()


def append(
    revisions: ProjectRevisions, plan: Sequence[Wrapper], *, write: bool
) -> tuple[Wrapped, ...]:
    """Write each wrapper behind the one before it, the first behind the heads.

    Without ``write`` only says which that would be.  Raises RevisionError for an id that is
    taken and for a file that cannot be written, SourceError for a name that the ledger
    cannot keep.
    """
    _refuse_long_names(plan, revisions)
    known = {revision.id: revision for revision in revisions.all()}
    heads = revisions.heads()
    writer = WrapperWriter(revisions.script, revisions.versions)
    written = []
    for wrapper in plan:
        if wrapper.revision in known:
            raise RevisionError(_taken(wrapper, known[wrapper.revision].path))
        placed = Wrapper(wrapper.revision, heads, wrapper.message, wrapper.source, wrapper.undo)
        shown = _write(writer, revisions.settings, placed) if write else ""
        written.append(Wrapped(wrapper.revision, wrapper.source or wrapper.message, shown))
        heads = (wrapper.revision,)
    return tuple(written)


def _write(writer: WrapperWriter, settings: Settings, wrapper: Wrapper) -> str:
    """Write a wrapper and return its path as people are shown it."""
    try:
        return settings.shown(writer.write(wrapper))
    except OSError as error:
        what = wrapper.source or wrapper.message
        raise RevisionError(
            f"{settings.shown(writer.versions)}: the wrapper of {what} cannot be written: "
            f"{error.strerror}. Those before it were. Mend that, then: alembic pgpipe wrap"
        ) from error


def _refuse_long_names(plan: Sequence[Wrapper], revisions: ProjectRevisions) -> None:
    for wrapper in plan:
        if wrapper.source and len(source_name(wrapper.source)) > NAME_LIMIT:
            path = revisions.settings.shown(revisions.settings.sources / wrapper.source)
            raise SourceError(path, f"the name is longer than {NAME_LIMIT} characters.")


def _taken(wrapper: Wrapper, path: str) -> str:
    return (
        f"{wrapper.source} would get revision id {wrapper.revision}, which {path} has. Was its "
        "source renamed? Put the old name back, or rename this source."
    )
