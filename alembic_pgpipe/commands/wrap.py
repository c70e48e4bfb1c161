"""``alembic pgpipe wrap``: write wrappers for sources, and snapshots of changed routines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_pgpipe.errors import RevisionError, RoutineError, SourceError
from alembic_pgpipe.ledger.tables import NAME_LIMIT
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import unwrapped_sources
from alembic_pgpipe.revisions.wrapper import Wrapper, message_for, revision_id, write_wrapper
from alembic_pgpipe.routines.composed import (
    Copied,
    Part,
    Section,
    composed,
    refuse_directives,
    shared,
)
from alembic_pgpipe.routines.rehearsal import rehearsal
from alembic_pgpipe.routines.shipping import Plan, Shipment, Shipping, latest_texts
from alembic_pgpipe.routines.stage import Stage
from alembic_pgpipe.routines.working import SEVERAL, RoutineChange, changed_routines, moved
from alembic_pgpipe.settings import Settings, read_settings
from alembic_pgpipe.source import SourceFile, source_name, undo_file

NOT_WORD = re.compile(r"\W+")
SLUG_LIMIT = 60


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
    agree: Callable[[Sequence[Wrapped]], bool] = lambda _: True,
) -> tuple[Wrapped, ...]:
    """Append a wrapper to the head for each source that has none, and for changed routines.

    Sources come in the natural order of their names, and need no database.  Changed
    routines come after them, tried on the rehearsal.  ``merge`` first joins several heads;
    ``check`` writes nothing.  ``agree`` sees the revisions of routines before they are
    written, and may refuse them.  Raises RevisionError for several heads without ``merge``,
    RoutineError where changed routines cannot be shipped as they are.
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
    return (*written, *_ship(config, changes, ways, agree)) if changes else written


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


@dataclass(frozen=True, slots=True)
class _Revision:
    """A shipment with its files: a wrapper, the text that it runs, and that of its undo."""

    wrapper: Wrapper
    text: str
    undo: str | None
    notes: tuple[str, ...]


def _ship(
    config: Config,
    changes: Sequence[RoutineChange],
    ways: Ways,
    agree: Callable[[Sequence[Wrapped]], bool],
) -> tuple[Wrapped, ...]:
    """Plan on the rehearsal, then write all files."""
    settings = read_settings(config)
    with rehearsal(config) as opened:
        shipping = Shipping(Stage(opened), latest_texts(settings), ways.keep_old)
        plan = shipping.plan(changes)
    if plan.problems:
        raise RoutineError(_unshippable(plan))
    made = list(_revisions(plan.shipments, ways))
    if not agree([_planned(one) for one in made]):
        raise RoutineError("Not written, as you wish. The files are as they were.")
    for one in made:
        _write(settings, one)
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), settings)
    return _append(revisions, [one.wrapper for one in made], write=True)


def _planned(one: _Revision) -> Wrapped:
    return Wrapped(one.wrapper.revision, one.wrapper.source or "", "", one.notes)


def _revisions(shipments: Sequence[Shipment], ways: Ways) -> Iterator[_Revision]:
    if ways.message is not None and len(shipments) > 1 and not ways.together:
        raise RevisionError(
            f"These are {len(shipments)} changes, and --message names one revision. Nothing of "
            "them was written. One revision for all: alembic pgpipe wrap --together --message …"
        )
    if ways.together and len(shipments) > 1:
        yield _together(shipments, ways.message)
        return
    for shipment in shipments:
        yield _alone(shipment, ways.message)


def _alone(shipment: Shipment, message: str | None) -> _Revision:
    first = shipment.changes[0]
    several = SEVERAL.removesuffix(".sql") if len(shipment.changes) > 1 else ""
    source = f"{first.name}.v{first.version:03}{several}.sql"
    undo = undo_file(source)
    if shipment.undo is None and first.before is not None:
        undo = first.before.file
    return _revision(source, undo, message, shipment.parts, shipment.undo, shipment.notes)


def _together(shipments: Sequence[Shipment], message: str | None) -> _Revision:
    now = datetime.now(timezone.utc)
    slug = NOT_WORD.sub("_", (message or "").lower()).strip("_")[:SLUG_LIMIT].rstrip("_")
    first = shipments[0].changes[0]
    name = f"{now:%Y%m%d_%H%M}_{slug}" if slug else f"{first.name}.v{first.version:03}"
    parts = [part for one in shipments for part in _in_sections(one)]
    undo = "\n".join(_undo_text(one) for one in reversed(shipments))
    notes = tuple(note for one in shipments for note in one.notes)
    source = f"{name}{SEVERAL}"
    return _revision(source, undo_file(source), message, parts, undo, notes)


def _revision(
    source: str,
    undo: str,
    message: str | None,
    parts: Sequence[Part],
    undo_text: str | None,
    notes: tuple[str, ...],
) -> _Revision:
    name = source_name(source)
    wrapper = Wrapper(revision_id(name), (), message or name, source, undo)
    return _Revision(wrapper, composed(parts), undo_text, notes)


def _in_sections(shipment: Shipment) -> Sequence[Part]:
    """Return a shipment's parts for a source that others share."""
    if len(shipment.changes) > 1:
        return shipment.parts
    (change,) = shipment.changes
    section = Section(change.name, change.version)
    if shipment.parts == (Copied(change.new),):
        return (section, *shared(change.new, change.path))
    refuse_directives(change.new, change.path)
    return (section, *shipment.parts)


def _undo_text(shipment: Shipment) -> str:
    return shipment.changes[0].old if shipment.undo is None else shipment.undo


def _write(settings: Settings, revision: _Revision) -> None:
    settings.sources.mkdir(parents=True, exist_ok=True)
    files = {str(revision.wrapper.source): revision.text}
    if revision.undo is not None:
        files[str(revision.wrapper.undo)] = revision.undo
    for name in files:
        if (settings.sources / name).exists():
            path = settings.shown(settings.sources / name)
            raise SourceError(path, "there is such a file already; wrap overwrites none")
    for name, text in files.items():
        (settings.sources / name).write_text(text, encoding="utf-8", newline="")


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
