"""What has little to do never waits for what only others need."""

from __future__ import annotations

import pytest

from tests.imported import imported
from tests.project import Project

# What each command would wait for, were it imported at the top of some module.
LIBRARIES = frozenset({"boto3", "botocore", "psycopg2", "rich"})
ROOMS = frozenset(
    f"alembic_pgpipe.{room}"
    for room in (
        *("aws", "connect", "environment", "run.pipeline"),
        *("rehearsal.database", "scratch", "source.transaction"),
    )
)
# What only a run needs that has a step to run.
OF_STEPS = frozenset(
    f"alembic_pgpipe.{module}"
    for module in (
        *("run.pipeline", "run.planner", "run.runner", "source.lexer"),
        *("sending.executor", "watching.progress", "outside"),
    )
)


def waited_for(project: Project, *arguments: str) -> frozenset[str]:
    """Type ``alembic …``; return what of those it imported."""
    return imported(project, *arguments) & (LIBRARIES | ROOMS)


@pytest.mark.parametrize(
    "typed",
    ["--help", "status --help", "init", "wrap", "wrap --check"],
)
def test_without_a_database_nothing_is_imported_for_one(project: Project, typed: str) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    assert waited_for(project, "pgpipe", *typed.split()) == frozenset()


def test_a_new_source_is_wrapped_without_them(project: Project) -> None:
    project.source("new", "CREATE TABLE brand_new ();\n")
    assert waited_for(project, "pgpipe", "wrap") == frozenset()
    assert list(project.folder.glob("alembic/versions/*_new.py"))


def test_a_command_that_shows_a_database_imports_them(project: Project) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    found = waited_for(project, "pgpipe", "status")
    assert found == (LIBRARIES | ROOMS) - {
        "boto3",
        "botocore",
        "alembic_pgpipe.rehearsal.database",
        "alembic_pgpipe.run.pipeline",
        "alembic_pgpipe.scratch",
    }


def test_a_run_that_has_nothing_to_do_imports_nothing_for_a_step(project: Project) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    assert imported(project, "upgrade", "head") >= OF_STEPS
    assert not imported(project, "upgrade", "head") & OF_STEPS
