"""Fixtures of the integration tests: another user, and a server that is reached over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.certificates import HERE, Authority, Identity, authority
from tests.project import Project
from tests.scratch_folder import scratch_folder
from tests.tls_server import TlsServer, tls_server

EMPTIED = """
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO public;
"""


@pytest.fixture
def shipper(project: Project, role: str, tmp_path: Path) -> Project:
    """Give a project that runs as the test's ``role``."""
    assert isinstance(project.url, URL)
    return Project(tmp_path / "shipper", project.url.set(username=role))


@pytest.fixture(scope="session")
def signer() -> Authority:
    """Give the authority that has signed the server's certificate."""
    return authority("Tests")


@pytest.fixture(scope="session")
def identity(signer: Authority) -> Identity:
    """Give a good certificate of the server."""
    return signer.certify(*HERE)


@pytest.fixture(scope="session")
def running_over_tls(identity: Identity) -> Iterator[TlsServer]:
    """Give the session's server on TCP."""
    with (
        scratch_folder() as folder,
        tls_server(folder / "scratch", identity) as server,
    ):
        yield server


@pytest.fixture
def server(running_over_tls: TlsServer, identity: Identity) -> TlsServer:
    """Give it with a good certificate and an empty database; it takes nobody without TLS."""
    running_over_tls.present(identity)
    running_over_tls.execute(EMPTIED)
    return running_over_tls
