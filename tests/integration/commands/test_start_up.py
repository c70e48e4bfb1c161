"""Commands that need no database never wait for what only a database needs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.project import Project

COMMAND = """
import sys
from alembic.config import main
try:
    main(argv=sys.argv[1:])
finally:
    print("imported:", *sys.modules)
"""
# What each command would wait for, were it imported at the top of some module.
LIBRARIES = frozenset({"boto3", "botocore", "psycopg2", "rich"})
ROOMS = frozenset(
    {"connect", "environment", "run.pipeline", "routines.rehearsal", "source.transaction"}
)


def imported(project: Project, *arguments: str) -> frozenset[str]:
    """Type ``alembic …`` in a process of its own; return what of those it imported."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=project.folder,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    names = done.stdout.rpartition("imported: ")[2].split()
    assert done.returncode == 0 and names, done.stdout + done.stderr
    return frozenset(name.removeprefix("alembic_pgpipe.") for name in names) & LIBRARIES | {
        room for room in ROOMS if f"alembic_pgpipe.{room}" in names
    }


@pytest.mark.parametrize(
    "typed",
    ["--help", "status --help", "init", "wrap", "wrap --check"],
)
def test_without_a_database_nothing_is_imported_for_one(project: Project, typed: str) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    assert imported(project, "pgpipe", *typed.split()) == frozenset()


def test_a_new_source_is_wrapped_without_them(project: Project) -> None:
    project.source("new", "CREATE TABLE brand_new ();\n")
    assert imported(project, "pgpipe", "wrap") == frozenset()
    assert list(project.folder.glob("alembic/versions/*_new.py"))


def test_a_command_that_shows_a_database_imports_them(project: Project) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    found = imported(project, "pgpipe", "status")
    assert found == (LIBRARIES | ROOMS) - {"boto3", "botocore", "routines.rehearsal"}
