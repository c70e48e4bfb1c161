"""Files that the user who runs may not read: a sentence, and nothing is lost without a word."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# A command imports it late, and whoever has few rights may not be able to read Python's files.
import rich.table  # noqa: F401
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project, Result
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"


@contextmanager
def with_few_rights(project: Project) -> Iterator[None]:
    """Do without the rights of root, who may read everything; the server's user has none."""
    if os.geteuid():
        yield
        return
    assert isinstance(project.url, URL)
    os.seteuid(Path(str(project.url.query["host"])).stat().st_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def typed(project: Project, *arguments: str) -> Result:
    """Type ``alembic …`` as a user with few rights."""
    with with_few_rights(project):
        return project.alembic(*arguments)


@pytest.fixture
def project(database: URL) -> Iterator[Project]:
    """Give a project that everybody may write, in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-tests-") as name:
        made = Project(Path(name), database)
        made.wrapped(a=TABLE.format("a"), b=TABLE.format("b"))
        for path in (made.folder, *made.folder.rglob("*")):
            path.chmod(0o777)
        yield made
        for path in made.folder.rglob("*"):
            path.chmod(0o700)


def source(project: Project) -> Path:
    return project.folder / "alembic/sql/b.sql"


def sources(project: Project) -> Path:
    return project.folder / "alembic/sql"


@pytest.mark.parametrize("which", [source, sources])
def test_a_source_that_may_not_be_read_is_named_before_anything_runs(
    project: Project, which: Callable[[Project], Path]
) -> None:
    which(project).chmod(0)
    check = typed(project, "pgpipe", "check", "--no-rehearsal")
    assert check.code == 6
    assert "alembic/sql/b.sql: " in check.output
    assert "Permission denied" in check.output
    assert typed(project, "pgpipe", "status").code == 0
    refused(typed(project, "upgrade", "head"), "Permission denied")
    assert applied(project) == []


def test_a_folder_of_a_source_that_may_not_be_entered_is_named(project: Project) -> None:
    project.write("alembic/sql/new/migration.sql", TABLE.format("new"))
    (project.folder / "alembic/sql/new").chmod(0)
    refused(
        typed(project, "pgpipe", "wrap"), "alembic/sql/new: this folder cannot be", "denied"
    )


def test_a_revision_that_may_not_be_read_is_named(project: Project) -> None:
    [path] = project.folder.glob(f"alembic/versions/{revision_id('b')}_*.py")
    path.chmod(0)
    for command in (("pgpipe", "wrap"), ("pgpipe", "status"), ("upgrade", "head")):
        refused(typed(project, *command), path.name, "Permission denied", "Nothing was run")
    assert applied(project) == []


def test_a_routine_that_may_not_be_read_is_named(project: Project) -> None:
    path = project.write("alembic/routines/f.sql", "CREATE FUNCTION f() …")
    path.chmod(0)
    refused(
        typed(project, "pgpipe", "wrap"), "alembic/routines/f.sql: this file cannot be read"
    )


def test_a_folder_that_may_not_be_written_is_named(project: Project) -> None:
    project.source("new", TABLE.format("new"))
    (project.folder / "alembic/versions").chmod(0o555)
    refused(typed(project, "pgpipe", "wrap"), "alembic/versions", "Permission denied")


def test_a_log_file_that_may_not_be_written_stops_nobody(project: Project) -> None:
    project.write("migration.log", "").chmod(0)
    assert typed(project, "upgrade", "head").code == 0
    assert applied(project) == ["a", "b"]
