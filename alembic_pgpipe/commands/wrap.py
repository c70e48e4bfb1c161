"""``alembic pgpipe wrap``: write wrappers for sources, and snapshots of changed routines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_pgpipe.errors import RevisionError, RoutineError, SourceError
from alembic_pgpipe.ledger.tables import NAME_LIMIT
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import unwrapped_sources
from alembic_pgpipe.revisions.wrapper import Wrapper, message_for, revision_id, write_wrapper
from alembic_pgpipe.routines.files import (
    RoutineRevision,
    refuse_present,
    routine_revisions,
    write_files,
)
from alembic_pgpipe.routines.rehearsal import rehearsal
from alembic_pgpipe.routines.shipment import Plan
from alembic_pgpipe.routines.shipping import Shipping
from alembic_pgpipe.routines.stage import Stage
from alembic_pgpipe.routines.texts import Texts, latest_texts
from alembic_pgpipe.routines.working import RoutineChange, changed_routines, moved
from alembic_pgpipe.settings import read_settings
from alembic_pgpipe.source import SourceFile, source_name


@dataclass(frozen=True, slots=True)
class Wrapped:
    """One revision that was written, or with ``--check`` would be.

    ``notes`` say, before it is written, what it does besides running a text.  With
    ``--check`` the ``name`` may be that of a routine file, and its note says whether it is
    new, changed or gone.
    """

    revision: str
    name: str
    file: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ways:
    """How changed routines are to become revisions.

    ``together`` makes one revision of all; ``drop`` allows to drop what gone files
    created; ``keep_old`` leaves functions whose signature a file no longer has.
    """

    message: str | None = None
    together: bool = False
    drop: bool = False
    keep_old: bool = False


DEFAULT = Ways()


def wrap(
    config: Config,
    *,
    merge: bool = False,
    check: bool = False,
    ways: Ways = DEFAULT,
    wrote: Callable[[Sequence[Wrapped]], None] = lambda _: None,
    agree: Callable[[Sequence[Wrapped]], bool] = lambda _: True,
) -> tuple[Wrapped, ...]:
    """Append a wrapper to the head for each source that has none, and for changed routines.

    Sources come in the natural order of their names, and need no database.  Changed
    routines come after them, tried on the rehearsal.  ``merge`` first joins several heads;
    ``check`` writes nothing.  ``wrote`` hears of wrappers as soon as they are written.
    ``agree`` sees the revisions of routines before they are written, and may refuse them.
    Raises RevisionError for several heads without ``merge``, RoutineError where changed
    routines cannot be shipped as they are.
    """
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), read_settings(config))
    settings = revisions.settings
    changes = changed_routines(settings)
    if not check:
        _refuse_gone(changes, ways)
    plan = [
        *_merge(revisions.heads(), merge=merge),
        *map(_of_source, unwrapped_sources(revisions, settings)),
    ]
    if check:
        missing = _append(revisions, plan, write=False)
        return (*missing, *(Wrapped("", c.path, "", (c.what,)) for c in changes))
    written = _append(revisions, plan, write=True)
    wrote(written)
    if not changes:
        return written
    shipped = _ship(config, changes, ways, agree)
    wrote(shipped)
    return (*written, *shipped)


# -- sources -----------------------------------------------------------------------------


def _append(
    revisions: ProjectRevisions, plan: Sequence[Wrapper], *, write: bool
) -> tuple[Wrapped, ...]:
    _refuse_long_names(plan, revisions)
    known = {revision.id: revision for revision in revisions.all()}
    heads = revisions.heads()
    written = []
    for wrapper in plan:
        if wrapper.revision in known:
            raise RevisionError(_taken(wrapper, known[wrapper.revision].path))
        placed = Wrapper(wrapper.revision, heads, wrapper.message, wrapper.source, wrapper.undo)
        shown = _write(revisions, placed) if write else ""
        written.append(Wrapped(wrapper.revision, wrapper.source or wrapper.message, shown))
        heads = (wrapper.revision,)
    return tuple(written)


def _write(revisions: ProjectRevisions, wrapper: Wrapper) -> str:
    """Write a wrapper and return its path as people are shown it."""
    shown = revisions.settings.shown
    try:
        return shown(write_wrapper(revisions.script, revisions.versions, wrapper))
    except OSError as error:
        raise RevisionError(
            f"{shown(revisions.versions)}: the wrapper of {wrapper.source or wrapper.message} "
            f"cannot be written: {error.strerror}. Those before it were. Mend that, then: "
            "alembic pgpipe wrap"
        ) from error


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


# -- routines ----------------------------------------------------------------------------


def _ship(
    config: Config,
    changes: Sequence[RoutineChange],
    ways: Ways,
    agree: Callable[[Sequence[Wrapped]], bool],
) -> tuple[Wrapped, ...]:
    """Plan on the rehearsal, then write all files."""
    settings = read_settings(config)
    with rehearsal(config) as opened:
        stage = Stage(opened)
        texts = Texts(stage, latest_texts(settings))
        plan = Shipping(stage, texts, ways.keep_old).plan(changes)
        if plan.problems:
            raise RoutineError(_unshippable(plan))
        made = routine_revisions(stage, plan.shipments, ways.message, together=ways.together)
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), settings)
    wrappers = [one.wrapper for one in made]
    _append(revisions, wrappers, write=False)
    refuse_present(settings, made)
    if not agree([_planned(one) for one in made]):
        raise RoutineError("No routine was written, as you wish.")
    for one in made:
        write_files(settings, one)
    return _append(revisions, wrappers, write=True)


def _planned(one: RoutineRevision) -> Wrapped:
    return Wrapped(one.wrapper.revision, one.wrapper.source or "", "", one.notes)


def _refuse_gone(changes: Sequence[RoutineChange], ways: Ways) -> None:
    settled = {change.name for change in moved(changes).values()}
    gone = [c.path for c in changes if not c.new and c.name not in settled]
    if gone and not ways.drop:
        raise RoutineError(
            f"{', '.join(gone)}: gone since the last snapshot. Nothing was written. Put the "
            "file back; or write the revision that drops what it created: alembic pgpipe wrap "
            "--drop"
        )


def _unshippable(plan: Plan) -> str:
    count = len(plan.problems)
    found = "\n".join(f"  {problem}" for problem in plan.problems)
    files = "This file" if count == 1 else f"These {count} files"
    return f"{files} cannot be shipped, and no routine was written:\n{found}"
