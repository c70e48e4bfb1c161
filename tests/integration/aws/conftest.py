"""An AWS of the tests' own over HTTP, and a server that asks for passwords.

Each test has a secret of its own: after its stages were moved, the stand-in for Secrets
Manager leaves AWSCURRENT on two versions.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer
from psycopg2 import sql
from sqlalchemy import URL

from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from tests.conftest import connect_to
from tests.scratch_folder import scratch_folder

REGION = "eu-west-1"
# The account that moto's answers are for.
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class FakeAws:
    """Secrets Manager, RDS and STS; ``variables`` lead boto3 there."""

    url: str

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_MAX_ATTEMPTS": "1",
            # Neither the machine's own files nor a cloud that it may be in.
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, region: str = REGION) -> Any:
        options = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "test"}
        return boto3.session.Session().client(
            service, region_name=region, endpoint_url=self.url, **options
        )

    def secret(self, held: Mapping[str, object] | str | bytes, region: str = REGION) -> str:
        """Keep a secret under a new name; return its ARN."""
        name = f"test/{uuid4().hex[:12]}"
        made = self.client("secretsmanager", region).create_secret(Name=name, **_value(held))
        return str(made["ARN"])

    def rotate(self, secret: str, held: Mapping[str, object] | str | bytes) -> None:
        """Let a secret hold something else from now on."""
        self.client("secretsmanager").put_secret_value(SecretId=secret, **_value(held))


def _value(held: Mapping[str, object] | str | bytes) -> dict[str, str | bytes]:
    if isinstance(held, bytes):
        return {"SecretBinary": held}
    return {"SecretString": held if isinstance(held, str) else json.dumps(held)}


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    # A line for each request would be in what the commands under test print.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """Give the AWS that this test's commands, too, will ask."""
    fake = FakeAws(moto_url)
    for name, value in fake.variables.items():
        monkeypatch.setenv(name, value)
    return fake


@dataclass(frozen=True)
class Shop:
    """A database of the test's own, and its owner, whom the server asks for a password."""

    server: ScratchServer
    name: str
    user: str
    password: str

    @property
    def url(self) -> URL:
        """Return the URL of the owner, with the first password."""
        return self.admin_url.set(username=self.user, password=self.password)

    @property
    def admin_url(self) -> URL:
        """Return the URL of the superuser, who is never asked."""
        return self.server.url(self.name)

    def fields(self, **other: object) -> dict[str, object]:
        """Return what RDS would keep in the owner's secret."""
        return {
            "engine": "postgres",
            "host": self.url.query["host"],
            "port": self.url.query["port"],
            "username": self.user,
            "password": self.password,
            "dbname": self.name,
            **other,
        }

    def change_password(self, password: str) -> None:
        """Do what the first half of a rotation does."""
        self.administer("ALTER ROLE {} PASSWORD %s", self.user, values=(password,))

    @contextmanager
    def other_user(self) -> Iterator[str]:
        """Make the second of two users that take turns; its password is the same."""
        name = f"{self.user}_clone"
        self.administer("CREATE ROLE {} LOGIN PASSWORD %s", name, values=(self.password,))
        try:
            yield name
        finally:
            self.administer("DROP OWNED BY {}", name)
            self.administer("DROP ROLE {}", name)

    def administer(self, statement: str, *names: str, values: tuple[str, ...] = ()) -> None:
        """Run a statement as the superuser in this database."""
        administer(self.admin_url, statement, *names, values=values)


@pytest.fixture(scope="session")
def asking_server() -> Iterator[ScratchServer]:
    """Give a server that asks everybody but its superuser for a password."""
    with (
        scratch_folder() as folder,
        scratch_server(folder / "scratch", os.environ) as server,
    ):
        rules = server.directory / "data" / "pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        administer(server.url(), "SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def shop(asking_server: ScratchServer) -> Iterator[Shop]:
    """Give a database whose owner is asked for a password."""
    name = f"shop_{uuid4().hex[:12]}"
    made = Shop(asking_server, name, f"{name}_app", f"Xq7%zu/é'@\\{name[-4:]}")
    admin = asking_server.url()
    administer(admin, "CREATE ROLE {} LOGIN PASSWORD %s", made.user, values=(made.password,))
    administer(admin, "CREATE DATABASE {} OWNER {}", name, made.user)
    yield made
    administer(admin, "DROP DATABASE {} WITH (FORCE)", name)
    administer(admin, "DROP ROLE {}", made.user)


def administer(url: URL, statement: str, *names: str, values: tuple[str, ...] = ()) -> None:
    """Run a statement, its names quoted."""
    connection = connect_to(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(statement).format(*map(sql.Identifier, names)), values or None
            )
    finally:
        connection.close()
