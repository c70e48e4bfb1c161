"""``alembic pgpipe wrap``: write wrappers for sources, and snapshots of changed routines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_pgpipe.commands.append import Wrapped, append
from alembic_pgpipe.errors import RoutineError
from alembic_pgpipe.revisions.broken import two_heads
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import out_of_reach, unwrapped_sources
from alembic_pgpipe.revisions.wrapper import Wrapper, message_for, revision_id
from alembic_pgpipe.routines.working import GONE, RoutineChange, changed_routines, unsettled
from alembic_pgpipe.settings import read_settings
from alembic_pgpipe.source.files import SourceFile


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


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not in a revision yet: by wrapper, and by changed routine file.

    ``options`` are those without which ``wrap`` would not write all of it.
    """

    wrappers: tuple[Wrapped, ...] = ()
    routines: tuple[RoutineChange, ...] = ()
    options: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is missing."""
        return bool(self.wrappers or self.routines)


def missing(config: Config, *, merge: bool = False) -> Missing:
    """Return what ``wrap`` would write; nothing is written.

    Raises what ``wrap`` raises for several heads without ``merge``, and for ids and names
    that cannot be.
    """
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), read_settings(config))
    changes = changed_routines(revisions.settings)
    plan = _plan(revisions, merge=merge)
    options = {"--merge": len(revisions.heads()) > 1, "--drop": bool(_gone(changes))}
    needed = tuple(option for option, is_needed in options.items() if is_needed)
    return Missing(append(revisions, plan, write=False), changes, needed)


def note(config: Config) -> str | None:
    """Return which SQL files ``wrap`` passes over because no source is looked for there."""
    return out_of_reach(read_settings(config))


def empty_folder(config: Config) -> str | None:
    """Return the folder for sources, as it is shown, of a project that has nothing yet."""
    settings = read_settings(config)
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), settings)
    if revisions.all() or unwrapped_sources(revisions, settings) or changed_routines(settings):
        return None
    return settings.shown(settings.sources)


def wrap(
    config: Config,
    *,
    merge: bool = False,
    ways: Ways = DEFAULT,
    wrote: Callable[[Sequence[Wrapped]], None] = lambda _: None,
    agree: Callable[[Sequence[Wrapped]], bool] = lambda _: True,
) -> tuple[Wrapped, ...]:
    """Append a wrapper to the head for each source that has none, and for changed routines.

    Sources come in the natural order of their names, and need no database.  Changed
    routines come after them, tried on the rehearsal.  ``merge`` first joins several heads.
    ``wrote`` hears of wrappers as soon as they are written.  ``agree`` sees the revisions of
    routines before they are written, and may refuse them.
    Raises RevisionError for several heads without ``merge``, RoutineError where changed
    routines cannot be shipped as they are.
    """
    revisions = ProjectRevisions(ScriptDirectory.from_config(config), read_settings(config))
    changes = changed_routines(revisions.settings)
    if not ways.drop:
        _refuse_gone(changes)
    written = append(revisions, _plan(revisions, merge=merge), write=True)
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


def _plan(revisions: ProjectRevisions, *, merge: bool) -> list[Wrapper]:
    """Return the wrappers to write, the one that joins several heads first."""
    sources = map(_of_source, unwrapped_sources(revisions, revisions.settings))
    return [*_merge(revisions.heads(), merge=merge), *sources]


def _merge(heads: tuple[str, ...], *, merge: bool) -> list[Wrapper]:
    if len(heads) < 2:
        return []
    if not merge:
        raise two_heads(heads, "Nothing was written")
    joined = " and ".join(sorted(heads))
    return [Wrapper(revision_id(f"merge {joined}"), (), f"merge {joined}", None, None)]


def _of_source(source: SourceFile) -> Wrapper:
    return Wrapper(
        revision_id(source.name), (), message_for(source.name), source.file, source.undo
    )


def _gone(changes: Sequence[RoutineChange]) -> list[str]:
    """Return the files that are gone, and have not become those of another name."""
    return [change.path for change in unsettled(changes) if not change.new]


def _refuse_gone(changes: Sequence[RoutineChange]) -> None:
    if gone := _gone(changes):
        raise RoutineError(f"Nothing was written. {', '.join(gone)}: {GONE}")
