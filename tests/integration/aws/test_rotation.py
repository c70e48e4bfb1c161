"""A password that is rotated in the middle of a run, and that nobody gets to see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pytest
from sqlalchemy import URL

from alembic_pgpipe.connect.connector import Waiting
from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.errors import UnreachableError
from alembic_pgpipe.settings import Settings
from tests.background import busy_with, in_background
from tests.conftest import connect_to
from tests.integration.aws.conftest import FakeAws, Shop, administer
from tests.project import Project

NEW = "N3w/of tomorrow'%"
WAITED = "the server does not accept the credentials from AWS"


@pytest.fixture
def second(shop: Shop) -> Iterator[URL]:
    """Give another database of the same owner: a source that runs there connects anew."""
    name = f"{shop.name}_2"
    administer(shop.admin_url, "CREATE DATABASE {} OWNER {}", name, shop.user)
    yield shop.server.url(name)
    administer(shop.admin_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def rotating(aws: FakeAws, shop: Shop, second: URL, tmp_path: Path) -> Project:
    """Give a project whose second revision can be held up, and whose third connects anew."""
    secret = aws.secret(shop.fields())
    project = Project(tmp_path, f"secretsmanager://{secret}")
    shown = NEW.replace("'", "''")
    project.wrapped(
        a="CREATE TABLE a ();\n",
        b="SELECT pg_advisory_xact_lock(42);\n",
        c=f"-- pgpipe: database = {second.database}\nCREATE TABLE c ();\n",
        d=f"DO $$ BEGIN RAISE NOTICE 'seen: %', '{shown}'; END $$;\n",
    )
    # From here on the test asks as somebody whose password stays.
    project.url = shop.admin_url
    return project


def secret_of(project: Project) -> str:
    [line] = [
        line
        for line in (project.folder / "alembic.ini").read_text().splitlines()
        if line.startswith("sqlalchemy.url")
    ]
    return line.partition("://")[2]


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_a_run_survives_a_rotation(
    rotating: Project, aws: FakeAws, shop: Shop, second: URL, late: bool
) -> None:
    gate = connect_to(shop.admin_url)
    gate.cursor().execute("SELECT pg_advisory_lock(42)")
    with in_background(rotating, "upgrade", "head") as run:
        busy_with(rotating, "%pg_advisory_xact_lock(42)%")
        shop.change_password(NEW)
        said = ""
        if not late:
            aws.rotate(secret_of(rotating), shop.fields(password=NEW))
        gate.close()
        if late:
            said = read_until(WAITED, cast("IO[str]", run.stdout))
            aws.rotate(secret_of(rotating), shop.fields(password=NEW))
        said += run.communicate(timeout=60)[0]
    assert run.returncode == 0, said
    assert said.count(WAITED) == int(late)
    assert set(rotating.ledger().values()) == {"SUCCESS"}
    assert shop_tables(second) == ["c"]
    nowhere(said, rotating, shop.password, NEW)
    assert "seen: ***" in said


def read_until(sign: str, stream: IO[str]) -> str:
    """Return what a process prints up to a line with the sign."""
    read = ""
    for line in stream:
        read += line
        if sign in line:
            return read
    pytest.fail(f"it never said: {sign}\n{read}")


def shop_tables(url: URL) -> list[str]:
    connection = connect_to(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^.$'")
        found = [name for (name,) in cursor.fetchall()]
    connection.close()
    return found


def nowhere(said: str, project: Project, *secrets: str) -> None:
    """Expect that nothing which a run leaves has one of the secrets."""
    rows = project.query(
        "SELECT m.*::text, a.*::text, l.*::text FROM migrations m, migration_attempts a, "
        "migration_logs l"
    )
    left = said + str(rows) + (project.folder / "migration.log").read_text()
    for secret in secrets:
        assert secret not in left
        assert secret.replace("'", "''") not in left


def test_a_rotation_that_never_comes_ends_in_a_refusal(
    aws: FakeAws, shop: Shop, tmp_path: Path
) -> None:
    secret = aws.secret(shop.fields())
    settings = Settings(f"secretsmanager://{secret}", tmp_path, tmp_path, tmp_path)
    said: list[str] = []
    hidden: list[str] = []
    waiting = Waiting(pauses=(0.01, 0.02))
    opened = open_database(
        settings, os.environ, hide=hidden.append, say=said.append, waiting=waiting
    )
    shop.change_password(NEW)
    with (
        pytest.raises(UnreachableError, match=r"is not that of the database.*rotation"),
        opened as database,
        database.connect(),
    ):
        pytest.fail("it was let in")
    assert len(said) == 1
    assert WAITED in said[0]
    assert hidden == [shop.password] * 3


def test_a_rotation_to_another_user_is_followed(
    aws: FakeAws, shop: Shop, tmp_path: Path
) -> None:
    secret = aws.secret(shop.fields())
    settings = Settings(f"secretsmanager://{secret}", tmp_path, tmp_path, tmp_path)
    with open_database(settings, os.environ) as database:
        with database.connect() as connection:
            assert connection.exec_driver_sql("SELECT user").scalar() == shop.user
        with shop.other_user() as other:
            aws.rotate(secret, shop.fields(username=other))
            for one in (database, database.elsewhere(shop.name)):
                with one.connect() as connection:
                    assert connection.exec_driver_sql("SELECT user").scalar() == other


@pytest.mark.parametrize("leak", ["source", "python"])
def test_a_secret_s_password_is_in_no_trace(
    aws: FakeAws, shop: Shop, tmp_path: Path, leak: str
) -> None:
    secret = aws.secret(shop.fields())
    project = Project(tmp_path, f"secretsmanager://{secret}")
    doubled = shop.password.replace("'", "''")
    project.wrapped(a=f"SELECT '{doubled}'::int;\n")
    if leak == "python":
        [path] = tmp_path.glob("alembic/versions/*.py")
        body = f"raise ValueError({shop.password!r})"
        path.write_text(path.read_text().replace("op.run_source(source)", body))
    with in_background(project, "--raiseerr", "upgrade", "head") as run:
        said, _ = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "StepError" in said
    project.url = shop.admin_url
    nowhere(said, project, shop.password)
    assert "***" in said


def test_a_refused_password_is_in_no_trace(aws: FakeAws, shop: Shop, tmp_path: Path) -> None:
    secret = aws.secret(shop.fields(password=NEW))
    project = Project(tmp_path, f"secretsmanager://{secret}")
    with in_background(project, "--raiseerr", "pgpipe", "wait", "--timeout", "0") as run:
        said, _ = run.communicate(timeout=60)
    assert "UnreachableError" in said
    assert NEW not in said
