"""The file that keeps what a build says, also where its database cannot be reached."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from alembic_pgpipe.ledger.build import LOCAL, signature
from alembic_pgpipe.model import Build
from alembic_pgpipe.showable import FILE, ROW, bounded, harmless

# To shorten a long log takes as long as to write it: it may grow to this many times as much.
GROWTH = 2


class LogFile:
    """One build's log file; what cannot be written is done without."""

    def __init__(self, path: Path | None, build: Build, heading: str) -> None:
        self._path = path
        self._stream = _open(path, build)
        self._written = _size(path)
        self.add(("\n" if self._written else "") + heading + "\n")

    def add(self, text: str) -> None:
        """Write to the file, as long as that works."""
        try:
            self._write(text)
        except OSError:
            # The disk is full, say; what is said in other places must go on.
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
        self._stream = None

    def _write(self, text: str) -> None:
        """Write to the file; of a long one the middle is left out."""
        if self._stream is None or self._path is None:
            return
        self._stream.write(text)
        self._stream.flush()
        self._written += len(text)
        if self._written > GROWTH * FILE.most and self._path.is_file():
            kept = bounded(self._path.read_text("utf-8"), FILE)
            self._stream.seek(0)
            self._stream.truncate()
            self._written = 0
            self._write(kept)


def log_of(build: Build, file: Path | None) -> str:
    """Return the log that a file keeps of a build; empty where it keeps none of this one.

    Of a long one the middle is left out.
    """
    if file is None or not _is_of(file, build):
        return ""
    return harmless(bounded(file.read_text("utf-8", "replace"), ROW))


def _open(file: Path | None, build: Build) -> TextIO | None:
    """Open the log file: what a CI build said before stays, another build's log goes."""
    if file is None:
        return None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        goes_on = build.number != LOCAL and _is_of(file, build)
        return open(file, "a" if goes_on else "w", encoding="utf-8", opener=_opener)
    except OSError:
        return None


def _opener(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody reads is an error, not a reason to wait."""
    opened = os.open(path, flags | os.O_NONBLOCK, 0o666)
    os.set_blocking(opened, True)
    return opened


def _size(file: Path | None) -> int:
    """Return how many bytes a log file has; a pipe has none."""
    try:
        return file.stat().st_size if file is not None and file.is_file() else 0
    except OSError:
        return 0


def _is_of(file: Path, build: Build) -> bool:
    """Tell whether a log file is there, and is this build's."""
    begins = signature(build.number, build.id).encode()
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.read(len(begins)) == begins
    except OSError:
        return False
