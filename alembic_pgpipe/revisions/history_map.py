"""Alembic's map of the revisions, filled without importing the wrappers.

A wrapper that is exactly what the template wrote is read from its text, and imported only
when it runs or when something else of it is asked for.  Every other file is imported, as
Alembic does.  Where anything is unusual, Alembic's own reading takes place: it knows the
right warning, or the right error.
"""

from __future__ import annotations

import gc
import inspect
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple, cast

from alembic import op
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import Revision, RevisionMap
from alembic.util import load_python_file

from alembic_pgpipe.revisions.header import Header, read_header
from alembic_pgpipe.revisions.recent import Order, Parents, ancestry, order_of

SUFFIX = ".py"
# Alembic passes over these: what an editor left there, and a package's own file.
NO_REVISIONS = (".#", "__init__")
# A folder within a package is written as PACKAGE:FOLDER.
RESOURCE = ":"
# No wrapper is longer; what is cut off here is imported.
LONGEST = 1 << 16
# No link is followed, and nothing is waited for at a pipe.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
# Alembic refuses an id that holds one of these.
NOT_IN_IDS = re.compile("[@+-]")
# What a later release of Alembic may have changed.
OF_SCRIPT = ("self", "module", "rev_id", "path")


class Unusual(Exception):  # noqa: N818  it is no error: Alembic reads the folder
    """Say that a folder holds something else than plain files."""


class RevisionFile(NamedTuple):
    """One file in the versions folder; ``module`` is None where only its text was read."""

    folder: str
    name: str
    header: Header
    module: ModuleType | None = None

    @property
    def path(self) -> str:
        """Return the full path."""
        return f"{self.folder}/{self.name}"

    @property
    def stem(self) -> str:
        """Return the name without its suffix."""
        return self.name.removesuffix(SUFFIX)

    def as_base(self) -> RevisionFile:
        """Return it as if nothing were ahead of it."""
        return self._replace(header=self.header._replace(down_revision=None), module=None)

    def script(self) -> Script:
        """Return the revision as Alembic knows it."""
        module = self.module or cast("ModuleType", UnreadModule(self))
        return Script(module, self.header.revision, self.path)


class UnreadModule:
    """Stands for the module of a revision until more is asked than its header says."""

    def __init__(self, file: RevisionFile) -> None:
        self._file = file
        self.header = header = file.header
        self.revision = header.revision
        self.down_revision = header.down_revision
        self.branch_labels = header.branch_labels
        self.depends_on = header.depends_on
        if header.source is not None:
            self.source = header.source
            self.undo = header.undo

    def upgrade(self) -> None:
        """Do what the body of the template does, as the file was when it was read.

        It may be edited, or be gone, while the steps ahead of it take their time.
        """
        self._run(self.header.source)

    def downgrade(self) -> None:
        """Do the same downwards."""
        self._run(self.header.undo)

    def _run(self, file: str | None) -> None:
        # The template's other kind of revision has nothing in its body.
        if self.header.source is not None:
            op.run_source(file)  # type: ignore[attr-defined]

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """Return the docstring, as Python reads it; nothing of a file that is gone by now.

        Alembic logs it with each step, where its logger is on.
        """
        try:
            return self._module.__doc__
        except ImportError:
            return None

    def __getattr__(self, name: str) -> Any:
        if name == "_module":
            self._module = load_python_file(self._file.folder, self._file.name)
            return self._module
        return getattr(self._module, name)


class HistoryMap(RevisionMap):
    """The revisions of a project, and the latest ones alone where those are enough."""

    def __init__(self, script: ScriptDirectory) -> None:
        self._script = script
        # A run asks for the same heads several times, and then never again.
        self._asked: tuple[frozenset[str], frozenset[str] | None] | None = None
        super().__init__(self._scripts)

    @property
    def whole(self) -> HistoryMap:
        """Return the map of all revisions."""
        return self

    @cached_property
    def files(self) -> tuple[RevisionFile, ...] | None:
        """Return the revisions' files, read once; None where Alembic should read them."""
        return read_files(self._script)

    @cached_property
    def parents(self) -> Parents | None:
        """Return what each revision builds on; None where that is not all there is to it.

        Labels and dependencies reach over any distance; of two files for one revision, of
        one that is missing and of a circle Alembic has something to say.
        """
        return None if self.order is None else self._parents

    @cached_property
    def order(self) -> Order | None:
        """Return the revisions in order; None where ``parents`` is."""
        with _no_collection():
            return None if self._parents is None else order_of(self._parents)

    @cached_property
    def _parents(self) -> Parents | None:
        files = self.files
        if files is None or not all(file.header.is_plain for file in files):
            return None
        found = {file.header.revision: file.header.parents for file in files}
        if len(found) < len(files) or NOT_IN_IDS.search("".join(found)):
            return None
        return found

    @cached_property
    def ids(self) -> frozenset[str] | None:
        """Return the id of every revision; None where ``parents`` is."""
        return None if self.order is None else frozenset(self._places)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {file.header.revision: place for place, file in enumerate(self.files or ())}

    def ancestry(self, heads: Iterable[str]) -> frozenset[str] | None:
        """Return the ids of some revisions and of all that they build on.

        None where one is not known, or where ``parents`` is.
        """
        wanted = frozenset(heads)
        if self.order is None:
            return None
        if wanted == frozenset(self.order.heads):
            # As nearly always: then everything is.
            return self.ids
        if self._asked is None or self._asked[0] != wanted:
            self._asked = wanted, ancestry(self._parents or {}, wanted)
        return self._asked[1]

    @property
    def heads_of_files(self) -> tuple[str, ...] | None:
        """Return the heads in Alembic's order; None where Alembic should find them."""
        return None if self.order is None else self.order.heads

    def recent(self, depth: int, including: Collection[str] = ()) -> RecentMap | None:
        """Return a map without the earlier revisions, which answers as the whole one does.

        It has those of ``depth`` steps back from the heads, and ``including``, at least.
        None where there is no such map.
        """
        found = None if self.order is None else self.order.recent(depth, including)
        if self.files is None or found is None or found.cut is None:
            return None
        later = sorted(self._places[revision] for revision in found.revisions)
        cut = self.files[self._places[found.cut]].as_base()
        return RecentMap(self, (*map(self.files.__getitem__, later), cut), found.cut)

    def walk(self) -> Iterator[RevisionFile]:
        """Yield the files from the heads to the bases, in Alembic's order.

        There must be an ``order``.
        """
        assert self.order is not None and self.files is not None
        begun: tuple[str, ...] = ()
        for stretch in self.order.stretches():
            for revision in self._walked(stretch):
                if (revision,) != begun:
                    yield self.files[self._places[revision]]
            # It is the first of the next part as well.
            begun = stretch[-1:]

    def _walked(self, stretch: Sequence[str]) -> Iterator[str]:
        """Yield a part of the history in Alembic's order, for which that takes long of all.

        With each merge Alembic looks at everything behind it; here that is little.
        """
        if len(stretch) <= 2:
            return iter(stretch)
        parents, own = self._parents or {}, set(stretch)
        revisions = [
            Revision(one, tuple(p for p in parents[one] if p in own) or None)
            for one in sorted(stretch, key=self._places.__getitem__)
        ]
        part = RevisionMap(lambda: revisions)
        walked = part.iterate_revisions(
            "heads", "base", inclusive=True, assert_relative_length=False
        )
        return (revision.revision for revision in walked)

    def _scripts(self) -> Iterator[Script]:
        if self.files is None:
            return self._script._load_revisions()  # noqa: SLF001  what else would be read
        return (file.script() for file in self.files)


class RecentMap(RevisionMap):
    """The revisions of a project from ``cut`` on; ``whole`` has all of them."""

    def __init__(self, whole: HistoryMap, files: Iterable[RevisionFile], cut: str) -> None:
        self.whole = whole
        self.cut = cut
        super().__init__(lambda: (file.script() for file in files))


def history_map(script: ScriptDirectory) -> HistoryMap | None:
    """Return the map of all revisions; None where Alembic reads them in its own way."""
    found = script.revision_map
    return found.whole if isinstance(found, (HistoryMap, RecentMap)) else None


def use_history_map(script: ScriptDirectory, depth: int | None = None) -> None:
    """Let a script directory read its revisions in this way, where Alembic is as we know it.

    ``depth`` is how many steps back from the heads are looked at; None for all.
    """
    known = tuple(inspect.signature(Script.__init__).parameters) == OF_SCRIPT
    if known and hasattr(script, "_load_revisions"):
        whole = HistoryMap(script)
        script.revision_map = (None if depth is None else whole.recent(depth)) or whole


def read_files(script: ScriptDirectory) -> tuple[RevisionFile, ...] | None:
    """Return the revision files of a project, or None where Alembic should read them."""
    places = script.version_locations or [f"{script.dir}/versions"]
    if script.sourceless or script.recursive_version_locations or RESOURCE in "".join(places):
        return None
    try:
        folders = [os.path.realpath(place) for place in places]
        if len(set(folders)) < len(folders):
            return None
        return tuple(file for folder in folders for file in _files_in(folder))
    except (Exception, SystemExit):  # noqa: BLE001  Alembic meets it as well, and says so
        return None


def _files_in(folder: str) -> Iterator[RevisionFile]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # A Path around each name would take as long as to read the file.
        names = (name for name in os.listdir(folder) if name.endswith(SUFFIX))  # noqa: PTH208
        for name in sorted(names):
            if not name.startswith(NO_REVISIONS):
                yield _file(folder, name, _beginning(name, opened))
    finally:
        os.close(opened)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Do not look for garbage meanwhile: many objects are made, and all of them stay."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _beginning(name: str, folder: int) -> bytes:
    # Ten thousand of them are opened: no object around it that is not needed.
    file = os.open(name, READ, dir_fd=folder)
    try:
        return os.read(file, LONGEST)
    finally:
        os.close(file)


def _file(folder: str, name: str, text: bytes) -> RevisionFile:
    header = read_header(text)
    if header is not None:
        return RevisionFile(folder, name, header)
    if not stat.S_ISREG(os.lstat(f"{folder}/{name}").st_mode):
        raise Unusual(name)
    module = load_python_file(folder, name)
    return RevisionFile(folder, name, _declared(module), module)


def _declared(module: ModuleType) -> Header:
    """Return what an imported revision declares, as :class:`Script` reads it."""
    return Header(
        module.revision,
        module.down_revision,
        getattr(module, "branch_labels", None),
        getattr(module, "depends_on", None),
        *wrapped(module),
    )


def wrapped(module: object) -> tuple[str | None, str | None]:
    """Return the source and the undo that a revision's module declares."""
    if isinstance(module, UnreadModule):
        return module.header.source, module.header.undo
    source = getattr(module, "source", None)
    undo = getattr(module, "undo", None)
    if not isinstance(source, str) or not source.endswith(".sql"):
        return None, None
    return source, undo if isinstance(undo, str) else None
