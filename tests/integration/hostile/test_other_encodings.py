"""A database that cannot hold every character: nothing of the ledger is refused for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.by_psql import STOP, psql
from tests.project import Project
from tests.refusal import refused

ID = revision_id("a")


@pytest.fixture
def latin(project: Project) -> Iterator[Project]:
    """Give a project whose database is in LATIN1, which has no arrow."""
    assert isinstance(project.url, URL)
    name = f"{project.url.database}_latin"
    project.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        yield Project(project.folder, project.url.set(database=name))
    finally:
        project.query(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("header", ["", "-- pgpipe: transaction = off\n"])
def test_an_error_with_any_characters_is_recorded(latin: Project, header: str) -> None:
    latin.wrapped(a=f"{header}SELECT 1;\nSELECT 'é → ü';\n", b="SELECT 1;\n")
    line = header.count("\n") + 2
    result = latin.upgrade()
    refused(result, f"a.sql:{line}:1", "has no equivalent")
    assert latin.ledger() == {"a": "ERROR", "b": "WAITING"}
    assert latin.outcomes("a") == [("upgrade", "ERROR")]
    assert r"SELECT 'é \u2192 ü'" in latin.scalar(
        "SELECT logs FROM migrations WHERE id = %s", ID
    )
    [(status, logs)] = latin.query("SELECT status, logs FROM migration_logs")
    assert status == "FAILURE" and r"SELECT 'é \u2192 ü'" in logs


def test_a_decision_with_any_reason_is_recorded(latin: Project) -> None:
    latin.wrapped(a="SELECT 1 / 0;\n", b="SELECT 1;\n")
    assert latin.upgrade().code == 1
    latin.ok("pgpipe", "skip", "a", "--reason", "später → nie")
    latin.ok("upgrade", "head")
    assert latin.ledger() == {"a": "SKIPPED", "b": "SUCCESS"}
    assert r"später \u2192 nie" in latin.ok("pgpipe", "status").output


def test_a_name_that_cannot_be_stored_is_refused_by_name(latin: Project) -> None:
    latin.wrapped(a="SELECT 1;\n", **{"a→b": "SELECT 1;\n"})
    refused(latin.upgrade(), "a→b", "LATIN1", "Rename")
    assert latin.ledger() == {}


def test_a_project_in_a_folder_with_any_name_keeps_its_log(latin: Project) -> None:
    latin.wrapped(a="SELECT 1;\n")
    moved = latin.folder.rename(latin.folder.with_name("projet→"))
    there = Project(moved, latin.url)
    there.ok("upgrade", "head")
    assert there.scalar("SELECT status FROM migration_logs") == "SUCCESS"


def test_steps_are_recorded_with_a_commit_of_any_name(latin: Project) -> None:
    latin.wrapped(a="SELECT 1;\n", b="CREATE TABLE public.b (id int);\n")
    latin.ok("upgrade", "head", env={"GITHUB_RUN_NUMBER": "7", "GITHUB_SHA": "heiß → 7"})
    found = latin.query("SELECT DISTINCT commit_hash FROM migration_attempts")
    assert found == [(r"heiß \u2192 7",)]


@pytest.mark.parametrize("header", ["", "-- pgpipe: transaction = off\n"])
def test_a_database_without_an_encoding_takes_any_character(
    project: Project, header: str
) -> None:
    assert isinstance(project.url, URL)
    name = f"{project.url.database}_ascii"
    project.query(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        ascii_ = Project(project.folder, project.url.set(database=name))
        ascii_.wrapped(a=f"{header}/* é */ SELECT 1;\n")
        ascii_.ok("upgrade", "head")
    finally:
        project.query(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_script_keeps_its_letters(latin: Project) -> None:
    latin.wrapped(a="CREATE TABLE public.t AS SELECT 'Zürich'::text AS town;\n")
    assert isinstance(latin.url, URL)
    done = psql(latin.url, latin.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr
    assert latin.scalar("SELECT town FROM public.t") == "Zürich"
