"""A PostgreSQL on TCP that talks TLS and asks for passwords, as a managed one does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy import URL

from alembic_pgpipe.scratch.binaries import server_account
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.background import eventually
from tests.certificates import Authority, Identity
from tests.conftest import connect_to

HOST = "127.0.0.1"
DATABASE = "shop"
USER = "shipper"
PASSWORD = "Tls-7%zu/é'@\\9"
OVER_TLS_ONLY = "hostssl all all all scram-sha-256"
ANY_WAY = "host all all all scram-sha-256"
TURN = "SELECT current_setting('tests.turn', true)"


@dataclass(frozen=True)
class TlsServer:
    """A server with a database and a user; ``present`` decides what strangers meet."""

    scratch: ScratchServer
    port: int
    turns: count[int]

    def url(self, host: str = HOST, password: str | None = PASSWORD, **query: str) -> URL:
        """Return the URL of its database over TCP."""
        return URL.create(
            "postgresql",
            username=USER,
            password=password,
            host=host,
            port=self.port,
            database=DATABASE,
            query=query,
        )

    def over_socket(self, database: str = DATABASE) -> URL:
        """Return the superuser's URL of a database, with neither TLS nor password."""
        return self.scratch.url(database).update_query_dict({"port": str(self.port)})

    def execute(self, statement: str, *values: object, database: str = DATABASE) -> None:
        """Run a statement as the superuser."""
        connection = connect_to(self.over_socket(database))
        try:
            connection.cursor().execute(statement, values or None)
        finally:
            connection.close()

    def present(
        self,
        identity: Identity | None,
        rule: str = OVER_TLS_ONLY,
        *,
        clients: Authority | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Show another certificate from now on; without one there is no TLS.

        ``rule`` is for all who come over TCP, ``clients`` is whose certificates of clients
        are believed.
        """
        turn = str(next(self.turns))
        options = {"tests.turn": turn, "ssl": "off", **(settings or {})}
        if identity is not None:
            options |= {
                "ssl": "on",
                "ssl_cert_file": f"{turn}.crt",
                "ssl_key_file": f"{turn}.key",
            }
            self._write(f"{turn}.crt", identity.certificate)
            self._write(f"{turn}.key", identity.key)
        if clients is not None:
            options["ssl_ca_file"] = f"{turn}.ca"
            self._write(f"{turn}.ca", clients.certificate)
        lines = (f"{name} = '{value}'\n" for name, value in options.items())
        self._write("postgresql.auto.conf", "".join(lines).encode())
        self._write("pg_hba.conf", f"local all postgres trust\n{rule}\n".encode())
        self.execute("SELECT pg_reload_conf()", database="postgres")
        eventually(lambda: self._turn() == turn)

    def _write(self, name: str, content: bytes) -> None:
        data = self.scratch.directory / "data"
        path = data / name
        path.write_bytes(content)
        path.chmod(0o600)
        server_account(data).own(path)

    def _turn(self) -> object:
        # A new connection is served by a process that has what the server has read last.
        connection = connect_to(self.over_socket("postgres"))
        try:
            cursor = connection.cursor()
            cursor.execute(TURN)
            [(turn,)] = cursor.fetchall()
        finally:
            connection.close()
        return turn


@contextmanager
def tls_server(folder: Path, identity: Identity | None) -> Iterator[TlsServer]:
    """Run a server whose data is in ``folder``, and which shows this certificate."""
    port = _free_port()
    settings = {"listen_addresses": HOST, "port": str(port)}
    with scratch_server(folder, os.environ, settings=settings) as scratch:
        server = TlsServer(scratch, port, count(1))
        server.execute(f"CREATE ROLE {USER} LOGIN PASSWORD %s", PASSWORD, database="postgres")
        server.execute(f"CREATE DATABASE {DATABASE} OWNER {USER}", database="postgres")
        server.present(identity)
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
