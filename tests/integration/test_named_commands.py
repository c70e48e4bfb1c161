"""The commands that messages name are for the section that is at work."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

PROD = "alembic -n prod pgpipe"


@pytest.fixture
def prod(project: Project, second_database: URL) -> Project:
    """Give a project whose section [prod] has another database, and a source that fails."""
    project.wrapped(a1="SELECT 1/0;\n")
    ini = (project.folder / "alembic.ini").read_text()
    url = second_database.render_as_string(hide_password=False).replace("%", "%%")
    project.write(
        "alembic.ini",
        f"{ini}[prod]\nscript_location = %(here)s/alembic\nsqlalchemy.url = {url}\n",
    )
    return project


def test_the_commands_that_a_run_names_are_for_its_section(prod: Project) -> None:
    skip = f'{PROD} skip {revision_id("a1")} --reason "…"'
    for code in (1, 3):
        result = prod.alembic("-n", "prod", "upgrade", "head")
        assert result.code == code
        assert skip in result.output
        assert "alembic pgpipe" not in result.text
    log = prod.ok("pgpipe", "-n", "prod", "log").output
    assert skip in log and "alembic pgpipe" not in log
    assert skip in (prod.folder / "migration.log").read_text()


def test_the_commands_that_ours_name_are_for_their_section(prod: Project) -> None:
    assert prod.alembic("-n", "prod", "upgrade", "head").code == 1
    for way in (("-n", "prod", "pgpipe"), ("pgpipe", "-n", "prod")):
        assert f"or: {PROD} retry " in prod.ok(*way, "status").output
        assert f"or: {PROD} retry " in prod.ok(*way, "check", "--no-rehearsal").output
        assert f"See them all: {PROD} status --all" in prod.alembic(*way, "retry", "x").text
    result = prod.alembic("-n", "prod", "upgrade", "x")
    assert f"See them all: {PROD} status --all" in result.text


def test_a_line_of_a_file_is_shown_as_it_is(prod: Project) -> None:
    line = "SELECT 'then: alembic upgrade head', 1/0;"
    prod.source("a1", f"{line}\n")
    assert f"  1 | {line}\n" in prod.alembic("-n", "prod", "upgrade", "head").output


def test_an_empty_section_is_none(prod: Project) -> None:
    for way in (("-n", "", "pgpipe"), ("pgpipe", "-n", "")):
        assert "has no section []" in prod.alembic(*way, "status").text


def test_what_stands_ahead_of_the_group_counts_behind_it(prod: Project) -> None:
    assert prod.alembic("-n", "prod", "upgrade", "head").code == 1
    output = prod.ok("-n", "prod", "pgpipe", "-x", "pgpipe.retries=1", "status").output
    assert "1 ERROR" in output
    assert "alembic -n prod -x pgpipe.retries=1 pgpipe retry" in output
