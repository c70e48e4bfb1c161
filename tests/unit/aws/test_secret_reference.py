"""``secretsmanager://…`` → a secret, and what its reader says instead of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.aws.iam import iam_apart
from alembic_pgpipe.aws.secret_reference import (
    PARAMETERS,
    SCHEME,
    SecretReference,
    read_reference,
)
from alembic_pgpipe.connect.url import database_url
from alembic_pgpipe.errors import SettingsError

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1-AbCdEf"
HELD = make_url("postgresql+psycopg2://app@held:1/held")


def read(text: str) -> SecretReference:
    return read_reference(text, "sqlalchemy.url")


@pytest.mark.parametrize("scheme", ["", "secretsmanager://"])
def test_all_parameters_are_read(scheme: str) -> None:
    given = (
        "prod/shop+1?version_stage=AWSPREVIOUS&version_id=0a&region=eu-west-1&host=db&port=5433"
        "&database=orders&auth=iam&sslmode=verify-full&sslrootcert=/etc/ca.pem"
    )
    assert read(scheme + given) == SecretReference(
        name="prod/shop+1",
        region="eu-west-1",
        version_stage="AWSPREVIOUS",
        version_id="0a",
        host="db",
        port=5433,
        database="orders",
        iam=True,
        tls=(("sslmode", "verify-full"), ("sslrootcert", "/etc/ca.pem")),
    )


def test_a_name_alone_leaves_all_to_the_secret() -> None:
    assert read("secretsmanager://shop") == SecretReference("shop")
    assert read("shop?dbname=orders").database == "orders"


def test_an_arn_tells_its_region() -> None:
    assert read(f"secretsmanager://{ARN}").region == "eu-west-1"
    assert read(f"{ARN}?region=eu-west-1").region == "eu-west-1"
    with pytest.raises(SettingsError, match="region=us-east-1, but the ARN says eu-west-1"):
        read(f"{ARN}?region=us-east-1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shop?version_stag=X", "no parameter 'version_stag'. Did you mean version_stage?"),
        ("shop?zzz=1", "no parameter 'zzz'. The parameters are version_stage, "),
        ("shop?host=", "the parameter host is given without a value"),
        ("shop?host=a&host=b", "the parameter host is given twice"),
        ("shop?database=a&dbname=b", "database and dbname are one"),
        ("shop?port=x", "sqlalchemy.url: port is no port"),
        ("shop?port=0", "sqlalchemy.url: port is no port"),
        ("shop?port=65536", "sqlalchemy.url: port is no port"),
        ("shop?auth=ldap", "auth=ldap is not known"),
        ("secretsmanager://", "names no secret"),
        ("secretsmanager://?host=a", "names no secret"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "environ", "placed"),
    [
        ("s", {}, "app@held:1/held"),
        ("s", {"PGHOST": "env", "PGPORT": "2", "PGDATABASE": "env"}, "app@env:2/env"),
        ("s?host=own&port=3&database=own",
         {"PGHOST": "env", "PGPORT": "2", "PGDATABASE": "env"}, "app@own:3/own"),
        ("s?host=own", {}, "app@own:1/held"),
        ("s", {"PGUSER": "other", "PGPASSWORD": "other"}, "app@held:1/held"),
        ("s?sslmode=require", {}, "app@held:1/held?sslmode=require"),
    ],
)  # fmt: skip
def test_the_reader_beats_the_environment_which_beats_the_secret(
    text: str, environ: dict[str, str], placed: str
) -> None:
    assert str(read(text).placed(HELD, environ)) == f"postgresql+psycopg2://{placed}"


def test_a_database_that_nobody_names_is_postgres() -> None:
    bare = make_url("postgresql+psycopg2://app@held")
    assert read("s").placed(bare, {}).database == "postgres"


def test_a_host_that_is_named_takes_the_place_of_one_in_the_query() -> None:
    socket = make_url("postgresql+psycopg2://app@/shop?host=/tmp/a&port=1")
    assert str(read("s?host=own").placed(socket, {})) == "postgresql+psycopg2://app@own/shop"
    assert read("s").placed(socket, {}) == socket


def test_a_port_of_the_environment_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="PGPORT is no port"):
        read("s").placed(HELD, {"PGPORT": "five"})


# -- what the README shows --------------------------------------------------------------

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
SHOWN = re.findall(r"^sqlalchemy\.url = (\S+)$", README, re.MULTILINE)


@pytest.mark.parametrize("url", SHOWN)
def test_every_url_of_the_readme_can_be_read(url: str) -> None:
    if url.startswith(SCHEME):
        assert read(url).name
    else:
        assert iam_apart(database_url(url, {}))[1] is not None


def test_the_readme_has_every_parameter() -> None:
    assert len(SHOWN) == 4
    [listed] = re.findall(r"Behind a `\?` you may say more: (.*?)\. What", README, re.DOTALL)
    assert tuple(re.findall(r"`(\w+)`", listed)) == PARAMETERS
