"""Which sources exist, what they are called, and where they may lie."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alembic_pgpipe.errors import SourceError

PART = re.compile(r"([^0-9]*)([0-9]*)")
# A day, alone or with a time of day behind it: 20250625, 202506251430, 20250625143000, …
DATE = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]*")
DATE_LENGTH = 20
FOLDER_FILES = ("migration.sql", "up.sql")
DOWN = "down.sql"
IN_FOLDER = (*FOLDER_FILES, DOWN)
RESTORE = "; restore it"
ENDING = re.compile(r"(?:\.up|\.down)?\.sql\Z", re.I | re.A)

# Snapshots of one routine file, and of several.
SINGLE = re.compile(r"(?P<name>.+)\.v(?P<version>\d{3,})\.sql\Z")
SEVERAL = ".routines.sql"

NaturalKey = tuple[tuple[tuple[str, int, str], ...], str]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source of a project; both paths are relative to the sources folder."""

    name: str
    file: str
    undo: str


def discover(folder: Path, project: Path) -> tuple[SourceFile, ...]:
    """Return the sources of a folder in the natural order of their names.

    Raises :class:`SourceError`, with the path as people of the project are shown it, where
    a folder cannot be read, a name cannot be stored, or two files claim the same name.
    """
    found: dict[str, SourceFile] = {}
    try:
        with os.scandir(folder) as entries:
            listed = [(e.name, _is_folder(e)) for e in entries if not e.name.startswith(".")]
        files = [file for name, is_dir in listed for file in _files(folder, name, is_dir)]
        for file in sorted(files):
            _add(found, file)
    except _NameError as exc:
        raise SourceError(shown_path(folder, exc.file, project), str(exc)) from exc
    except OSError as exc:
        path = shown_path(folder, exc.filename or ".", project)
        raise SourceError(path, f"this folder cannot be read: {exc.strerror}") from exc
    return tuple(sorted(found.values(), key=lambda source: natural_key(source.name)))


def is_snapshot(source: str) -> bool:
    """Tell whether a source, by its name, is a snapshot of routine files."""
    return source.endswith(SEVERAL) or SINGLE.match(source) is not None


class _NameError(Exception):
    """Report a file whose name will not do."""

    def __init__(self, file: str, message: str) -> None:
        self.file = file
        super().__init__(f"{message}. Rename it, then: alembic pgpipe wrap")


def is_storable(name: str) -> bool:
    """Return whether a name may go into the ledger, and come back in one line."""
    return name.isprintable()


def same_name(name: str) -> str:
    """Return a name in the one spelling of it that all spellings of accents share.

    Some file systems change one spelling to another.
    """
    return unicodedata.normalize("NFC", name)


def source_name(file: str) -> str:
    """Return the name of a source: ``NAME.up.sql`` and ``NAME/migration.sql`` are NAME."""
    parent, _, base = file.rpartition("/")
    if parent and base in IN_FOLDER:
        return parent.rpartition("/")[2]
    for ending in (".up.sql", ".down.sql", ".sql"):
        if base.endswith(ending) and base != ending:
            return base.removesuffix(ending)
    return base


def undo_file(file: str) -> str:
    """Return where the undo of a source is, or would be."""
    parent, _, base = file.rpartition("/")
    if parent and base in FOLDER_FILES:
        return f"{parent}/{DOWN}"
    name = f"{source_name(file)}.{DOWN}"
    return f"{parent}/{name}" if parent else name


def is_undo(file: str) -> bool:
    """Return whether a file is named as the undo of a source is."""
    return file.endswith((f"/{DOWN}", f".{DOWN}"))


def natural_key(name: str) -> NaturalKey:
    """Return a sort key under which numbers compare as numbers, and dates as dates."""
    parts = tuple(
        (text, len(number), number)
        for text, digits in PART.findall(name)
        for number in (_number(digits),)
    )
    return parts, name


def _number(digits: str) -> str:
    """Give dates one length: a day comes before the next one's 09:30, not after it."""
    if DATE.fullmatch(digits):
        return digits.ljust(DATE_LENGTH, "0")
    return digits.lstrip("0")


def locate(folder: Path, file: str, project: Path) -> Path:
    """Return the real path of a source or an undo.

    Raises :class:`SourceError` where it is missing, is not a file, or lies outside both
    the project and the sources folder, also by way of a symbolic link.
    """
    refuse = partial(_refusal, folder, file, project)
    try:
        real = os.path.realpath(folder / file)
        if not any(_holds(top, real) for top in (project, folder)):
            raise refuse("this path leads outside the project; copy the file into it")
        mode = Path(real).stat().st_mode
    except FileNotFoundError as exc:
        raise refuse("there is no such file" + ("" if is_undo(file) else RESTORE)) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise refuse(f"this path cannot be used: {reason}") from exc
    if stat.S_ISDIR(mode):
        raise refuse("this is a folder; name the SQL file in it")
    if not stat.S_ISREG(mode):
        raise refuse("this is not a regular file; a source must be one")
    return Path(real)


def shown_path(folder: Path, file: str, project: Path) -> str:
    """Return a source's path as people are shown it: relative to the project."""
    path, root = map(os.path.normpath, (folder.absolute() / file, project.absolute()))
    shown = os.path.relpath(path, root) if _is_below(path, root) else path
    return shown.replace(os.sep, "/")


def _refusal(folder: Path, file: str, project: Path, message: str) -> SourceError:
    return SourceError(shown_path(folder, file, project), message)


def _holds(top: Path, real: str) -> bool:
    """Return whether a path without links lies below a folder."""
    # Where it begins with the folder as it is named, there is no link in that, either.
    return _is_below(real, str(top)) or _is_below(real, os.path.realpath(top))


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip(os.sep) + os.sep)


def _files(folder: Path, name: str, is_dir: bool) -> Iterator[str]:
    """Yield the sources that one entry of the folder stands for."""
    if not is_dir:
        _refuse_capitals(name)
        if name.endswith(".sql") and not is_undo(name):
            yield name
        return
    with os.scandir(folder / name) as entries:
        # Broken links and pipes count: locate() says what is wrong with them.
        files = [e.name for e in entries if e.name.lower() in IN_FOLDER and not _is_folder(e)]
    for base in files:
        _refuse_capitals(f"{name}/{base}")
        if base in FOLDER_FILES:
            yield f"{name}/{base}"


def _refuse_capitals(file: str) -> None:
    """Refuse what is no source, or no undo, but for capitals: it would be passed over."""
    parent, _, base = file.rpartition("/")
    name = base.lower() if parent else ENDING.sub(lambda found: found[0].lower(), base)
    if name != base:
        wanted = f"{parent}/{name}" if parent else name
        raise _NameError(file, f"this name has to end in small letters: {wanted}")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself, say: locate() says so where it is a source.
        return False


def _add(found: dict[str, SourceFile], file: str) -> None:
    """Add a source, unless its name cannot be stored or is taken."""
    name = source_name(file)
    if not is_storable(name):
        raise _NameError(file, f"the name {name!r} holds characters that cannot be stored")
    other = found.get(same_name(name))
    if other is not None and other.name != name:
        alike = f"{other.file!a} and {file!a}"
        raise _NameError(file, f"{alike} look the same, and some systems take them for one")
    if other is not None:
        raise _NameError(file, f"{other.file} and {file} are both named {name}")
    found[same_name(name)] = SourceFile(name, file, undo_file(file))
