"""``make demo``: the story is told to its end, twice, and nothing of it stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from alembic_pgpipe.scratch import binaries
from tests.background import eventually
from tests.project import Project
from tests.scratch_folder import scratch_folder

REPOSITORY = Path(__file__).parents[2]
LANDMARKS = (
    "== Build 1: everything is shipped to an empty database",
    "16 SUCCESS",
    "build 1: SUCCESS",
    "== Build 2: a new source has a mistake",
    "alembic/sql/20260701_loyalty.sql:6:49  42703 undefined_column",
    "(exit code 1)",
    "== Build 3: nobody has decided what to do, so the pipeline holds",
    "(exit code 3)",
    "== Build 4: the file is corrected, and that is a decision",
    "its file has changed since it failed",
    "20260708_vouchers: ERROR → SKIPPED",
    "its author is away · passed over",
    "20260708_vouchers: SKIPPED → RETRY",
    "20260708_vouchers · retried by",
    "19 SUCCESS",
    "build 7: SUCCESS",
    "That is the whole story.",
)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Give a TMPDIR that is short enough for a socket."""
    with scratch_folder() as folder:
        yield folder


@contextmanager
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the demo as ``make demo`` does, with its own place for temporary files."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # A database of the caller's, and a CI system around it, must play no part.
    foreign = {"PGHOST": "nowhere", "CODEBUILD_BUILD_NUMBER": "41", "CI": "true"}
    process = subprocess.Popen(
        ["bash", "demo/run"],
        cwd=REPOSITORY,
        env={**os.environ, **foreign, "PATH": path, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def told_to_the_end(process: subprocess.Popen[str]) -> None:
    """Expect the story's landmarks in their order."""
    told, _ = process.communicate()
    assert process.returncode == 0, told
    place = 0
    for landmark in LANDMARKS:
        place = told.find(landmark, place)
        assert place >= 0, f"{landmark!r} is missing, or comes too early:\n{told}"


def processes(place: Path) -> set[str]:
    """Return the processes that work in a folder, or have a file of it open.

    A command line does not tell: the server is handed its data as an open folder.
    """
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            links = [process / "cwd", *(process / "fd").iterdir()]
            if any(str(link.readlink()).startswith(str(place)) for link in links):
                found.add(process.name)
    return found


def test_the_demo_tells_its_story_twice_and_leaves_nothing_behind(temporary: Path) -> None:
    before = sorted((REPOSITORY / "alembic").rglob("*.sql"))
    with demo(temporary) as first, demo(temporary) as second:
        eventually(lambda: processes(temporary))
        told_to_the_end(first)
        told_to_the_end(second)
    assert processes(temporary) == set()
    assert list(temporary.glob("pgpipe-*")) == []
    assert sorted((REPOSITORY / "alembic").rglob("*.sql")) == before


def test_where_no_server_can_be_had_the_two_commands_that_help_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPIPE_PG_BIN", raising=False)
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(binaries, "_wheel_folder", lambda: None)
    project = Project(tmp_path, "scratch://pg")
    result = project.alembic("upgrade", "head", env={"PATH": str(tmp_path)})
    assert result.code == 5
    assert 'pip install "alembic-pgpipe[embedded]"' in result.text
    assert "apt-get install postgresql" in result.text
    assert "Traceback" not in result.text
