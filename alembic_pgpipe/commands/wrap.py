"""``alembic pgpipe wrap``: write wrappers for sources, and snapshots of changed routines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_pgpipe.commands.append import Wrapped, append
from alembic_pgpipe.errors import RevisionError, RoutineError
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import unwrapped_sources
from alembic_pgpipe.revisions.wrapper import Wrapper, message_for, revision_id
from alembic_pgpipe.routines.working import RoutineChange, changed_routines, moved
from alembic_pgpipe.settings import read_settings
from alembic_pgpipe.source import SourceFile


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
        missing = append(revisions, plan, write=False)
        return (*missing, *(Wrapped("", c.path, "", (c.what,)) for c in changes))
    written = append(revisions, plan, write=True)
    wrote(written)
    if not changes:
        return written
    shipped = _ship(config, changes, ways, agree)
    wrote(shipped)
    return (*written, *shipped)


def _ship(
    config: Config,
    changes: Sequence[RoutineChange],
    ways: Ways,
    agree: Callable[[Sequence[Wrapped]], bool],
) -> tuple[Wrapped, ...]:
    # With it comes all that a run needs, and most often no routine was changed.
    from alembic_pgpipe.commands.ship import ship

    return ship(
        config,
        changes,
        agree,
        message=ways.message,
        together=ways.together,
        keep_old=ways.keep_old,
    )


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


def _refuse_gone(changes: Sequence[RoutineChange], ways: Ways) -> None:
    settled = {change.name for change in moved(changes).values()}
    gone = [c.path for c in changes if not c.new and c.name not in settled]
    if gone and not ways.drop:
        raise RoutineError(
            f"{', '.join(gone)}: gone since the last snapshot. Nothing was written. Put the "
            "file back; or write the revision that drops what it created: alembic pgpipe wrap "
            "--drop"
        )
