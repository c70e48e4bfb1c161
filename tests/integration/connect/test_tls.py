"""TLS with a server that insists on it: who gets in, and what the others are told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.certificates import HERE, Authority, Identity, authority
from tests.project import Project
from tests.refusal import refused
from tests.tls_server import ANY_WAY, HOST, PASSWORD, TlsServer, tls_server

ROOT = "certs/ca.pem"
# It runs nowhere but over TLS.
OVER_TLS = "SELECT 1 / ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid();\n"
BUNDLE = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"


@pytest.fixture(scope="module")
def signer() -> Authority:
    return authority("Tests")


@pytest.fixture(scope="module")
def good(signer: Authority) -> Identity:
    return signer.certify(*HERE)


@pytest.fixture(scope="module")
def running(good: Identity) -> Iterator[TlsServer]:
    with (
        tempfile.TemporaryDirectory(prefix="pgpipe-tests-") as folder,
        tls_server(Path(folder) / "scratch", good) as server,
    ):
        yield server


@pytest.fixture
def server(running: TlsServer, good: Identity) -> TlsServer:
    """Give a server that has a good certificate, and takes nobody without TLS."""
    running.present(good)
    return running


@pytest.fixture
def project(
    server: TlsServer, signer: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Give a project that knows the server's authority, at a desk that knows none."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project = Project(tmp_path / "project", server.url())
    place(project, ROOT, signer.certificate)
    return project


def place(project: Project, name: str, content: bytes) -> Path:
    """Write a file of the project."""
    path = project.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def at(project: Project, url: URL, **query: str) -> Project:
    """Send the project to another URL."""
    project.url = url.update_query_dict(query)
    project.configure()
    return project


def told(
    project: Project, *words: str, code: int = 5, env: Mapping[str, str] | None = None
) -> str:
    """Expect that a command is refused with these words, and that none has the password."""
    line = refused(project.alembic("pgpipe", "status", env=env), *words, code=code)
    assert PASSWORD not in line
    return line


def ships(project: Project, server: TlsServer, env: Mapping[str, str] | None = None) -> str:
    """Expect that a run goes through, over TLS in all that it opens; return what it says."""
    project.wrapped(a=OVER_TLS)
    try:
        return project.ok("upgrade", "head", env=env).output
    finally:
        server.execute("DROP OWNED BY shipper")
        server.execute("GRANT ALL ON SCHEMA public TO shipper")


# -- who gets in -----------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["url", "option", "variable", "home", "default"])
def test_a_server_that_proves_who_it_is_is_believed(
    project: Project, server: TlsServer, given: str, signer: Authority
) -> None:
    root = str(project.folder / ROOT)
    env: dict[str, str] = {}
    if given == "url":
        at(project, server.url(), sslmode="verify-full", sslrootcert=root)
    elif given == "option":
        project.configure(sslmode="verify-full", sslrootcert=ROOT)
    elif given == "variable":
        env = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": root}
    elif given == "home":
        project.configure(sslmode="verify-full")
        place(project, "../home/.postgresql/root.crt", signer.certificate)
    else:
        project.configure(sslrootcert=ROOT)
    said = ships(project, server, env=env)
    assert f"{HOST}:{server.port} as shipper · TLS verify-full\n" in said


def test_whoever_answers_is_believed_where_nothing_more_is_asked(
    project: Project, server: TlsServer
) -> None:
    project.configure(sslmode="require")
    server.present(authority("Others").certify("elsewhere.test"))
    assert "as shipper · TLS require\n" in ships(project, server)


def test_plain_text_is_named_where_it_is_asked_for(project: Project, server: TlsServer) -> None:
    server.present(None, ANY_WAY)
    project.configure(sslmode="disable")
    assert "as shipper · no TLS" in project.ok("pgpipe", "wait").output


# -- authorities that are missing ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_file_that_is_not_there_is_named(project: Project, mode: str) -> None:
    project.configure(sslmode=mode, sslrootcert="certs/gone.pem")
    told(project, "pgpipe.sslrootcert names certs/gone.pem", BUNDLE, code=1)


def test_verification_without_authorities_names_the_option(project: Project) -> None:
    project.configure(sslmode="verify-full")
    told(project, "no authority is known", "pgpipe.sslrootcert", BUNDLE, code=1)
