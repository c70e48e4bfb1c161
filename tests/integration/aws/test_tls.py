"""Credentials from AWS travel over TLS, or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.certificates import HERE, Authority, authority
from tests.project import Project
from tests.refusal import refused
from tests.tls_server import ANY_WAY, DATABASE, HOST, PASSWORD, USER, TlsServer, tls_server

SECRET = "shop/tls"
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def signer() -> Authority:
    return authority("Tests")


@pytest.fixture(scope="module")
def running() -> Iterator[TlsServer]:
    with (
        tempfile.TemporaryDirectory(prefix="pgpipe-tests-") as folder,
        tls_server(Path(folder) / "scratch", None) as server,
    ):
        yield server


@pytest.fixture
def server(running: TlsServer, signer: Authority) -> TlsServer:
    """Give a server that has a good certificate, and takes nobody without TLS."""
    running.present(signer.certify(*HERE))
    return running


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """Give the variables with which an AWS of the tests' own is found."""
    moto = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": REGION,
    }
    moto.stop()


@pytest.fixture
def project(
    server: TlsServer,
    aws: Mapping[str, str],
    signer: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    """Give a project whose credentials are in AWS, at a desk that knows no authority."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("secretsmanager", region_name=REGION)
    fields = {"username": USER, "password": PASSWORD, "host": HOST, "port": server.port}
    text = json.dumps({**fields, "dbname": DATABASE, "engine": "postgres"})
    secret = client.create_secret(Name=SECRET, SecretString=text)
    project = Project(tmp_path / "project", f"secretsmanager://{SECRET}")
    (project.folder / "ca.pem").write_bytes(signer.certificate)
    yield project
    client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)


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
    told(project, f"PGSSLMODE is {mode}", "in plain text", code=1, env={"PGSSLMODE": mode})
    project.configure(sslmode=mode)
    told(project, f"pgpipe.sslmode is {mode}", "in plain text", code=1)


def test_a_service_file_of_libpqs_does_not_weaken_it(
    project: Project, server: TlsServer
) -> None:
    service = project.write("service.conf", "[shop]\nsslmode=disable\n")
    server.present(None, ANY_WAY)
    env = {"PGSERVICEFILE": str(service), "PGSERVICE": "shop", "PGSSLMODE": "require"}
    told(project, "server does not support SSL", env=env)
