"""Why a certificate was not believed is asked once more, and only then."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.connect.tls_probe import explained
from tests.certificates import authority

NOT_BELIEVED = "SSL error: certificate verify failed\n"
AT = "connection to server at {}, port {} failed: "


@pytest.mark.parametrize(
    "message",
    [
        AT.format('"db"', 5432) + 'FATAL:  database "shop" does not exist\n',
        # As libpq said it before it named the server.
        NOT_BELIEVED,
    ],
)
def test_other_messages_stay_as_they_are(message: str) -> None:
    assert explained(message, make_url("postgresql://db/shop"), {}) == message


@pytest.mark.parametrize(
    "place", ['"127.0.0.1"', '"localhost" (127.0.0.1)', '"localhost" (::1)']
)
def test_who_answers_no_more_leaves_the_reason_open(tmp_path: Path, place: str) -> None:
    root = tmp_path / "ca.pem"
    root.write_bytes(authority("Tests").certificate)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        at = AT.format(place, closed.getsockname()[1])
        url = make_url("postgresql://db/shop").update_query_dict({"sslrootcert": str(root)})
        said = explained(at + NOT_BELIEVED, url, {})
    assert said == f"{at}{NOT_BELIEVED.strip()} (authorities: {root})\n"


def test_what_libpq_says_besides_is_kept() -> None:
    after = AT.format('"db"', 5432) + "FATAL:  no pg_hba.conf entry\n"
    url = make_url("postgresql://db/shop?sslrootcert=/gone.pem")
    said = explained(AT.format('"db"', 1) + NOT_BELIEVED + after, url, {})
    assert said.endswith(f"verify failed (authorities: /gone.pem)\n{after}")
