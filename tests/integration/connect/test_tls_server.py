"""The tests' own TLS server: it shows what it is told to show, to libpq itself."""

from __future__ import annotations

from pathlib import Path

import psycopg2
import pytest

from tests.certificates import EXPIRED_DAYS, HERE, Authority
from tests.conftest import connect_to
from tests.tls_server import ANY_WAY, TlsServer


@pytest.fixture
def root(signer: Authority, tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(signer.certificate)
    return str(path)


def test_who_knows_its_authority_gets_in_over_tls_only(
    server: TlsServer, signer: Authority, root: str
) -> None:
    server.present(signer.certify(*HERE))
    connection = connect_to(server.url(sslmode="verify-full", sslrootcert=root))
    assert connection.info.ssl_in_use
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        connect_to(server.url(sslmode="disable"))


def test_an_expired_certificate_is_not_believed(
    server: TlsServer, signer: Authority, root: str
) -> None:
    server.present(signer.certify(*HERE, days=EXPIRED_DAYS))
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        connect_to(server.url(sslmode="verify-full", sslrootcert=root))


def test_without_a_certificate_there_is_no_tls(server: TlsServer) -> None:
    server.present(None, ANY_WAY)
    connection = connect_to(server.url())
    assert not connection.info.ssl_in_use
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="does not support SSL"):
        connect_to(server.url(sslmode="require"))


def test_a_password_is_asked_for(server: TlsServer) -> None:
    server.present(None, ANY_WAY)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect_to(server.url(password="another"))
