"""``auth=iam``: a token of RDS in place of a password, anew for each connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from alembic_pgpipe.connect.connector import Waiting
from alembic_pgpipe.connect.database import Database, open_database
from alembic_pgpipe.errors import SettingsError, UnreachableError
from alembic_pgpipe.settings import Settings
from tests.certificates import Identity
from tests.integration.aws.conftest import FakeAws
from tests.project import Project
from tests.refusal import refused
from tests.tls_server import USER, TlsServer

OVER_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
RDS = "shop.abc.us-east-2.rds.amazonaws.com"


def settings_of(folder: Path, url: str) -> Settings:
    return Settings(url=url, project=folder, sources=folder, routines=folder)


@pytest.fixture
def trusting(server: TlsServer, identity: Identity) -> TlsServer:
    """Let everybody in over TLS, whatever the password is."""
    server.present(identity, "hostssl all all all trust")
    return server


def token_url(server: TlsServer, **more: str) -> str:
    url = server.url(password=None, auth="iam", **more)
    return url.render_as_string(hide_password=False)


@contextmanager
def opened(
    settings: Settings, environ: dict[str, str], hidden: list[str]
) -> Iterator[Database]:
    waiting = Waiting(pauses=(0.01,))
    with open_database(settings, environ, hide=hidden.append, waiting=waiting) as database:
        yield database


def test_every_connection_has_a_token_that_no_url_shows(
    aws: FakeAws, trusting: TlsServer, tmp_path: Path
) -> None:
    hidden: list[str] = []
    settings = settings_of(tmp_path, token_url(trusting))
    with opened(settings, dict(os.environ), hidden) as database:
        for one in (database, database, database.elsewhere("postgres")):
            with one.connect() as connection:
                assert connection.exec_driver_sql("SELECT user").scalar() == USER
                assert connection.exec_driver_sql(OVER_TLS).scalar() is True
                assert "X-Amz" not in connection.engine.url.render_as_string(False)
    assert len(hidden) == 3
    assert all(f"DBUser={USER}" in token for token in hidden)


@pytest.mark.parametrize(
    ("url", "environ", "signed"),
    [
        (f"postgresql://app@{RDS}/s?auth=iam", {}, "us-east-2"),
        (f"postgresql://app@{RDS}/s?auth=iam&region=eu-west-3", {}, "eu-west-3"),
        ("postgresql://app@db.internal/s?auth=iam", {}, "eu-west-1"),
        ("postgresql:///s?auth=iam", {"PGHOST": RDS, "PGUSER": "app"}, "us-east-2"),
    ],
)
def test_a_token_is_signed_for_the_region_of_its_host(
    aws: FakeAws, tmp_path: Path, url: str, environ: dict[str, str], signed: str
) -> None:
    hidden: list[str] = []
    environ = {**aws.variables, **environ}
    with opened(settings_of(tmp_path, url), environ, hidden) as database:
        assert database.engine.url.query["sslmode"] == "require"
    [token] = hidden
    where, _, query = token.partition("/?")
    host = environ.get("PGHOST") or str(database.engine.url.host)
    assert where == f"{host}:5432"
    [credential] = parse_qs(query)["X-Amz-Credential"]
    assert credential.endswith(f"/{signed}/rds-db/aws4_request")
    assert parse_qs(query)["DBUser"] == ["app"]


def test_a_secret_may_only_say_who_and_where(
    aws: FakeAws, trusting: TlsServer, tmp_path: Path
) -> None:
    hidden: list[str] = []
    fields = {"username": USER, "host": "127.0.0.1", "port": trusting.port, "dbname": "shop"}
    settings = settings_of(tmp_path, f"secretsmanager://{aws.secret(fields)}?auth=iam")
    with (
        opened(settings, dict(os.environ), hidden) as database,
        database.connect() as connection,
    ):
        assert connection.exec_driver_sql("SELECT current_database()").scalar() == "shop"
    assert all(f"DBUser={USER}" in token for token in hidden)


def test_a_token_is_for_the_region_of_the_database_and_not_of_its_secret(
    aws: FakeAws, tmp_path: Path
) -> None:
    hidden: list[str] = []
    secret = aws.secret({"username": "app", "host": RDS})
    with opened(
        settings_of(tmp_path, f"secretsmanager://{secret}?auth=iam"), dict(os.environ), hidden
    ):
        assert "%2Fus-east-2%2Frds-db" in hidden[0]


def test_a_token_that_the_server_does_not_take_says_what_it_needs(
    aws: FakeAws, server: TlsServer, identity: Identity, tmp_path: Path
) -> None:
    server.present(identity)
    hidden: list[str] = []
    settings = settings_of(tmp_path, token_url(server, region="eu-west-3"))
    with (
        pytest.raises(UnreachableError) as said,
        opened(settings, dict(os.environ), hidden) as database,
        database.connect(),
    ):
        pytest.fail("it was let in")
    text = str(said.value)
    assert f'GRANT rds_iam TO "{USER}"' in text
    assert f'"Resource": "arn:aws:rds-db:eu-west-3:*:dbuser:*/{USER}"' in text
    assert "X-Amz" not in text
    assert len(hidden) == 2


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
@pytest.mark.parametrize("given", ["url", "variable", "secret"])
def test_a_token_never_goes_where_tls_is_not_certain(
    aws: FakeAws, tmp_path: Path, mode: str, given: str
) -> None:
    url = f"postgresql://app@db.internal/s?auth=iam&sslmode={mode}"
    environ = {**os.environ}
    if given == "variable":
        url, environ = url.replace(f"&sslmode={mode}", ""), {**os.environ, "PGSSLMODE": mode}
    if given == "secret":
        fields = {"username": "app", "host": "db.internal", "sslmode": mode}
        url = f"secretsmanager://{aws.secret(fields)}?auth=iam"
    with (
        pytest.raises(SettingsError, match=f"{mode}"),
        opened(settings_of(tmp_path, url), environ, []),
    ):
        pytest.fail("it was opened")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql:///s?auth=iam", "auth=iam needs a host and a user"),
        ("postgresql://app@/s?auth=iam", "auth=iam needs a host:"),
        ("postgresql://app@/s?host=/tmp&auth=iam", "auth=iam needs a host:"),
        ("postgresql://db/s?auth=iam", "auth=iam needs a user:"),
    ],
)
def test_a_token_needs_a_host_and_a_user(
    aws: FakeAws, tmp_path: Path, url: str, said: str
) -> None:
    refused(Project(tmp_path, url).upgrade(), said)


def test_a_token_without_credentials_is_refused_with_a_next_step(
    aws: FakeAws, tmp_path: Path
) -> None:
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    project = Project(tmp_path, "postgresql://app@db/s?auth=iam")
    said = "A token for app on db cannot be made: there are no AWS credentials"
    refused(project.upgrade(env=env), said, code=5)
