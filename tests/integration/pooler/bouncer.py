"""A PgBouncer of the test's own, between a project and the session's scratch server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import psycopg2
import pytest
from psycopg2 import extensions
from sqlalchemy import URL

from alembic_pgpipe.scratch.binaries import server_account
from alembic_pgpipe.scratch.server import SUPERUSER, ScratchServer
from tests.background import eventually
from tests.conftest import connect_to
from tests.project import Project
from tests.scratch_folder import scratch_folder

PORT = 6432
Options: TypeAlias = Mapping[str, object]
NONE: Options = MappingProxyType({})
PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
# What a client sees of the connection that it is given.
SEEN = """
    SELECT name, setting FROM pg_settings WHERE source = 'session'
        AND name NOT IN ('client_encoding', 'application_name')
    UNION SELECT 'user', current_user || ' ' || session_user
    UNION SELECT 'locks', objid::text FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION SELECT 'prepared', name FROM pg_prepared_statements
    UNION SELECT 'temporary', relname FROM pg_class
        WHERE relnamespace = pg_my_temp_schema() AND pg_my_temp_schema() <> 0
    ORDER BY 1, 2
"""
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


@dataclass(frozen=True)
class Bouncer:
    """A running PgBouncer; ``socket`` is its folder."""

    socket: Path

    def url(self, target: URL) -> URL:
        """Return the URL of a database of the server, through the pooler."""
        return target.set(query={"host": str(self.socket), "port": str(PORT)})

    def idle(self, target: URL) -> int:
        """Return how many connections to a database nobody uses."""
        connection = connect_to(self.url(target).set(database="pgbouncer"))
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW POOLS")
                names = [column.name for column in cursor.description or ()]
                pools = [dict(zip(names, row, strict=True)) for row in cursor]
        finally:
            connection.close()
        return sum(int(p["sv_idle"]) for p in pools if p["database"] == target.database)


def seen_by(client: extensions.connection) -> list[tuple[object, ...]]:
    """Return what a client sees of others on its connection to the server."""
    with client.cursor() as cursor:
        cursor.execute(SEEN)
        return cursor.fetchall()


@contextmanager
def bouncer(
    server: ScratchServer, pool_mode: str, options: Options = NONE, *, shared: str = ""
) -> Iterator[Bouncer]:
    """Run PgBouncer in front of a server; ``options`` are lines of its configuration.

    The pool of ``shared``, a database, is in transaction mode whatever the others are.
    """
    account = server_account(server.directory / "data")
    with scratch_folder() as folder:
        place = folder
        (place / "users").write_text(f'"{SUPERUSER}" ""\n')
        settings = {"pool_mode": pool_mode, **options}
        (place / "pgbouncer.ini").write_text(_configuration(server, place, settings, shared))
        account.own(place)
        process = subprocess.Popen(
            [str(PROGRAM), "-q", place / "pgbouncer.ini"],
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: _answers(place))
            yield Bouncer(place)
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextmanager
def behind(project: Project, pooler: Bouncer) -> Iterator[Project]:
    """Give the same project with the pooler in its URL, for as long as the context lasts."""
    assert isinstance(project.url, URL)
    yield Project(project.folder, pooler.url(project.url), dict(project.options))
    project.configure()


def _configuration(server: ScratchServer, place: Path, options: Options, shared: str) -> str:
    settings = {
        "listen_addr": "",
        "unix_socket_dir": place,
        "listen_port": PORT,
        "auth_type": "trust",
        "auth_file": place / "users",
        "admin_users": SUPERUSER,
        "logfile": place / "log",
        **options,
    }
    target = f"host={server.socket} port=5432"
    databases = [f"* = {target}"]
    if shared:
        databases.append(f"{shared} = {target} pool_mode=transaction")
    lines = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(["[databases]", *databases, "[pgbouncer]", *lines, ""])


def _answers(place: Path) -> bool:
    target = URL.create("postgresql", SUPERUSER, database="pgbouncer")
    try:
        connect_to(Bouncer(place).url(target)).close()
    except psycopg2.OperationalError:
        return False
    return True
