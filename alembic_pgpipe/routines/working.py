"""Working copies that people edit, and their snapshots among the sources.

A revision never runs the working copy.  Each version of it is copied into the sources
folder, so that a replay from base gives the same database for ever: as ``NAME.vNNN.sql``,
or with others in a ``….routines.sql``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.routines.sections import copied_text, is_plain, sections
from alembic_pgpipe.settings import Settings
from alembic_pgpipe.source.checksum import checksum
from alembic_pgpipe.source.directives import read_directives
from alembic_pgpipe.source.files import SEVERAL, SINGLE, is_storable, natural_key
from alembic_pgpipe.source.reader import read_statements
from alembic_pgpipe.source.text import decode

MARK = re.compile(r"^-- wrap: (?:begin|end\b|not run|\S.* v\d{3,}\r?$)", re.M)
BLANK = "there is no statement in this file. Write one, or remove the file"
GONE = (
    "gone since its last snapshot. Put the file back; or write the revision that drops what it "
    "created: alembic pgpipe wrap --drop"
)
EMPTIED = f"{BLANK}: what it created is then dropped by alembic pgpipe wrap --drop"


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """A file that people edit; ``name`` is its path below the folder, with dots."""

    name: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version of a working copy, without what wrap wrote around it.

    ``file`` is the source that holds it, relative to the sources.  Where that holds
    nothing else it is ``plain``.  The text is empty where the file was dropped.
    """

    name: str
    version: int
    file: str
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class RoutineChange:
    """A working copy that is new, changed or gone: its text before and now, or empty.

    ``path`` is as people are shown it; ``before`` the latest snapshot.
    """

    name: str
    path: str
    old: str
    new: str
    before: Snapshot | None = None

    @property
    def version(self) -> int:
        """Return the version that the change makes."""
        return self.before.version + 1 if self.before is not None else 1

    @property
    def what(self) -> str:
        """Return what happened to the file, in a word."""
        if not self.new:
            return "gone"
        return "changed" if self.old else "new"


def names_in_snapshot(settings: Settings, source: str) -> frozenset[str]:
    """Return the working copies of which a source is a snapshot; one that is gone has none.

    Raises SourceError where it cannot be read.
    """
    if match := SINGLE.match(source):
        return frozenset({match["name"]})
    path = settings.sources / source
    if not source.endswith(SEVERAL) or not path.is_file():
        return frozenset()
    return frozenset(name for name, _, _ in sections(_text(path, settings.shown(path))))


def changed_routines(settings: Settings) -> tuple[RoutineChange, ...]:
    """Return the working copies that differ from their latest snapshot, gone ones last.

    Raises SourceError for a file that cannot be read, or has nothing to ship.
    """
    copies, latest = read_copies(settings), _latest(settings)
    changed = [
        _changed(settings, copy, latest.get(copy.name, ()))
        for copy in copies.values()
        if not _is_snapshot_of(copy, latest.get(copy.name, ()))
    ]
    for change in changed:
        _refuse_blank(change)
        _refuse_marks(change)
    gone = [
        RoutineChange(name, shown(settings, name), before.text, "", before)
        for name, found in latest.items()
        for before in [one for one in found if _has_objects(one)][-1:]
        if name not in copies
    ]
    return (*changed, *gone)


def _changed(
    settings: Settings, copy: WorkingCopy, latest: Sequence[Snapshot]
) -> RoutineChange:
    before = latest[-1] if latest else None
    old = before.text if before is not None else ""
    return RoutineChange(copy.name, settings.shown(copy.path), old, copy.text, before)


def _is_snapshot_of(copy: WorkingCopy, latest: Sequence[Snapshot]) -> bool:
    """Tell whether each snapshot of the latest version holds what a working copy says."""
    return bool(latest) and all(
        checksum(one.text) == checksum(copy.text)
        and _directives(one.text) == _directives(copy.text)
        for one in latest
    )


def _directives(text: str) -> str | None:
    """Return what a text's header sets, or None where it cannot be read."""
    try:
        return str(read_directives(text, ""))
    except SourceError:  # which has its place where the file is tried
        return None


def _has_objects(snapshot: Snapshot) -> bool:
    """Tell a snapshot from another source that goes by such a name."""
    from alembic_pgpipe.objects.heads import heads

    return any(heads(read_statements(snapshot.text, snapshot.file)))


def moved(changes: Iterable[RoutineChange]) -> Mapping[str, RoutineChange]:
    """Return, by the names of new files, the gone ones that they were until now.

    A file that is moved or renamed, and says what it said, changes nothing.
    """
    gone = {checksum(change.old): change for change in changes if not change.new}
    pairs: dict[str, RoutineChange] = {}
    for change in changes:
        if change.before is None and checksum(change.new) in gone:
            pairs[change.name] = gone.pop(checksum(change.new))
    return pairs


def unsettled(changes: Sequence[RoutineChange]) -> tuple[RoutineChange, ...]:
    """Return the changes but for those that only move or rename a file."""
    pairs = moved(changes)
    settled = {*pairs, *(change.name for change in pairs.values())}
    return tuple(change for change in changes if change.name not in settled)


def read_copies(settings: Settings) -> Mapping[str, WorkingCopy]:
    """Return the working copies by name, in its natural order.

    Raises SourceError for a file that cannot be read, and for two of one name.
    """
    if not settings.routines.is_dir():
        return {}
    files = sorted(settings.routines.rglob("*.sql"), key=lambda f: natural_key(f.as_posix()))
    copies = (_copy(settings, file) for file in files if file.is_file())
    found: dict[str, WorkingCopy] = {}
    for copy in copies:
        if copy.name in found:
            other = settings.shown(found[copy.name].path)
            message = f"its snapshots would have the names of those of {other}; rename one"
            raise SourceError(settings.shown(copy.path), message)
        found[copy.name] = copy
    return found


def read_snapshots(settings: Settings) -> Mapping[str, Snapshot]:
    """Return the latest snapshot of each working copy there ever was, by its name."""
    return {name: found[-1] for name, found in _latest(settings).items()}


def _latest(settings: Settings) -> Mapping[str, Sequence[Snapshot]]:
    """Return the snapshots of each working copy's latest version, by its name.

    There are several where each of two branches has made that version, among others.
    """
    latest: dict[str, Sequence[Snapshot]] = {}
    for name, found in groupby(sorted(_snapshots(settings), key=_age), lambda one: one.name):
        ordered = list(found)
        latest[name] = [one for one in ordered if one.version == ordered[-1].version]
    return latest


def _age(snapshot: Snapshot) -> tuple[object, ...]:
    return natural_key(snapshot.name), snapshot.version, natural_key(snapshot.file)


def _refuse_blank(change: RoutineChange) -> None:
    """Raise SourceError for a file without statements: it may be gone, or not yet written."""
    # What cannot be read has a place, which is told where the file is tried.
    try:
        statements = read_statements(change.new, change.path)
    except SourceError:
        return
    if not statements:
        raise SourceError(change.path, EMPTIED if change.old else BLANK)


def _refuse_marks(change: RoutineChange) -> None:
    """Raise SourceError for a line that would be read as one of wrap's own."""
    if mark := MARK.search(change.new):
        line = change.new.count("\n", 0, mark.start()) + 1
        message = "this comment is kept for what wrap writes into snapshots; take it out"
        raise SourceError(change.path, message, line=line, column=1)


def _copy(settings: Settings, file: Path) -> WorkingCopy:
    name = ".".join(file.relative_to(settings.routines).with_suffix("").parts)
    if not is_storable(name):
        message = f"the name {name!r} holds characters that cannot be stored. Rename the file"
        raise SourceError(settings.shown(file), message)
    return WorkingCopy(name, file, _text(file, settings.shown(file)))


def _text(file: Path, path: str) -> str:
    try:
        return decode(file.read_bytes(), path)
    except OSError as error:
        raise SourceError(path, f"this file cannot be read: {error.strerror}") from error


def shown(settings: Settings, name: str) -> str:
    """Return the path of a working copy that may be gone."""
    return settings.shown(settings.routines / f"{name}.sql")


def _listed(settings: Settings) -> list[Path]:
    """Return the files among the sources, no folders or pipes."""
    if not settings.sources.is_dir():
        return []
    try:
        return [path for path in settings.sources.iterdir() if path.is_file()]
    except OSError as error:
        path = settings.shown(Path(error.filename))
        raise SourceError(path, f"this folder cannot be read: {error.strerror}") from error


def _snapshots(settings: Settings) -> Iterator[Snapshot]:
    newest: dict[str, tuple[int, Path]] = {}
    for path in _listed(settings):
        if path.name.endswith(SEVERAL):
            for name, version, text in sections(_text(path, path.name)):
                yield Snapshot(name, version, path.name, text, plain=False)
        elif match := SINGLE.match(path.name):
            version = int(match["version"])
            if version > newest.get(match["name"], (0, path))[0]:
                newest[match["name"]] = version, path
    for name, (version, path) in newest.items():
        text = _text(path, path.name)
        yield Snapshot(name, version, path.name, copied_text(text), is_plain(text))
