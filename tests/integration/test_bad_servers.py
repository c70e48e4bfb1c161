"""No server, the wrong one, or one that refuses: said in one line, and nothing is lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import applied, refused

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
    assert "Connection refused. Is the server running" in log
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


def test_a_missing_database_of_a_variable_is_said_to_be_that(
    project: Project, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", str(database.query["host"]))
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", "nowhere")
    elsewhere = Project(project.folder, "")
    refused(elsewhere.upgrade(), "Check the name in PGUSER and PGDATABASE", code=5)


@pytest.mark.parametrize("port", ["nonsense", "70000"])
def test_a_port_that_is_none_is_named(
    project: Project, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", port)
    line = refused(Project(project.folder, "").upgrade(), port, "mend PGPORT", code=5)
    assert "network" not in line


def test_a_user_who_may_not_log_in_is_told_what_helps(project: Project) -> None:
    assert isinstance(project.url, URL)
    role = f"role_{project.url.database}"
    project.query(f"CREATE ROLE {role}")
    barred = Project(project.folder, project.url.set(username=role))
    refused(barred.upgrade(), "not permitted to log in", "ALTER ROLE … LOGIN;", code=5)
    project.query(f"DROP ROLE {role}")


def test_a_database_that_takes_nobody_in_is_told_what_helps(
    project: Project, second_database: URL
) -> None:
    project.query(f"ALTER DATABASE {second_database.database} ALLOW_CONNECTIONS false")
    closed = Project(project.folder, second_database)
    refused(closed.upgrade(), "Somebody has closed it", "ALLOW_CONNECTIONS true;", code=5)
    project.query(f"ALTER DATABASE {second_database.database} ALLOW_CONNECTIONS true")


# -- no room --------------------------------------------------------------------------------


@pytest.fixture
def limited(project: Project) -> Iterator[Project]:
    """Give a project whose user may open two connections; a run needs three."""
    admin = project.url
    assert isinstance(admin, URL)
    user = f"user_{admin.database}"
    project.query(f"CREATE ROLE {user} LOGIN CONNECTION LIMIT 2")
    project.query(f"GRANT ALL ON SCHEMA public TO {user}")
    project.wrapped(a=TABLE.format("a"))
    yield as_user(project, user)
    forget(project, admin, user)


def as_user(project: Project, user: str) -> Project:
    """Let the project connect as another user."""
    assert isinstance(project.url, URL)
    project.url = project.url.set(username=user)
    project.configure()
    return project


def forget(project: Project, admin: URL, user: str) -> None:
    """Drop a user with all that is his."""
    project.url = admin
    project.query(f"DROP OWNED BY {user}")
    project.query(f"DROP ROLE {user}")


def test_too_few_connections_say_how_many_are_needed(limited: Project) -> None:
    refused(
        limited.upgrade(),
        "too many connections for role",
        "needs three connections",
        "CONNECTION LIMIT",
        code=5,
    )
    assert applied(limited) == []
    [(status, logs)] = limited.query("SELECT status, logs FROM migration_logs")
    assert status == "FAILURE"
    assert "too many connections" in logs


# -- no privilege ---------------------------------------------------------------------------


@pytest.fixture
def poor(project: Project) -> Iterator[Project]:
    """Give a project whose user may do nothing but connect."""
    admin = project.url
    assert isinstance(admin, URL)
    user = f"user_{admin.database}"
    project.query(f"CREATE ROLE {user} LOGIN")
    project.wrapped(a="SELECT 1;\n")
    yield as_user(project, user)
    forget(project, admin, user)


def prepared(project: Project, *statements: str) -> None:
    """Run statements as the owner of the database."""
    assert isinstance(project.url, URL)
    user, project.url = project.url, project.url.set(username="postgres")
    for statement in statements:
        project.query(statement)
    project.url = user


def granted(project: Project, line: str) -> None:
    """Let the owner run the GRANT that a message names."""
    prepared(project, line[line.index("GRANT") : line.index(";")])


def test_no_create_on_the_schema_names_the_grant_that_helps(poor: Project) -> None:
    line = refused(poor.upgrade(), "permission denied for schema public", "pgpipe.schema")
    assert "LINE" not in line
    assert "permission denied" in (poor.folder / "migration.log").read_text()
    granted(poor, line)
    poor.ok("upgrade", "head")


def test_no_schema_and_no_create_on_the_database_names_the_grant_that_helps(
    poor: Project,
) -> None:
    poor.configure(schema="ledger")
    granted(poor, refused(poor.upgrade(), "permission denied for database"))
    poor.ok("upgrade", "head")
    assert poor.ledger("ledger") == {"a": "SUCCESS"}


def test_a_ledger_of_somebody_else_names_each_grant_that_helps(poor: Project) -> None:
    poor.configure(schema="ledger")
    user = poor.url
    assert isinstance(user, URL)
    poor.url = user.set(username="postgres")
    poor.configure()
    poor.ok("upgrade", "head")
    poor.url = user
    poor.configure()
    for missing in ("schema ledger", "table migration_logs", "sequence"):
        granted(poor, refused(poor.upgrade(), f"permission denied for {missing}"))
    poor.ok("upgrade", "head")


@pytest.mark.parametrize(
    "function",
    [
        "pg_try_advisory_xact_lock_shared(bigint)",
        "pg_try_advisory_xact_lock(bigint)",
        "pg_advisory_lock_shared(bigint)",
        "hashtextextended(text, bigint)",
    ],
)
def test_a_function_that_may_not_be_called_names_the_grant_that_helps(
    poor: Project, function: str
) -> None:
    assert isinstance(poor.url, URL)
    revoke = f"REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC"
    prepared(poor, f"GRANT ALL ON SCHEMA public TO {poor.url.username}", revoke)
    name = function.partition("(")[0]
    line = refused(poor.upgrade(), f"permission denied for function {name}")
    assert f"GRANT EXECUTE ON FUNCTION {name}" in line
    assert "pgpipe.schema" not in line
    granted(poor, line)
    poor.ok("upgrade", "head")


def test_a_decision_without_privilege_is_refused_the_same_way(poor: Project) -> None:
    prepared(poor, "CREATE SCHEMA ledger")
    poor.configure(schema="ledger")
    skip = ("pgpipe", "skip", "a", "--reason", "x")
    granted(poor, refused(poor.alembic(*skip), "permission denied for schema ledger"))
    poor.ok(*skip)


def test_a_role_that_may_not_be_taken_names_the_grant_that_helps(poor: Project) -> None:
    assert isinstance(poor.url, URL)
    owner = f"owner_{poor.url.database}"
    prepared(poor, f"CREATE ROLE {owner}", f"GRANT ALL ON SCHEMA public TO {owner}")
    poor.configure(role=owner)
    try:
        granted(poor, refused(poor.upgrade(), "pgpipe.role", f'"{owner}"'))
        poor.ok("upgrade", "head")
    finally:
        prepared(poor, f"DROP OWNED BY {owner}", f"DROP ROLE {owner}")


def test_a_role_that_does_not_exist_is_named(poor: Project) -> None:
    poor.configure(role="nobody_here")
    refused(poor.upgrade(), "pgpipe.role", '"nobody_here" does not exist')


# -- read-only ------------------------------------------------------------------------------


def read_only(project: Project) -> None:
    """Make every new session on the database read-only."""
    assert isinstance(project.url, URL)
    project.query(
        f'ALTER DATABASE "{project.url.database}" SET default_transaction_read_only = on'
    )


def test_a_read_only_server_without_a_ledger_is_named(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    read_only(project)
    refused(project.upgrade(), "read-only", "CREATE TABLE", "primary server")
    assert "read-only" in (project.folder / "migration.log").read_text()
    assert project.ok("pgpipe", "check").code == 0
    assert "WAITING" in project.ok("pgpipe", "status").output


def test_a_read_only_server_with_a_ledger_keeps_all_as_it_was(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(b=TABLE.format("b"))
    before = project.query("SELECT build_number, status, logs FROM migration_logs")
    read_only(project)
    refused(project.upgrade(), "read-only", "primary server")
    refused(project.alembic("pgpipe", "skip", "b", "--reason", "x"), "read-only")
    assert project.ledger() == {"a": "SUCCESS"}
    assert project.query("SELECT build_number, status, logs FROM migration_logs") == before
    assert project.ok("pgpipe", "status").code == 0


# -- a table of somebody else ---------------------------------------------------------------


@pytest.mark.parametrize("table", ["migrations", "migration_logs", "migration_attempts"])
def test_a_table_of_somebody_else_is_left_alone_and_the_setting_is_named(
    project: Project, table: str
) -> None:
    project.query(f"CREATE TABLE {table} AS SELECT 1 AS id, 'theirs' AS note")
    project.wrapped(a=TABLE.format("a"))
    for command in (("upgrade", "head"), ("pgpipe", "status"), ("pgpipe", "check")):
        refused(
            project.alembic(*command),
            f"public.{table} belongs to something else",
            "set pgpipe.schema = pgpipe in alembic.ini",
        )
    assert project.query(f"SELECT * FROM {table}") == [(1, "theirs")]
    project.configure(schema="pgpipe")
    project.ok("upgrade", "head")
    assert project.query(f"SELECT * FROM {table}") == [(1, "theirs")]
    assert project.ledger("pgpipe") == {"a": "SUCCESS"}


# -- gone in the middle ---------------------------------------------------------------------


def test_a_connection_that_is_killed_in_a_step_loses_nothing(project: Project) -> None:
    project.wrapped(
        a=TABLE.format("a"),
        b=TABLE.format("b") + "SELECT pg_terminate_backend(pg_backend_pid());\n",
    )
    refused(
        project.upgrade(),
        revision_id("b"),
        "terminating connection",
        "b.sql:2:1",
        "The next run goes on from here: alembic upgrade head",
        code=5,
    )
    assert applied(project) == ["a"]
    assert project.ledger() == {"a": "SUCCESS", "b": "RUNNING"}
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED")]
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
    id_, text = revision_id("b"), str(project.scalar("SELECT logs FROM migration_logs"))
    assert f"the next run goes on from here · skip: alembic pgpipe skip {id_} --reason" in text
    project.source("b", TABLE.format("b"))
    # Nobody has anything to decide: the next run goes on.
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b"]


# All sessions of the run but this one and the one whose transaction holds the lock.
END_JOURNAL = """
DO $$ BEGIN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name LIKE 'alembic-pgpipe%' AND pid <> pg_backend_pid()
      AND datname = current_database() AND state <> 'idle in transaction';
    RAISE NOTICE 'it is gone';
END $$;
SELECT pg_sleep(2.5);
"""


def test_a_journal_that_is_killed_under_a_long_statement_is_opened_anew(
    project: Project,
) -> None:
    project.wrapped(a=TABLE.format("a") + END_JOURNAL, b=TABLE.format("b"))
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}
    [(status, logs)] = project.query("SELECT status, logs FROM migration_logs")
    assert status == "SUCCESS"
    assert "it is gone" in logs


def test_a_source_that_ends_its_own_connection_each_time_can_be_skipped(
    project: Project,
) -> None:
    ending = "SELECT pg_terminate_backend(pg_backend_pid());\n"
    project.wrapped(b=ending, c=TABLE.format("c"))
    assert [project.upgrade().code for _ in range(2)] == [5, 5]
    project.ok("pgpipe", "skip", "b", "--reason", "the server dies of it")
    project.ok("upgrade", "head")
    assert project.ledger() == {"b": "SKIPPED", "c": "SUCCESS"}
    assert applied(project) == ["c"]
