"""A machine that vanishes without a word: both ends of every connection notice in a minute."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import URL, text

from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.connect.lock import holder, run_lock
from alembic_pgpipe.scratch.server import scratch_server
from alembic_pgpipe.settings import read_settings
from tests.project import Project
from tests.scratch_folder import scratch_folder

# Kernels do the rest; test_vanished lets a machine vanish.
SETTINGS = (
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
)
EXPECTED = [("30",), ("10",), ("3",), ("60000",)]
ASKED = " UNION ALL ".join(f"SELECT current_setting('{name}')" for name in SETTINGS)
KEPT = f"CREATE TABLE public.kept AS {ASKED};\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def on_tcp(tmp_path: Path) -> Iterator[Project]:
    """Give a project on a server behind TCP; on a Unix socket nobody can vanish."""
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": str(port)}
    with (
        scratch_folder() as folder,
        scratch_server(folder / "pg", os.environ, settings=settings),
    ):
        url = URL.create("postgresql", "postgres", host="127.0.0.1", port=port)
        yield Project(tmp_path, url.set(database="postgres"))


def test_every_session_is_given_up_by_the_server_when_its_client_vanished(
    on_tcp: Project,
) -> None:
    settings = read_settings(Config(str(on_tcp.folder / "alembic.ini")))
    with (
        open_database(settings, {}) as database,
        database.connect() as connection,
        run_lock(database, "public", "7", 0, lambda line: None),
    ):
        assert [tuple(row) for row in connection.execute(text(ASKED))] == EXPECTED
        found = holder(connection, "public")
        assert found is not None
        assert found.age is not None
        assert 0 <= found.age.total_seconds() < 60
        driver = connection.connection.dbapi_connection
        assert driver is not None
        assert driver.info.dsn_parameters["tcp_user_timeout"] == "60000"
    on_tcp.wrapped(a=KEPT)
    on_tcp.ok("upgrade", "head")
    assert on_tcp.query("SELECT * FROM kept") == EXPECTED
