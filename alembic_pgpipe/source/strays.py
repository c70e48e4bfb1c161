"""SQL files below the sources folder that nothing runs; who put them there may not know."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from alembic_pgpipe.source.backslash import INCLUDE
from alembic_pgpipe.source.files import FOLDER_FILES

INCLUSION = re.compile(rb"[ \t]*\\i")
SQL = ".sql"


def strays(folder: Path, apart: Path) -> tuple[str, ...]:
    r"""Return the SQL files in folders of the sources folder that nothing runs, relative to it.

    Not what ``\i`` or ``\ir`` includes, nor what lies beside a ``NAME/migration.sql`` or
    ``NAME/up.sql``, nor what is in ``apart``, a folder with another purpose.
    """
    found = sorted(file for top in _folders(folder) for file in _below(top, folder, apart))
    if not found:
        return ()
    included = _included((*_sources(folder), *(folder / file for file in found)))
    return tuple(file for file in found if file.rpartition("/")[2] not in included)


def _folders(folder: Path) -> list[Path]:
    """Return the folders in the sources folder that are no source."""
    with suppress(OSError), os.scandir(folder) as entries:
        tops = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [top for top in tops if not any((top / base).exists() for base in FOLDER_FILES)]
    return []


def _below(top: Path, folder: Path, apart: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(top):
        here = Path(parent)
        if here.name.startswith(".") or here.resolve() == apart.resolve():
            folders.clear()
            continue
        for base in files:
            if base.lower().endswith(SQL) and not base.startswith("."):
                yield (here / base).relative_to(folder).as_posix()


def _sources(folder: Path) -> Iterator[Path]:
    yield from folder.glob(f"*{SQL}")
    for base in FOLDER_FILES:
        yield from folder.glob(f"*/{base}")


def _included(files: Iterable[Path]) -> set[str]:
    """Return the names, without folders, of the files that some files include."""
    names = set[str]()
    for file in files:
        # What cannot be read is said where it is to be run; a pipe would be waited for.
        if not file.is_file():
            continue
        with suppress(OSError), file.open("rb") as lines:
            for line in filter(INCLUSION.match, lines):
                text = line.decode("utf-8", "replace").strip()
                if found := INCLUDE.match(text):
                    names.add((found["quoted"] or found["bare"]).rpartition("/")[2])
    return names
