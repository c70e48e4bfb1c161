"""A forked client is a process like any other: output, exit code, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.crash.server import CrashServer
from tests.crash.zygote import Zygote
from tests.project import Project


def test_a_client_says_and_ends_as_an_ordinary_process_does(
    crashing: CrashServer, forked: Zygote, tmp_path: Path
) -> None:
    project = Project(tmp_path, "")
    client = forked.start(project.folder, ("upgrade", "head"), {}, tmp_path / "out")
    ordinary = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert client.wait() == ordinary.returncode == 1
    assert client.output == ordinary.stdout
    assert "No database is named" in client.output


def test_a_killed_client_is_told_from_others(
    crashing: CrashServer, forked: Zygote, tmp_path: Path
) -> None:
    project = Project(tmp_path, crashing.url())
    words = ("pgpipe", "wait", "--timeout", "60")
    project.url = "postgresql://nobody@127.0.0.1:1/nowhere"
    project.configure()
    first = forked.start(project.folder, words, {}, tmp_path / "first")
    second = forked.start(project.folder, words, {}, tmp_path / "second")
    second.send(signal.SIGKILL)
    assert second.wait() == -signal.SIGKILL
    first.send(signal.SIGTERM)
    assert first.wait() in (130, -signal.SIGTERM)
