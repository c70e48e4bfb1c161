"""Servers that speak another language or style, or say nothing."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, Dialect

from alembic_pgpipe.connect.connector import IMPATIENT, Connector
from alembic_pgpipe.connect.database import open_database
from tests.integration.aws.conftest import FakeAws, Shop, asking_server, aws, moto_url, shop
from tests.integration.hostile.test_pipeline_builds import BUILD, at_work
from tests.project import Project
from tests.refusal import refused

__all__ = ["asking_server", "aws", "moto_url", "shop"]


@pytest.mark.parametrize("verb", [("pgpipe", "status"), ("upgrade", "head")])
def test_who_holds_the_lock_is_told_whatever_the_intervalstyle(
    project: Project, verb: tuple[str, ...]
) -> None:
    assert isinstance(project.url, URL)
    name = project.url.database
    project.query(f"ALTER DATABASE {name} SET intervalstyle = iso_8601")
    project.configure(lock_wait="0")
    with at_work(project, BUILD):
        result = project.alembic(*verb)
        assert "connection was lost" not in result.text, result.text
        assert "build 7" in result.text


@pytest.mark.parametrize("name", ["PGSSLMODE", "PGSERVICE"])
def test_a_variable_that_is_empty_says_nothing(project: Project, name: str) -> None:
    # `PGSSLMODE: ${{ vars.PGSSLMODE }}` of GitHub, where the variable is not set.
    assert project.upgrade(env={name: ""}).code == 0


def test_a_silent_server_has_the_time_that_wait_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    opened = Connector.open

    def noted(connector: Connector, dialect: Dialect) -> object:
        given.append(connector.waiting.answer)
        return opened(connector, dialect)

    monkeypatch.setattr(Connector, "open", noted)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        project = Project(tmp_path, f"postgresql://a@127.0.0.1:{silent.getsockname()[1]}/x")
        refused(project.alembic("pgpipe", "wait", "--timeout", "2"), "Gave up", code=5)
    assert given and max(given) == 2


def test_a_secret_of_an_odd_shape_is_refused_in_a_sentence(
    aws: FakeAws, tmp_path: Path
) -> None:
    project = Project(tmp_path, f"secretsmanager://{aws.secret('[' * 60_000)}")
    refused(project.upgrade(), "Secret", code=5)


def test_the_command_that_looks_at_a_secret_asks_the_region_that_was_asked(
    aws: FakeAws, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = partial(open_database, waiting=IMPATIENT)
    monkeypatch.setattr("alembic_pgpipe.environment.moving.open_database", at_once)
    secret = aws.secret(shop.fields(password="wrong"), "us-west-2")
    project = Project(tmp_path, f"secretsmanager://{secret}")
    line = refused(project.upgrade(), "describe-secret", code=5)
    assert "--region us-west-2" in line


def test_the_grant_that_helps_can_be_run_as_it_is_named(project: Project) -> None:
    assert isinstance(project.url, URL)
    name = f"shop-App_{uuid4().hex[:8]}"
    project.query(f'CREATE ROLE "{name}" LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC')
    try:
        owner = Project(project.folder, project.url.set(username=name))
        line = refused(owner.upgrade(), "GRANT")
        grant = line.partition("run: ")[2].partition(";")[0]
        Project(project.folder, project.url).query(grant)
        owner.configure()
        owner.ok("upgrade", "head")
    finally:
        admin = Project(project.folder, project.url)
        admin.query(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
