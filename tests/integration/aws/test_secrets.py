"""Credentials from a secret, over HTTP, on a server that asks for passwords."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from alembic_pgpipe.aws import secrets
from alembic_pgpipe.connect.connector import IMPATIENT
from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.errors import UnreachableError
from alembic_pgpipe.settings import Settings
from tests.integration.aws.conftest import ACCOUNT, REGION, FakeAws, Shop
from tests.project import Project
from tests.refusal import refused


def project_of(tmp_path: Path, secret: str) -> Project:
    return Project(tmp_path, f"secretsmanager://{secret}")


def url_text(shop: Shop) -> str:
    return shop.url.render_as_string(hide_password=False)


# -- shapes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", ["json", "binary json", "url", "aliases", "user and password"]
)
def test_a_run_has_its_credentials_from_a_secret(
    aws: FakeAws, shop: Shop, tmp_path: Path, shape: str
) -> None:
    fields = shop.fields()
    held: Any = {
        "json": fields,
        "binary json": json.dumps(fields).encode(),
        "url": url_text(shop),
        "aliases": {
            "user": fields["username"],
            "Password": fields["password"],
            "hostname": fields["host"],
            "port": int(str(fields["port"])),
            "database": fields["dbname"],
        },
        "user and password": {"username": shop.user, "password": shop.password},
    }[shape]
    secret = aws.secret(held)
    if shape == "user and password":
        host = quote(str(fields["host"]))
        secret += f"?host={host}&port={fields['port']}&database={shop.name}"
    settings = settings_of(tmp_path, f"secretsmanager://{secret}")
    with open_database(settings, os.environ) as database, database.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar() == shop.user
        assert connection.exec_driver_sql("SELECT current_database()").scalar() == shop.name
        assert shop.password not in str(connection.engine.url)
        assert connection.engine.url.password is None


def settings_of(folder: Path, url: str) -> Settings:
    return Settings(url=url, project=folder, sources=folder, routines=folder)


@pytest.mark.parametrize("variable", ["PGPIPE_SECRET", "SECRET_NAME"])
def test_a_variable_names_the_secret_and_others_say_where(
    aws: FakeAws, shop: Shop, tmp_path: Path, variable: str
) -> None:
    fields = shop.fields(host="nowhere.invalid", port="1", dbname="another")
    project = Project(tmp_path, "")
    env = {
        variable: aws.secret(fields),
        "PGHOST": str(shop.fields()["host"]),
        "PGPORT": str(shop.fields()["port"]),
        "PGDATABASE": shop.name,
        # Somebody else's: they never go with a secret's.
        "PGUSER": "postgres",
        "PGPASSWORD": "none",
    }
    result = project.alembic("pgpipe", "wait", env=env)
    assert result.code == 0, result.text
    assert f"as {shop.user}" in result.text


def test_an_earlier_version_can_be_named(aws: FakeAws, shop: Shop, tmp_path: Path) -> None:
    secret = aws.secret(shop.fields())
    aws.rotate(secret, shop.fields(password="of tomorrow"))
    project = project_of(tmp_path, f"{secret}?version_stage=AWSPREVIOUS")
    project.ok("pgpipe", "wait")
    project.url = f"secretsmanager://{secret}"
    project.configure()
    refused(project.alembic("pgpipe", "wait", "--timeout", "0"), "password", code=5)


def test_the_region_of_an_arn_is_the_one_that_is_asked(
    aws: FakeAws, shop: Shop, tmp_path: Path
) -> None:
    secret = aws.secret(shop.fields(), region="us-east-2")
    project_of(tmp_path, secret).ok("pgpipe", "wait", env={"AWS_REGION": REGION})


@pytest.mark.parametrize("kind", ["instance", "cluster"])
def test_a_secret_that_rds_manages_is_followed_to_its_database(
    aws: FakeAws, tmp_path: Path, kind: str
) -> None:
    rds, name = aws.client("rds"), f"shop-{uuid4().hex[:8]}"
    if kind == "cluster":
        made = rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine="aurora-postgresql",
            MasterUsername="app",
            ManageMasterUserPassword=True,
            DatabaseName="orders",
        )["DBCluster"]
        host = made["Endpoint"]
    else:
        made = rds.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t3.micro",
            Engine="postgres",
            MasterUsername="app",
            ManageMasterUserPassword=True,
            AllocatedStorage=10,
            DBName="orders",
        )["DBInstance"]
        host = made["Endpoint"]["Address"]
    secret = made["MasterUserSecret"]["SecretArn"]
    with open_database(settings_of(tmp_path, f"secretsmanager://{secret}"), {}) as database:
        assert database.label.startswith(f"database orders at {host}:5432 as ")


# -- refusals ---------------------------------------------------------------------------


def upgrade_refused(project: Project, *words: str, env: dict[str, str] | None = None) -> str:
    line = refused(project.upgrade(env=env), *words, code=5)
    log = (project.folder / "migration.log").read_text()
    assert words[0] in log
    return line


def test_a_secret_that_is_not_there_is_named_with_region_and_account(
    aws: FakeAws, tmp_path: Path
) -> None:
    where = f"it is not in region {REGION} of account {ACCOUNT}"
    upgrade_refused(project_of(tmp_path, "nowhere/shop"), "Secret 'nowhere/shop'", where)


def test_a_secret_of_another_region_is_not_found_in_this_one(
    aws: FakeAws, shop: Shop, tmp_path: Path
) -> None:
    secret = aws.secret(shop.fields(), region="us-east-2")
    name = secret.split(":secret:")[1].rpartition("-")[0]
    upgrade_refused(project_of(tmp_path, name), "it is not in region eu-west-1", "its ARN")
    project_of(tmp_path, f"{name}?region=us-east-2").ok("pgpipe", "wait")


def test_a_secret_without_a_value_is_told_from_none(aws: FakeAws, tmp_path: Path) -> None:
    name = f"test/{uuid4().hex}"
    aws.client("secretsmanager").create_secret(Name=name)
    upgrade_refused(project_of(tmp_path, name), "it has no staging label: AWSCURRENT")


def test_a_version_that_is_not_there_is_named(aws: FakeAws, shop: Shop, tmp_path: Path) -> None:
    secret = aws.secret(shop.fields())
    version = "0" * 32
    project = project_of(tmp_path, f"{secret}?version_id={version}")
    upgrade_refused(project, f"it has no VersionId: {version}", "list-secret-version-ids")
    project = project_of(tmp_path, f"{secret}?version_id=short")
    upgrade_refused(project, "Check the secret's name and version")


def test_a_secret_that_is_scheduled_for_deletion_can_be_restored(
    aws: FakeAws, shop: Shop, tmp_path: Path
) -> None:
    secret = aws.secret(shop.fields())
    aws.client("secretsmanager").delete_secret(SecretId=secret)
    command = f"aws secretsmanager restore-secret --secret-id {secret} --region {REGION}"
    upgrade_refused(project_of(tmp_path, secret), "scheduled for deletion", command)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"engine": "redshift", "username": "a", "password": "hid", "host": "b"}, "'redshift'"),
        ({"engine": "mongo", "username": "a", "password": "hid", "ssl": True}, "'mongo'"),
        ({"password": "hid", "host": "b"}, "lacks: username"),
        ({"username": "a", "password": "hid"}, "no tag of RDS says which database"),
        ('{"password": "hid', "JSON that cannot be read"),
        ("hid", "neither JSON nor a URL"),
        (b"\xffhid", "is binary, and not text"),
    ],
)
def test_a_secret_that_cannot_be_used_is_exit_5_and_shown_nowhere(
    aws: FakeAws, tmp_path: Path, held: Any, said: str
) -> None:
    project = project_of(tmp_path, aws.secret(held))
    line = upgrade_refused(project, "Secret 'arn:", said)
    log = (tmp_path / "migration.log").read_text()
    assert "hid" not in line + log


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:{closed}"}, "needs a NAT gateway"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Check AWS_ENDPOINT_URL"),
        ({"AWS_REGION": ""}, "no AWS region is known"),
        ({"AWS_REGION": "eu west"}, "Check AWS_REGION"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "there are no AWS credentials",
        ),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "missing: AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "(nobody) could not be found"),
        ({"AWS_MAX_ATTEMPTS": "-1"}, "Mend ~/.aws/config, or the AWS_ variables"),
    ],
)
def test_an_aws_that_cannot_be_asked_says_what_is_missing(
    aws: FakeAws, tmp_path: Path, env: dict[str, str], said: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = str(taken.getsockname()[1])
        given = {name: value.replace("{closed}", closed) for name, value in env.items()}
        upgrade_refused(project_of(tmp_path, "shop"), "Secret 'shop' cannot", said, env=given)


def test_an_aws_that_is_silent_is_not_waited_for(
    aws: FakeAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "READ_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        upgrade_refused(project_of(tmp_path, "shop"), "does not answer in time", env=env)


def test_nobody_waits_for_a_secret_that_is_not_there(aws: FakeAws, tmp_path: Path) -> None:
    result = project_of(tmp_path, "nowhere").alembic("pgpipe", "wait", "--timeout", "5")
    line = refused(result, "it is not in region", code=5)
    assert "Gave up" not in line


def test_an_unknown_parameter_is_refused_before_aws_is_asked(tmp_path: Path) -> None:
    project = project_of(tmp_path, "shop?verion_id=1")
    refused(project.upgrade(), "no parameter 'verion_id'. Did you mean version_id?")


def test_a_wrong_password_is_told_with_its_secret(
    aws: FakeAws, shop: Shop, tmp_path: Path
) -> None:
    secret = aws.secret(shop.fields(password="of yesterday"))
    settings = settings_of(tmp_path, f"secretsmanager://{secret}")
    with (
        pytest.raises(
            UnreachableError, match=r"is not that of the database.*describe-secret"
        ) as said,
        open_database(settings, os.environ, waiting=IMPATIENT) as database,
        database.connect(),
    ):
        pytest.fail("it was let in")
    assert "of yesterday" not in str(said.value)
