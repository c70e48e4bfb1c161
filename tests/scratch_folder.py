"""A temporary folder for servers and for many small files: in memory where there is room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
# Of a few servers side by side, with all that they write until their next checkpoints.
ROOM = 6 * 1024**3


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder; a database is made there in a fifth of the time of a disk's."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-tests-", dir=_in_memory()) as folder:
        yield Path(folder)


def _in_memory() -> Path | None:
    has_room = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ROOM
    return IN_MEMORY if has_room else None
