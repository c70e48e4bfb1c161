"""Fixtures: one scratch server for the session, one database for each test.

``connect`` opens connections for assertions; they end with the test.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import extensions, sql
from sqlalchemy import URL

from alembic_pgpipe.rehearsal import database as rehearsal_database
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.project import Project
from tests.scratch_folder import scratch_folder

Connect: TypeAlias = Callable[[URL], extensions.connection]

TEMPLATE = "pgpipe_template"
# In memory it takes half the time of what is the default since then; before, it was the only.
FILE_COPY_SINCE = 150000
# Which database, which build and whose credentials: each test says so itself.
FOREIGN_VARIABLES = (
    "PG",
    "CI",
    "CODEBUILD_",
    "GITHUB_",
    "GITLAB_",
    "JENKINS_",
    "BUILD_",
    "BUILDKITE_",
    "BITBUCKET_",
    "DRONE_",
    "TRAVIS_",
    "APPVEYOR_",
    "SEMAPHORE_",
    "GO_",
    "TEAMCITY_",
    "HARNESS_",
    "CF_",
    "bamboo_",
    "AWS_",
    "SECRET_NAME",
)
KEPT_VARIABLES = ("PGPIPE_PG_BIN",)
# Python would look for garbage so often that it takes a tenth of the tests' time.
GARBAGE_THRESHOLDS = (100_000, 50, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Let one worker more than there are processors run: each often waits for its server."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return (len(processors) or os.cpu_count() or 1) + 1


def pytest_configure() -> None:
    """Let each worker look for garbage less often."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test the same environment, at a desk and in CI."""
    for name in os.environ:
        if name.startswith(FOREIGN_VARIABLES) and name not in KEPT_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def scratch() -> Iterator[ScratchServer]:
    """Give the session's server."""
    with (
        scratch_folder() as folder,
        scratch_server(folder / "scratch", os.environ) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def rehearsal_server() -> Iterator[ScratchServer]:
    """Give the session's server for rehearsals, which drop everything that they find."""
    with (
        scratch_folder() as folder,
        scratch_server(folder / "scratch", os.environ) as server,
    ):
        yield server


@pytest.fixture
def shared_rehearsal(
    rehearsal_server: ScratchServer, monkeypatch: pytest.MonkeyPatch
) -> ScratchServer:
    """Let rehearsals use the session's server instead of starting one each."""

    @contextmanager
    def started(_directory: Path, _environ: Mapping[str, str]) -> Iterator[ScratchServer]:
        yield rehearsal_server

    monkeypatch.setattr(rehearsal_database, "scratch_server", started)
    return rehearsal_server


@pytest.fixture(scope="session")
def template(scratch: ScratchServer) -> str:
    """Give the name of the database that each test's database is cloned from."""
    _administer(scratch, "CREATE DATABASE {}", TEMPLATE)
    return TEMPLATE


@pytest.fixture
def database(scratch: ScratchServer, template: str) -> Iterator[URL]:
    """Give the URL of a database of the test's own."""
    with _clone(scratch, template) as url:
        yield url


@pytest.fixture
def second_database(scratch: ScratchServer, template: str) -> Iterator[URL]:
    """Give the URL of another database of the test's own."""
    with _clone(scratch, template) as url:
        yield url


@pytest.fixture
def project(tmp_path: Path, database: URL) -> Project:
    """Give an empty project on a database of the test's own."""
    return Project(tmp_path, database)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Give a function that opens an autocommit connection for assertions."""
    with ExitStack() as stack:

        def open_connection(url: URL) -> extensions.connection:
            opened = connect_to(url)
            stack.callback(opened.close)
            return opened

        yield open_connection


@contextmanager
def _clone(scratch: ScratchServer, template: str) -> Iterator[URL]:
    name = f"test_{uuid4().hex[:12]}"
    _administer(scratch, "CREATE DATABASE {} TEMPLATE {}", name, template)
    yield scratch.url(name)
    _administer(scratch, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def connect_to(url: URL) -> extensions.connection:
    """Open an autocommit connection."""
    arguments: dict[str, Any] = {
        **url.translate_connect_args(username="user", database="dbname"),
        **url.query,
    }
    opened: extensions.connection = psycopg2.connect(**arguments)
    opened.autocommit = True
    return opened


def _administer(server: ScratchServer, statement: str, *names: str) -> None:
    connection = connect_to(server.url())
    if "TEMPLATE" in statement and connection.server_version >= FILE_COPY_SINCE:
        statement += " STRATEGY file_copy"
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
    finally:
        connection.close()
