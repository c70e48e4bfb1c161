"""No server, the wrong one, or one that refuses: said in one line, and nothing is lost."""

from __future__ import annotations

import socket
from pathlib import Path

from sqlalchemy import URL

from tests.project import Project
from tests.refusal import refused

TABLE = "CREATE TABLE public.{0} (id int);\n"

# -- no database, or the wrong one ----------------------------------------------------------


def test_no_url_lists_the_choices(tmp_path: Path) -> None:
    project = Project(tmp_path, "")
    line = refused(project.upgrade(), "No database is named")
    for choice in (
        "sqlalchemy.url",
        "secretsmanager://",
        "scratch://",
        "PGPIPE_SECRET",
        "PGHOST",
    ):
        assert choice in line
    refused(project.alembic("pgpipe", "status"), "No database is named")


def test_the_placeholder_url_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path, "driver://user:pass@localhost/dbname")
    refused(project.upgrade(), "placeholder", "alembic init", "sqlalchemy.url")


def test_another_dialect_is_refused(tmp_path: Path) -> None:
    project = Project(tmp_path, "mysql://app:hidden@localhost/shop")
    assert "hidden" not in refused(project.upgrade(), "'mysql'", "postgresql://USER@HOST")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_unreachable_host_is_exit_5_and_leaves_a_log_file(tmp_path: Path) -> None:
    port = closed_port()
    project = Project(tmp_path, f"postgresql://app:hidden@127.0.0.1:{port}/shop")
    project.wrapped(a=TABLE.format("a"))
    line = refused(
        project.upgrade(), f"shop at 127.0.0.1:{port} as app", "alembic pgpipe wait", code=5
    )
    log = (tmp_path / "migration.log").read_text()
    assert "UnreachableError" in log
    assert "hidden" not in line + log
    refused(project.alembic("pgpipe", "status"), f"127.0.0.1:{port}", code=5)


def test_the_log_file_is_where_the_project_says(tmp_path: Path) -> None:
    project = Project(tmp_path, f"postgresql://app@127.0.0.1:{closed_port()}/shop")
    project.configure(log_file="logs/run.log")
    refused(project.upgrade(), code=5)
    assert "does not answer" in (tmp_path / "logs/run.log").read_text()
    assert not (tmp_path / "migration.log").exists()


def test_a_missing_database_is_named(project: Project, database: URL) -> None:
    elsewhere = Project(project.folder, database.set(database="nowhere"))
    refused(elsewhere.upgrade(), '"nowhere" does not exist', "create it", code=5)
