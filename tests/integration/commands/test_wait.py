"""``alembic pgpipe wait``: until the database answers, or the time is up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.config import Config

from alembic_pgpipe.commands.wait import wait
from alembic_pgpipe.scratch.server import SUPERUSER, scratch_server
from tests.project import Project
from tests.scratch_folder import scratch_folder


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder for a server, with a path short enough for its socket."""
    with scratch_folder() as folder:
        yield folder / "pg"


def test_wait_is_over_at_once_where_the_database_answers(project: Project) -> None:
    result = project.ok("pgpipe", "wait", "--timeout", "0")
    assert result.output.startswith("database test_")
    assert result.output.endswith(" answers\n")


def test_wait_gives_up_with_the_last_error(tmp_path: Path) -> None:
    project = Project(tmp_path, "postgresql://app:hidden@127.0.0.1:1/shop")
    result = project.alembic("pgpipe", "wait", "--timeout", "0")
    assert result.code == 5
    assert "Gave up after 0 s." in result.errors
    assert "shop at 127.0.0.1:1 as app does not answer" in result.errors
    assert "hidden" not in result.text


def test_wait_ends_when_the_server_comes_up(tmp_path: Path, place: Path) -> None:
    url = f"postgresql://{SUPERUSER}@/postgres?host={place / 'socket'}"
    project = Project(tmp_path, url)
    told: list[str] = []
    with ExitStack() as server:

        def start(reason: str) -> None:
            told.append(reason)
            server.enter_context(scratch_server(place, os.environ))

        config = Config(str(project.folder / "alembic.ini"))
        label = wait(config, timeout=60, say=start)
    assert label.startswith("database postgres at ")
    [reason] = told
    assert "does not answer" in reason


def test_wait_does_not_wait_for_a_mistake(tmp_path: Path) -> None:
    result = Project(tmp_path, "mysql://app@localhost/shop").alembic("pgpipe", "wait")
    assert result.code == 1
    assert "'mysql'" in result.text


def test_wait_creates_nothing(project: Project) -> None:
    project.ok("pgpipe", "wait")
    assert project.scalar("SELECT to_regclass('public.migrations')") is None


@pytest.mark.parametrize("seconds", ["nan", "-3", "inf"])
@pytest.mark.parametrize("verb", ["wait", "close"])
def test_a_time_that_no_clock_counts_is_refused(
    project: Project, verb: str, seconds: str
) -> None:
    result = project.alembic("pgpipe", verb, "--timeout", seconds)
    assert result.code == 2
    assert "must be 0 or more seconds" in result.text
