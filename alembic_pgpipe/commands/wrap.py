"""``alembic pgpipe wrap``: write wrappers for sources, and snapshots of changed routines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from alembic_pgpipe.routines.shipping import Plan, Shipment, Shipping, latest_texts, script
from alembic_pgpipe.routines.stage import Stage
from alembic_pgpipe.routines.working import SEVERAL, RoutineChange, changed_routines, moved
from alembic_pgpipe.run.executor import StatementError
from alembic_pgpipe.run.failure import problem_of
from alembic_pgpipe.settings import Settings, read_settings
from alembic_pgpipe.source import (
    SourceFile,
    source_name,
    undo_file,
    without_header_directives,
)

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

    @property
    def files(self) -> Mapping[str, str]:
        """Return the texts to be written, by their names among the sources."""
        files = {str(self.wrapper.source): self.text}
        if self.undo is not None:
            files[str(self.wrapper.undo)] = self.undo
        return files


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
        plan = Shipping(stage, latest_texts(settings), ways.keep_old).plan(changes)
        if plan.problems:
            raise RoutineError(_unshippable(plan))
        made = _made(stage, plan.shipments, ways)
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), settings)
    wrappers = [one.wrapper for one in made]
    _append(revisions, wrappers, write=False)
    _refuse_present(settings, made)
    if not agree([_planned(one) for one in made]):
        raise RoutineError("No routine was written, as you wish.")
    for one in made:
        _write(settings, one)
    return _append(revisions, wrappers, write=True)


def _made(stage: Stage, shipments: Sequence[Shipment], ways: Ways) -> Sequence[_Revision]:
    """Return the revisions; one of all changes is tried as a whole, back and forth."""
    settings = stage.rehearsal.settings
    try:
        made = list(_revisions(settings, shipments, ways))
        for one in made if len(shipments) > len(made) else ():
            with stage.undone():
                stage.run(one.undo or "", str(one.wrapper.undo))
                stage.run(one.text, str(one.wrapper.source))
    except (SourceError, StatementError) as error:
        raise RoutineError(
            f"One revision cannot hold these changes, and no routine was written:\n"
            f"  {problem_of(error)}\n"
            "Without --together, each of them is a revision of its own."
        ) from error
    return made


def _refuse_present(settings: Settings, made: Sequence[_Revision]) -> None:
    """Raise RoutineError where a file would be written over, as a snapshot never is."""
    paths = [settings.sources / name for one in made for name in one.files]
    there = ", ".join(settings.shown(path) for path in paths if path.exists())
    if there:
        raise RoutineError(
            f"{there}: there already, and a snapshot is never written over. No routine was "
            "written. Move it away, then: alembic pgpipe wrap"
        )


def _planned(one: _Revision) -> Wrapped:
    return Wrapped(one.wrapper.revision, one.wrapper.source or "", "", one.notes)


def _revisions(
    settings: Settings, shipments: Sequence[Shipment], ways: Ways
) -> Iterator[_Revision]:
    if ways.message is not None and len(shipments) > 1 and not ways.together:
        raise RevisionError(
            f"These are {len(shipments)} changes, and --message names one revision. Nothing of "
            "them was written. One revision for all: alembic pgpipe wrap --together --message …"
        )
    if ways.together and len(shipments) > 1:
        yield _together(settings, shipments, ways.message)
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


def _together(
    settings: Settings, shipments: Sequence[Shipment], message: str | None
) -> _Revision:
    now = datetime.now(timezone.utc)
    slug = NOT_WORD.sub("_", (message or "").lower()).strip("_")[:SLUG_LIMIT].rstrip("_")
    first = shipments[0].changes[0]
    name = f"{now:%Y%m%d_%H%M}_{slug}" if slug else f"{first.name}.v{first.version:03}"
    parts = [part for one in shipments for part in _in_sections(one)]
    undo = "\n".join(_undo_text(one) for one in reversed(shipments))
    notes = tuple(note for one in shipments for note in one.notes)
    source = _unused(settings, name)
    return _revision(source, undo_file(source), message, parts, undo, notes)


def _unused(settings: Settings, name: str) -> str:
    """Return the name of a source of several that no earlier one of that minute has."""
    names = (f"{name}{SEVERAL}", *(f"{name}_{number}{SEVERAL}" for number in range(2, 1000)))
    return next(one for one in names if not (settings.sources / one).exists())


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
    parts = shipment.parts
    if any(isinstance(part, Copied) for part in parts):
        for change in shipment.changes:
            refuse_directives(change.new, change.path)
    if len(shipment.changes) > 1:
        return parts
    (change,) = shipment.changes
    if parts == (Copied(change.new),):
        parts = shared(change.new, change.path)
    return (Section(change.name, change.version), *parts)


def _undo_text(shipment: Shipment) -> str:
    """Return a shipment's way back so that others can follow it."""
    change = shipment.changes[0]
    text = change.old if shipment.undo is None else shipment.undo
    # Nobody can take directives out of a snapshot any more.
    return script(shared(without_header_directives(text), change.path))


def _write(settings: Settings, revision: _Revision) -> None:
    settings.sources.mkdir(parents=True, exist_ok=True)
    for name, text in revision.files.items():
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
