"""A command in a process of its own: for signals, and for two runs at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import pytest

from tests.project import Project

T = TypeVar("T")
POLL_SECONDS = 0.02
ACTIVE = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE %s"
)


@contextmanager
def in_background(
    project: Project, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Type ``alembic …`` in the project's folder, in a process that ends with the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=project.folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def eventually(condition: Callable[[], T], seconds: float = 20.0) -> T:
    """Return a condition's first true value; fail the test where there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return found


def busy_with(project: Project, statement: str) -> int:
    """Wait until a server process runs a statement like this; return its pid."""
    [(pid,), *_] = eventually(lambda: project.query(ACTIVE, statement))
    return int(pid)
