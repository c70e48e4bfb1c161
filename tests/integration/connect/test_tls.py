"""TLS with a server that insists on it: who gets in, and what the others are told."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import URL

from tests.certificates import EXPIRED_DAYS, HERE, Authority, Identity, authority
from tests.project import Project
from tests.refusal import refused
from tests.tls_server import ANY_WAY, HOST, PASSWORD, TlsServer

ROOT = "certs/ca.pem"
# It runs nowhere but over TLS.
OVER_TLS = "SELECT 1 / ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid();\n"
BUNDLE = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"


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


# -- who is not believed ---------------------------------------------------------------------


def test_another_authority_is_not_believed(project: Project, server: TlsServer) -> None:
    server.present(authority("Others").certify(*HERE))
    project.configure(sslrootcert=ROOT)
    line = told(
        project,
        f"No connection to database shop at {HOST}:{server.port}",
        "certificate verify failed (unable to get local issuer certificate; authorities: "
        f"{project.folder / ROOT})",
        "no authority which is believed has signed",
        "pgpipe.sslrootcert",
        BUNDLE,
    )
    assert "refuses" not in line


def test_nobody_waits_for_a_certificate_to_be_believed(
    project: Project, server: TlsServer
) -> None:
    server.present(authority("Others").certify(*HERE))
    project.configure(sslrootcert=ROOT)
    waiting = project.alembic("pgpipe", "wait", "--timeout", "3")
    assert "Gave up" not in refused(waiting, "certificate verify failed", ROOT, code=5)


def test_a_certificate_that_begins_later_is_waited_for(
    project: Project, server: TlsServer, signer: Authority
) -> None:
    server.present(signer.certify(*HERE, days=(1, 2)))
    project.configure(sslrootcert=ROOT)
    waiting = project.alembic("pgpipe", "wait", "--timeout", "1")
    refused(waiting, "Gave up after 1 s", "certificate is not yet valid", "clocks", code=5)


def test_a_certificate_that_signs_itself_is_not_believed(
    project: Project, server: TlsServer
) -> None:
    others = authority("Others")
    server.present(others.certify(*HERE).followed_by(others))
    project.configure(sslrootcert=ROOT)
    told(project, "self-signed certificate in certificate chain", "no authority which", BUNDLE)


def test_a_certificate_for_another_host_is_not_believed(
    project: Project, server: TlsServer, signer: Authority
) -> None:
    server.present(signer.certify("db.example.test"))
    project.configure(sslrootcert=ROOT)
    told(
        project,
        'server certificate for "db.example.test"',
        f'does not match host name "{HOST}"',
        "Connect to a name that the certificate has",
        "endpoint",
    )
    project.configure(sslmode="verify-ca")
    ships(project, server)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (EXPIRED_DAYS, ("certificate has expired", "Renew the server's certificate")),
        ((1, 2), ("certificate is not yet valid", "clocks")),
    ],
)
def test_a_certificate_out_of_date_is_not_believed(
    project: Project,
    server: TlsServer,
    signer: Authority,
    days: tuple[int, int],
    words: tuple[str, str],
) -> None:
    server.present(signer.certify(*HERE, days=days))
    project.configure(sslrootcert=ROOT)
    told(project, *words)


def test_the_systems_authorities_do_not_know_the_tests_own(project: Project) -> None:
    project.configure(sslrootcert="system")
    told(project, "certificate verify failed (authorities: system)", "pgpipe.sslrootcert")
    project.configure(sslmode="require")
    told(project, "weak sslmode", "pgpipe.sslmode = verify-full")


# -- no TLS, or not the right one ------------------------------------------------------------


@pytest.mark.parametrize("given", ["url", "option", "variable"])
def test_plain_text_that_the_server_refuses_names_the_option(
    project: Project, server: TlsServer, given: str
) -> None:
    env = {"PGSSLMODE": "disable"} if given == "variable" else {}
    if given == "url":
        at(project, server.url(), sslmode="disable")
    if given == "option":
        project.configure(sslmode="disable")
    told(project, "no encryption", "rds.force_ssl", "pgpipe.sslmode = require", env=env)


@pytest.mark.parametrize("given", ["url", "option", "variable"])
def test_a_server_without_tls_is_not_spoken_to_in_plain_text(
    project: Project, server: TlsServer, given: str
) -> None:
    server.present(None, ANY_WAY)
    env = {"PGSSLMODE": "require"} if given == "variable" else {}
    if given == "url":
        at(project, server.url(), sslmode="require")
    if given == "option":
        project.configure(sslmode="require")
    told(
        project, "server does not support SSL", "ssl = on", "pgpipe.sslmode = disable", env=env
    )


def test_authorities_alone_keep_a_server_without_tls_away(
    project: Project, server: TlsServer
) -> None:
    server.present(None, ANY_WAY)
    project.configure(sslrootcert=ROOT)
    told(project, "server does not support SSL")


def test_a_rule_that_lets_nobody_in_is_not_taken_for_a_wish_for_tls(
    project: Project, server: TlsServer, identity: Identity
) -> None:
    server.present(identity, "hostssl nowhere all all scram-sha-256")
    line = told(project, "SSL encryption", "no encryption", "does not let this user in")
    assert "pgpipe.sslmode" not in line
    server.present(identity, "host all all all reject")
    told(project, "pg_hba.conf rejects connection", "does not let this user in")


def test_a_wrong_password_is_not_mistaken_for_a_wish_for_tls(
    project: Project, server: TlsServer
) -> None:
    at(project, server.url(password="another"))
    line = told(project, "password authentication failed", "no encryption", "PGPASSWORD")
    assert "pgpipe.sslmode" not in line


@pytest.mark.parametrize(
    "query",
    [
        {"ssl_max_protocol_version": "TLSv1.2", "sslmode": "require"},
        # After TLS, libpq tries plain text, and is refused once more.
        {"ssl_max_protocol_version": "TLSv1.2"},
        {"ssl_min_protocol_version": "TLSv1.3", "ssl_max_protocol_version": "TLSv1.2"},
    ],
)
def test_no_version_in_common_names_the_settings(
    project: Project, server: TlsServer, identity: Identity, query: dict[str, str]
) -> None:
    server.present(identity, settings={"ssl_min_protocol_version": "TLSv1.3"})
    told(
        at(project, server.url(), **query),
        "no version of TLS in common",
        "ssl_min_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
    )


def test_an_address_without_a_name_cannot_be_verified(
    project: Project, server: TlsServer
) -> None:
    address = {"hostaddr": HOST, "port": str(server.port)}
    url = URL.create("postgresql", "shipper", PASSWORD, database="shop", query=address)
    project.configure(sslrootcert=ROOT)
    told(at(project, url), "host name must be specified", "besides hostaddr")


@contextmanager
def web_server() -> Iterator[int]:
    """Answer whoever comes with HTTP; give the port."""
    with socket.create_server((HOST, 0)) as listening:

        def answer() -> None:
            visitor, _ = listening.accept()
            with visitor:
                visitor.recv(64)
                visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join()


def test_who_is_no_postgresql_is_not_asked_for_another_sslmode(project: Project) -> None:
    project.configure(sslmode="require")
    assert isinstance(project.url, URL)
    with web_server() as port:
        told(at(project, project.url.set(port=port)), "is no PostgreSQL", "host and port")


# -- authorities that are missing ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_file_that_is_not_there_is_named(project: Project, mode: str) -> None:
    project.configure(sslmode=mode, sslrootcert="certs/gone.pem")
    told(project, "pgpipe.sslrootcert names certs/gone.pem", BUNDLE, code=1)


def test_verification_without_authorities_names_the_option(project: Project) -> None:
    project.configure(sslmode="verify-full")
    told(project, "no authority is known", "pgpipe.sslrootcert", BUNDLE, code=1)


def test_a_file_that_is_no_certificate_is_named(project: Project) -> None:
    place(project, ROOT, b"<html>Not found</html>")
    project.configure(sslrootcert=ROOT)
    told(project, "could not read root certificate file", ROOT, "pgpipe.sslrootcert", BUNDLE)


def test_a_service_file_that_names_no_authority_is_told_the_option(
    project: Project, server: TlsServer
) -> None:
    lines = f"[shop]\nhost={HOST}\nport={server.port}\nsslmode=verify-full\n"
    service = place(project, "service.conf", lines.encode())
    project.url = ""
    project.configure()
    env = {"PGSERVICEFILE": str(service), "PGSERVICE": "shop"}
    told(project, 'root.crt" does not exist', "pgpipe.sslrootcert", BUNDLE, env=env)


# -- the client's own certificate ------------------------------------------------------------


def test_a_server_that_asks_who_the_client_is_gets_an_answer(
    project: Project, server: TlsServer, identity: Identity, signer: Authority
) -> None:
    server.present(
        identity, "hostssl all all all scram-sha-256 clientcert=verify-ca", clients=signer
    )
    told(
        project,
        "valid client certificate",
        "PGSSLCERT",
        "PGSSLKEY",
        env={"PGSSLMODE": "require"},
    )
    mine = own(project, signer.certify(subject="shipper"))
    ships(at(project, server.url(), sslmode="require", **mine), server)


@pytest.mark.parametrize("fault", ["authority", "date"])
def test_a_client_that_the_server_does_not_believe_is_told_so(
    project: Project, server: TlsServer, identity: Identity, signer: Authority, fault: str
) -> None:
    server.present(identity, clients=signer)
    of_others = authority("Others").certify(subject="shipper")
    late = signer.certify(subject="shipper", days=EXPIRED_DAYS)
    mine = own(project, of_others if fault == "authority" else late)
    at(project, server.url(), sslmode="require", **mine)
    told(project, "alert", "does not believe the client's certificate", "ssl_ca_file")


def test_a_key_that_others_may_read_is_taken_from_them(
    project: Project, server: TlsServer, signer: Authority
) -> None:
    mine = own(project, signer.certify(subject="shipper"))
    at(project, server.url(), sslmode="require", **mine)
    Path(mine["sslkey"]).chmod(0o644)
    told(project, f'chmod 600 "{mine["sslkey"]}"')


@pytest.mark.parametrize("fault", ["missing", "another", "nonsense"])
def test_a_key_that_cannot_be_used_is_named(
    project: Project, server: TlsServer, signer: Authority, fault: str
) -> None:
    mine = own(project, signer.certify(subject="shipper"))
    if fault == "missing":
        mine["sslkey"] = str(project.folder / "gone.key")
    elif fault == "another":
        place(project, "mine.key", signer.certify(subject="another").key)
    else:
        place(project, "mine.crt", b"nonsense")
    at(project, server.url(), sslmode="require", **mine)
    told(project, "sslcert (PGSSLCERT)", "sslkey (PGSSLKEY)")


def own(project: Project, identity: Identity) -> dict[str, str]:
    """Place a certificate of the client's own; return libpq's parameters for it."""
    return {
        "sslcert": str(place(project, "mine.crt", identity.certificate)),
        "sslkey": str(place(project, "mine.key", identity.key)),
    }
