"""``alembic pgpipe wrap``: write wrappers for sources, and snapshots of changed routines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_pgpipe.errors import RevisionError, SourceError
from alembic_pgpipe.ledger.tables import NAME_LIMIT
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.routines import RoutineChange, changed_routines, write_snapshot
from alembic_pgpipe.revisions.unwrapped import unwrapped_sources
from alembic_pgpipe.revisions.wrapper import Wrapper, message_for, revision_id, write_wrapper
from alembic_pgpipe.settings import read_settings
from alembic_pgpipe.source import SourceFile, source_name


@dataclass(frozen=True, slots=True)
class Wrapped:
    """One revision that was written, or with ``--check`` would be."""

    revision: str
    name: str
    file: str


def wrap(config: Config, *, merge: bool = False, check: bool = False) -> tuple[Wrapped, ...]:
    """Append a wrapper to the head for each source that has none.

    Sources come in the natural order of their names, snapshots of changed routine
    files after them.  ``merge`` first joins several heads; ``check`` writes nothing.
    Needs no database.  Raises RevisionError for several heads without ``merge``.
    """
    settings = read_settings(config)
    script = ScriptDirectory.from_config(config)
    revisions = ProjectRevisions(script, settings)
    sources = unwrapped_sources(revisions, settings)
    routines = changed_routines(settings)
    heads = revisions.heads()
    plan = [
        *_merge(heads, merge=merge),
        *(_of_source(source) for source in sources),
        *(_of_routine(routine) for routine in routines),
    ]
    _refuse_long_names(plan, revisions)
    if not check:
        for routine in routines:
            write_snapshot(settings, routine)
    return _append(revisions, plan, heads, write=not check)


def _append(
    revisions: ProjectRevisions, plan: Sequence[Wrapper], heads: tuple[str, ...], *, write: bool
) -> tuple[Wrapped, ...]:
    known = {revision.id: revision for revision in revisions.all()}
    written = []
    for wrapper in plan:
        if wrapper.revision in known:
            raise RevisionError(_taken(wrapper, known[wrapper.revision].path))
        placed = Wrapper(wrapper.revision, heads, wrapper.message, wrapper.source, wrapper.undo)
        path = write_wrapper(revisions.script, revisions.versions, placed) if write else None
        shown = revisions.settings.shown(path) if path is not None else ""
        written.append(Wrapped(wrapper.revision, wrapper.source or wrapper.message, shown))
        heads = (wrapper.revision,)
    return tuple(written)


def _merge(heads: tuple[str, ...], *, merge: bool) -> list[Wrapper]:
    if len(heads) < 2:
        return []
    if not merge:
        raise RevisionError(
            f"The history has {len(heads)} heads ({', '.join(sorted(heads))}), as after a "
            "merge of two branches. Nothing was written. Join them: alembic pgpipe wrap --merge"
        )
    joined = " and ".join(sorted(heads))
    return [Wrapper(revision_id(f"merge {joined}"), (), f"merge {joined}", None, None)]


def _of_source(source: SourceFile) -> Wrapper:
    return Wrapper(
        revision_id(source.name), (), message_for(source.name), source.file, source.undo
    )


def _of_routine(change: RoutineChange) -> Wrapper:
    name = source_name(change.source)
    return Wrapper(revision_id(name), (), name, change.source, change.undo)


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
