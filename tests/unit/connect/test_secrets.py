"""A secret → a URL, or a sentence that says what is wrong with it and not what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from alembic_pgpipe.connect.secrets import resolve
from alembic_pgpipe.errors import UnreachableError

FIELDS = {"username": "app", "password": "hid/den", "host": "db", "port": "5433", "dbname": "s"}
Answer = Callable[..., None]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """Let Secrets Manager answer what a test says, and nothing else."""
    options = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("secretsmanager", region_name="eu-west-1", **options)
    stubber = Stubber(client)
    stubber.activate()
    monkeypatch.setattr(boto3, "client", lambda *_arguments, **_options: client)
    return stubber


def holds(answers: Stubber, value: Any) -> None:
    """Let the secret ``shop`` hold a value: JSON, text or bytes."""
    text = json.dumps(value) if isinstance(value, dict) else value
    key = "SecretBinary" if isinstance(text, bytes) else "SecretString"
    answers.add_response("get_secret_value", {key: text}, {"SecretId": "shop"})


def plain(**environ: str) -> str:
    return resolve("shop", environ).render_as_string(hide_password=False)


URL = "postgresql+psycopg2://app:hid%2Fden@db:5433/s"


@pytest.mark.parametrize(
    "value", [FIELDS, json.dumps(FIELDS).encode(), "postgresql://app:hid%2Fden@db:5433/s\n"]
)
def test_json_bytes_and_a_url_are_read(answers: Stubber, value: Any) -> None:
    holds(answers, value)
    assert plain() == URL


def test_a_port_and_a_database_have_defaults(answers: Stubber) -> None:
    holds(answers, {key: FIELDS[key] for key in ("username", "password", "host")})
    assert plain() == "postgresql+psycopg2://app:hid%2Fden@db:5432/postgres"


def test_the_environment_beats_the_secret(answers: Stubber) -> None:
    holds(answers, FIELDS)
    url = plain(PGHOST="other", PGPORT="1", PGDATABASE="d")
    assert url == "postgresql+psycopg2://app:hid%2Fden@other:1/d"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({**FIELDS, "engine": "redshift"}, "is for engine 'redshift'"),
        ({**FIELDS, "host": ""}, "lacks: host (or set PGHOST)"),
        ({**FIELDS, "username": ""}, "lacks: username"),
        ('{"password": "hid/den"', "JSON that cannot be read"),
        ("hid/den", "neither JSON nor a postgresql:// URL"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(
    answers: Stubber, value: Any, said: str
) -> None:
    holds(answers, value)
    with pytest.raises(UnreachableError) as refused:
        resolve("shop", {})
    assert "Secret 'shop'" in str(refused.value)
    assert said in str(refused.value)
    assert "hid/den" not in str(refused.value)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_refusal_of_the_service_names_what_to_check(answers: Stubber, code: str) -> None:
    answers.add_client_error("get_secret_value", code)
    with pytest.raises(UnreachableError, match=rf"{code}.*secretsmanager:GetSecretValue"):
        resolve("shop", {})
