"""psql itself, against the recording server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alembic_pgpipe.errors import PgpipeError
from alembic_pgpipe.scratch.binaries import find_binaries
from tests.psql.recording_server import PORT, RecordingServer, Sent, recording_server

# Older ones leave comments out of what they send; from 16 on, an empty statement behind
# COPY data silently ends the file.
MAJOR = 15
SECONDS = 60


@dataclass(frozen=True)
class Psql:
    """One psql, and the server that it talks to."""

    program: Path
    server: RecordingServer

    def sent(self, file: Path) -> tuple[Sent, ...]:
        """Run ``psql -f`` and return what it sent."""
        self.server.take()
        place = f"host={self.server.folder} port={PORT} user=postgres dbname=postgres"
        done = subprocess.run(
            [self.program, "-X", "-q", "-d", place, "-f", file],
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode or done.stderr:
            raise AssertionError(f"psql on {file.name}: {done.stderr.decode()}")
        return self.server.take()


def find_psql() -> Path | None:
    """Return a psql that is of the right version, beside the server binaries or on PATH."""
    candidates = [shutil.which("psql")]
    with suppress(PgpipeError):
        # Debian's psql on PATH is a wrapper, and slow to start.
        candidates.insert(0, str(find_binaries(os.environ).folder / "psql"))
    return next((Path(path) for path in candidates if path and _is_the_one(path)), None)


@contextmanager
def recorded_psql(program: Path) -> Iterator[Psql]:
    """Give a psql with a server of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="pgpipe-psql-") as folder,
        recording_server(Path(folder)) as server,
    ):
        yield Psql(program, server)


def _is_the_one(program: str) -> bool:
    try:
        shown = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    version = re.search(r"\d+", shown.stdout)
    return version is not None and int(version[0]) == MAJOR
