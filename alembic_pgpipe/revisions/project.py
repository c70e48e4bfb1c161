"""The revisions of a project, read through Alembic's own script directory."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

from alembic_pgpipe.errors import PgpipeError, RevisionError
from alembic_pgpipe.model import Revision
from alembic_pgpipe.revisions.broken import (
    nothing_overlooked,
    refuse_odd_files,
    refuse_unstorable,
    unknown_version,
    unreadable,
)
from alembic_pgpipe.revisions.history_map import (
    RecentMap,
    RevisionFile,
    history_map,
    wrapped,
)
from alembic_pgpipe.revisions.reach import refuse_empty
from alembic_pgpipe.settings import Settings, read_settings
from alembic_pgpipe.source.files import source_name

PACKAGE = "alembic_pgpipe"


@dataclass(frozen=True, slots=True)
class ProjectRevisions:
    """Every revision of the project, and the ways in which people name them."""

    script: ScriptDirectory
    settings: Settings
    _read: list[ScriptDirectory] = field(default_factory=list)

    def all(self) -> tuple[Revision, ...]:
        """Return every revision, from the base to the heads.

        Raises RevisionError, as ``heads`` does, where a file cannot be read.
        """
        self.heads()
        return self._in_order(self._walk())

    def ids(self) -> frozenset[str]:
        """Return the id of every revision."""
        return self.applied(self.heads())

    def latest(self, count: int) -> tuple[Revision, ...]:
        """Return the last ones of ``all``."""
        return self._in_order(islice(self._walk(), count))

    def those(self, ids: Collection[str], names: Collection[str] = ()) -> tuple[Revision, ...]:
        """Return the revisions that have one of these ids or names, in the order of ``all``."""
        left = self.ids().intersection(ids)
        if names:
            walked = self._walk()
            return self._in_order(r for r in walked if r.id in left or r.name in names)
        # The walk ends with the last one that is asked for, which is seldom an early one.
        found = (revision for revision in self._walk() if revision.id in left)
        return self._in_order(islice(found, len(left))) if left else ()

    def script_of(self, revision: Revision) -> Script:
        """Return a revision as Alembic knows it, however long ago it was applied."""
        return self._script(revision.id)

    def describe(self, script: Script) -> Revision:
        """Return a revision as the rest of the package knows it.

        Raises RevisionError for names that the ledger cannot keep.
        """
        source, undo = wrapped(script.module)
        revision = Revision(
            id=script.revision,
            name=source_name(source) if source else Path(script.path).stem,
            path=self.settings.shown(Path(script.path).absolute()),
            source=source,
            undo=undo,
        )
        refuse_unstorable(revision)
        return revision

    def get(self, revision: str) -> Revision:
        """Return one revision by its full id."""
        self._see_all()
        return self.describe(self.script.get_revision(revision))

    def applied(self, heads: Iterable[str]) -> frozenset[str]:
        """Return the ids of the heads and of all that they build or depend on.

        Raises RevisionError for a head that no file of the project has.
        """
        self.heads()
        wanted = tuple(heads)
        history = history_map(self.script)
        known = None if history is None else history.ancestry(wanted)
        if known is not None:
            return known
        waiting = list(wanted)
        found: set[str] = set()
        while waiting:
            id_ = waiting.pop()
            if id_ not in found:
                found.add(self._script(id_).revision)
                waiting += self.parents(id_)
        return frozenset(found)

    def behind(self, heads: Iterable[str]) -> tuple[str, ...]:
        """Return which heads another one of them builds on; those must not be there."""
        several = tuple(heads)
        return tuple(
            one
            for one in several
            if any(one in self.applied([other]) for other in several if other != one)
        )

    def tops(self, ids: Collection[str]) -> tuple[str, ...]:
        """Return the heads that these and no other revisions lie behind; empty without such."""
        below = {parent for id_ in ids for parent in self.parents(id_)}
        found = tuple(r.id for r in self.all() if r.id in ids and r.id not in below)
        return found if self.applied(found) == frozenset(ids) else ()

    def parents(self, revision: str) -> tuple[str, ...]:
        """Return the ids of what a revision builds or depends on directly."""
        script = self._script(revision)
        return (*_as_tuple(script.down_revision), *self._dependencies(script))

    @property
    def versions(self) -> Path:
        """Return the folder that wrappers are written to."""
        locations = self.script.version_locations or [str(Path(self.script.dir, "versions"))]
        return Path(locations[0]).absolute()

    def heads(self) -> tuple[str, ...]:
        """Return the ids of the heads.

        The first call makes Alembic read every file.  Raises RevisionError for one that
        cannot be read as Python, and for revisions that build on each other in a circle.
        """
        if not self._read:
            self._read_all()
            self._read.append(self.script)
        history = history_map(self.script)
        if history is not None and history.heads_of_files is not None:
            return history.heads_of_files
        return tuple(self.script.get_heads())

    def _read_all(self) -> None:
        history = history_map(self.script)
        if history is not None and history.parents is not None:
            return
        refuse_odd_files(self.versions, self.settings)
        try:
            with nothing_overlooked(self.versions, self.settings):
                self.script.get_heads()
        except PgpipeError:
            raise
        except (Exception, SystemExit) as error:
            # sys.exit(0) in a revision would end the run as if all were well.
            raise unreadable(error, self.versions, self.settings) from error

    def resolve(self, name: str, command: str) -> Revision:
        """Return the revision that a person names by id, unique prefix or source.

        ``command`` is what they typed, with ``{}`` for the name.  Raises RevisionError
        where no revision, or more than one, goes by that name.
        """
        refuse_empty(name)
        known = self.all()
        exact = [r for r in known if name in (r.id, r.name, r.source, r.path)]
        found = exact or [r for r in known if r.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        raise self.unknown(name, command)

    def unknown(self, name: str, command: str) -> RevisionError:
        """Return the error for a name that no revision, or more than one, goes by.

        It names the nearest one.  ``command`` is what was typed, with ``{}`` for the name.
        """
        begin_so = [f"{r.id} ({r.name})" for r in self.all() if r.id.startswith(name)]
        if len(begin_so) > 1:
            several = ", ".join(begin_so[:5])
            return RevisionError(f"{name!r} may be any of {several}. Type more of the id.")
        names = {text: r for r in self.all() for text in (r.name, r.id)}
        near = [names[text] for text in difflib.get_close_matches(name, names, n=1)]
        meant = "".join(
            f" Did you mean {r.id} ({r.name})? Then: {typed}."
            for r in near
            for typed in (command.replace("{}", r.id),)
        )
        return RevisionError(
            f"No revision goes by {name!r}.{meant} See them all: alembic pgpipe status --all"
        )

    def see_recent(self, heads: Iterable[str]) -> None:
        """Let Alembic look at nothing that was applied long ago; ``heads`` are applied.

        What lies behind the cut must be applied as well: of what is missing Alembic would
        run nothing.
        """
        applied, history = tuple(heads), history_map(self.script)
        found = history.recent(1, applied) if history is not None and applied else None
        if found is not None and found.cut in self.applied(applied):
            self.script.revision_map = found

    def _see_all(self) -> None:
        found = self.script.revision_map
        if isinstance(found, RecentMap):
            self.script.revision_map = found.whole

    def _in_order(self, walked: Iterable[Revision]) -> tuple[Revision, ...]:
        found = tuple(walked)[::-1]
        for revision in found:
            refuse_unstorable(revision)
        return found

    def _walk(self) -> Iterator[Revision]:
        """Yield every revision from the heads to the bases."""
        self.heads()
        history = history_map(self.script)
        if history is not None and history.order is not None:
            return self._described(history.walk())
        self._see_all()
        return map(self.describe, self.script.walk_revisions())

    def _described(self, files: Iterable[RevisionFile]) -> Iterator[Revision]:
        """Yield revisions whose headers say all about them."""
        folders: dict[str, str] = {}
        for file in files:
            if file.folder not in folders:
                folders[file.folder] = self.settings.shown(Path(file.folder))
            source = file.header.source
            yield Revision(
                id=file.header.revision,
                name=source_name(source) if source else file.stem,
                path=f"{folders[file.folder]}/{file.name}",
                source=source,
                undo=file.header.undo,
            )

    def _script(self, revision: str) -> Script:
        self.heads()
        self._see_all()
        try:
            return cast("Script", self.script.revision_map.get_revision(revision))
        except ResolutionError as error:
            raise unknown_version(revision, self.versions, self.settings) from error

    def _dependencies(self, script: Script) -> tuple[str, ...]:
        names = _as_tuple(script.dependencies)
        return tuple(self.script.get_revision(name).revision for name in names)


def broken_revisions(config: Config) -> RevisionError | None:
    """Return why the revisions of a project cannot be read, or None where they can.

    None as well where its env.py does not use this package.
    """
    try:
        script = ScriptDirectory.from_config(config)
        if PACKAGE not in Path(script.env_py_location).read_text("utf-8", "replace"):
            return None
        ProjectRevisions(script, read_settings(config)).heads()
    except RevisionError as error:
        return error
    except (CommandError, OSError):
        # Something else is wrong, which is not for us to say.
        return None
    return None


def _as_tuple(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
