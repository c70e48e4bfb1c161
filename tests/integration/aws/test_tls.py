"""Credentials from AWS travel over TLS, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.integration.aws.conftest import FakeAws
from tests.project import Project
from tests.refusal import refused
from tests.tls_server import ANY_WAY, DATABASE, HOST, PASSWORD, USER, TlsServer


@pytest.fixture
def project(
    server: TlsServer,
    aws: FakeAws,
    signer: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """Give a project whose credentials are in AWS, at a desk that knows no authority."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project = Project(tmp_path / "project", f"secretsmanager://{aws.secret(fields(server))}")
    (project.folder / "ca.pem").write_bytes(signer.certificate)
    return project


def fields(server: TlsServer, **more: str) -> dict[str, object]:
    """Return what RDS would keep in a secret."""
    login = {"username": USER, "password": PASSWORD, "host": HOST, "port": server.port}
    return {**login, "dbname": DATABASE, "engine": "postgres", **more}


def told(
    project: Project, *words: str, code: int = 5, env: Mapping[str, str] | None = None
) -> None:
    line = refused(project.alembic("pgpipe", "status", env=env), *words, code=code)
    assert PASSWORD not in line


def spoken(project: Project, env: Mapping[str, str] | None = None) -> str:
    """Return what the label says of TLS."""
    return project.ok("pgpipe", "wait", "--timeout", "0", env=env).output


def test_tls_is_required_where_no_authority_is_known(project: Project) -> None:
    assert "as shipper · TLS require" in spoken(project)


@pytest.mark.parametrize("given", ["option", "variable", "home"])
def test_all_is_verified_where_an_authority_is_known(
    project: Project, signer: Authority, given: str
) -> None:
    env = {}
    if given == "option":
        project.configure(sslrootcert="ca.pem")
    if given == "variable":
        env = {"PGSSLROOTCERT": str(project.folder / "ca.pem")}
    if given == "home":
        home = project.folder.parent / "home/.postgresql"
        home.mkdir(parents=True)
        (home / "root.crt").write_bytes(signer.certificate)
    assert "as shipper · TLS verify-full" in spoken(project, env)


def test_a_server_that_offers_no_tls_is_sent_nothing(
    project: Project, server: TlsServer
) -> None:
    server.present(None, ANY_WAY)
    told(project, "server does not support SSL", "pgpipe.sslmode = disable")
    project.configure(sslmode="disable")
    assert "as shipper · no TLS" in spoken(project)


@pytest.mark.parametrize("mode", ["prefer", "allow"])
def test_a_mode_that_leaves_it_to_the_server_is_refused(project: Project, mode: str) -> None:
    told(project, "PGSSLMODE", f"is {mode}: ", "in plain text", code=1, env={"PGSSLMODE": mode})
    project.configure(sslmode=mode)
    told(project, f"pgpipe.sslmode is {mode}", "in plain text", code=1)


def test_a_service_file_of_libpqs_does_not_weaken_it(
    project: Project, server: TlsServer
) -> None:
    service = project.write("service.conf", "[shop]\nsslmode=disable\n")
    server.present(None, ANY_WAY)
    env = {"PGSERVICEFILE": str(service), "PGSERVICE": "shop", "PGSSLMODE": "require"}
    told(project, "server does not support SSL", env=env)


@pytest.mark.parametrize("mode", ["prefer", "verify_full"])
def test_a_secret_that_says_what_cannot_be_is_named(
    project: Project, server: TlsServer, aws: FakeAws, mode: str
) -> None:
    project.url = f"secretsmanager://{aws.secret(fields(server, sslmode=mode))}"
    project.configure()
    told(project, "sslmode in the secret", mode, code=1)


@pytest.mark.parametrize("given", ["variable", "option", "url"])
def test_a_secret_has_the_last_word_only(
    project: Project, server: TlsServer, aws: FakeAws, given: str
) -> None:
    url = f"secretsmanager://{aws.secret(fields(server, sslmode='disable'))}"
    project.url = f"{url}?sslmode=require" if given == "url" else url
    project.configure(**({"sslmode": "require"} if given == "option" else {}))
    env = {"PGSSLMODE": "require"} if given == "variable" else {}
    assert "as shipper · TLS require" in spoken(project, env)
