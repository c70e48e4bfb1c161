"""From a file to a source that can be run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.checksum import checksum
from alembic_pgpipe.source.directives import Directives, read_directives
from alembic_pgpipe.source.files import locate, shown_path
from alembic_pgpipe.source.reader import Statement, read_statements
from alembic_pgpipe.source.text import decode


@dataclass(frozen=True, slots=True)
class Source:
    """One SQL file, read: ``file`` within the sources folder, ``path`` as shown."""

    file: str
    path: str
    text: str
    checksum: str
    directives: Directives
    statements: tuple[Statement, ...]


def load_source(folder: Path, file: str, project: Path) -> Source:
    """Read a source, its directives and its statements.

    Raises :class:`SourceError` where any of it cannot be read.
    """
    path = shown_path(folder, file, project)
    text = _read(folder, file, project, path)
    directives = read_directives(text, path)
    return Source(file, path, text, checksum(text), directives, read_statements(text, path))


def read_checksum(folder: Path, file: str, project: Path) -> str:
    """Return the checksum of a source without reading its statements."""
    return checksum(_read(folder, file, project, shown_path(folder, file, project)))


def _read(folder: Path, file: str, project: Path, path: str) -> str:
    """Return the text of a source."""
    real = locate(folder, file, project)
    try:
        raw = real.read_bytes()
    except OSError as exc:
        raise SourceError(path, f"this file cannot be read: {exc.strerror}") from exc
    return decode(raw, path)
