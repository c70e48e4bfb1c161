"""What a secret holds → where and as whom, or a sentence that does not show it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alembic_pgpipe.access import Access
from alembic_pgpipe.aws.secret_shape import read_secret
from alembic_pgpipe.errors import UnreachableError

HIDDEN = "hid/den"
FIELDS = {"username": "app", "password": HIDDEN, "host": "db", "port": "5433", "dbname": "s"}


def read(value: Any, wanted: tuple[str, ...] = ("username", "password")) -> Access:
    text = value if isinstance(value, (str, bytes)) else json.dumps(value)
    return read_secret("shop", text, wanted)


def where(value: Any) -> str:
    access = read(value)
    assert access.password == HIDDEN
    assert access.url.password is None
    return str(access.url).removeprefix("postgresql+psycopg2://")


@pytest.mark.parametrize(
    "value",
    [
        FIELDS,
        {**FIELDS, "port": 5433},
        {**FIELDS, "engine": "postgres", "masterarn": "arn:x", "dbInstanceIdentifier": "i"},
        {**FIELDS, "engine": "aurora-postgresql", "dbClusterIdentifier": "c", "ssl": True},
        {"user": "app", "Password": HIDDEN, "hostname": "db", "port": 5433, "database": "s"},
        {"login": "app", "pwd": HIDDEN, "endpoint": "db", "port": "5433", "dbName": "s"},
        json.dumps(FIELDS).encode(),
        b"\xef\xbb\xbf" + json.dumps(FIELDS).encode(),
        " \n" + json.dumps(FIELDS, indent=2) + "\n",
        "postgresql://app:hid%2Fden@db:5433/s\n",
        "postgres://app:hid/den@db:5433/s",
        "postgresql+asyncpg://app:hid%2Fden@db:5433/s?ssl=require",
        "postgresql://app@db:5433/s?password=hid%2Fden",
        b"postgresql://app:hid%2Fden@db:5433/s",
        '"postgresql://app:hid%2Fden@db:5433/s"',
    ],
)
def test_every_shape_says_the_same(value: Any) -> None:
    assert where(value) == "app@db:5433/s"


def test_what_may_be_missing_is_left_open() -> None:
    assert where({"username": "app", "password": HIDDEN}) == "app@"
    assert where({"username": "app", "password": HIDDEN, "host": "", "port": None}) == "app@"
    assert where({"username": "app", "password": HIDDEN, "host": "db"}) == "app@db"


def test_a_number_may_be_a_password() -> None:
    assert read({"username": "app", "password": 4711}).password == "4711"


def test_a_token_needs_no_password() -> None:
    assert read({"username": "app"}, ("username",)).password is None


@pytest.mark.parametrize(
    ("value", "variables"),
    [
        ({**FIELDS, "ssl": False}, {"PGSSLMODE": "disable"}),
        ({**FIELDS, "ssl": "false"}, {"PGSSLMODE": "disable"}),
        ({**FIELDS, "ssl": "true"}, {}),
        ({**FIELDS, "sslmode": "verify-ca", "ssl": False}, {"PGSSLMODE": "verify-ca"}),
        ({**FIELDS, "sslrootcert": "/ca"}, {"PGSSLROOTCERT": "/ca"}),
        ("postgresql://app:hid%2Fden@db:5433/s?sslmode=verify-full&sslrootcert=/ca",
         {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca"}),
        ("postgresql+asyncpg://app:hid%2Fden@db:5433/s?ssl=false", {"PGSSLMODE": "disable"}),
    ],
)  # fmt: skip
def test_what_a_secret_says_of_tls_is_said_as_libpq_s_variables_would(
    value: Any, variables: dict[str, str]
) -> None:
    assert read(value).variables == variables
    assert where(value) == "app@db:5433/s"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({**FIELDS, "engine": "redshift"}, "is for engine 'redshift', not for PostgreSQL"),
        ({**FIELDS, "engine": "docdb"}, "is for engine 'docdb'"),
        ({**FIELDS, "engine": "mongo"}, "is for engine 'mongo'"),
        ({**FIELDS, "engine": "mysql"}, "is for engine 'mysql'"),
        ("mysql://app:hid%2Fden@db/s", "is for engine 'mysql'"),
        ("redshift+psycopg2://app:hid%2Fden@db/s", "is for engine 'redshift'"),
        ({**FIELDS, "username": ""}, "lacks: username. Its keys are: dbname, host, password, "),
        ({"host": "db"}, "lacks: username, password. Its keys are: host. Store"),
        ({}, "lacks: username, password. Store"),
        ({**FIELDS, "password": [HIDDEN]}, "has a password that is not a text"),
        ({**FIELDS, "username": True}, "has a username that is not a text"),
        ({**FIELDS, "password": HIDDEN + "\0"}, "has a password with characters"),
        ('{"username": "a", "password": "hid/den\\ud800"}', "has a password with characters"),
        ({**FIELDS, "port": "hid/den"}, "has a port that is not a number from 1 to 65535"),
        ({**FIELDS, "port": 0}, "has a port that is not a number from 1 to 65535"),
        ('{"password": "hid/den"', "holds JSON that cannot be read"),
        (["hid/den"], "holds JSON, but no object"),
        ("hid/den", "holds neither JSON nor a URL"),
        ('"hid/den"', "holds neither JSON nor a URL"),
        ("hid://den@db/s", "holds neither JSON nor a URL"),
        ("postgresql://app:x@hid/den@db/s", "an @ in its password"),
        ("postgresql://app:a@hid@den/s", "an @ in its password"),
        ("postgresql://db/s", "lacks: username, password"),
        ("", "is empty"),
        (b"", "is empty"),
        (b"\xff\xfe hid/den", "is binary, and not text"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(value: Any, said: str) -> None:
    with pytest.raises(UnreachableError) as refused:
        read(value)
    assert "Secret 'shop'" in str(refused.value)
    assert said in str(refused.value)
    assert HIDDEN not in str(refused.value)
    assert "hid" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_an_access_does_not_show_its_password() -> None:
    assert HIDDEN not in repr(read(FIELDS))
