"""The build's row: open while it runs, closed however it ends, never somebody else's."""

from __future__ import annotations

import json
import socket

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import busy_with, in_background
from tests.conftest import connect_to
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
FAILS = "SELECT 1/0;\n"
BUILD = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907", "GITHUB_REPOSITORY": "shop"}
ANOTHER = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "other"}
NEXT = {**BUILD, "GITHUB_RUN_NUMBER": "8", "GITHUB_RUN_ID": "908"}
THIRD = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "2", "GITHUB_REPOSITORY": "other"}
# What the bash tool writes, and what it makes of its two tables.
BASH_LOG = "Applying migration 20240101_users\nSUCCESS\n"
BASH_TABLE = """
    CREATE TABLE migration_logs (
        id SERIAL PRIMARY KEY, build_number TEXT UNIQUE NOT NULL,
        timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, logs TEXT NOT NULL,
        status TEXT CHECK (status IN ('SUCCESS', 'FAILURE')))
"""


def row(project: Project, number: str = "7") -> tuple[str, str | None]:
    """Return the log and the outcome of a build."""
    found = "SELECT logs, status FROM migration_logs WHERE build_number = %s"
    [(logs, status)] = project.query(found, number)
    return logs, status


def numbers(project: Project) -> list[str]:
    """Return the numbers of all builds, oldest first."""
    return [n for (n,) in project.query("SELECT build_number FROM migration_logs ORDER BY id")]


# -- while it runs, and at its end --------------------------------------------------------


def test_the_row_is_there_and_open_while_the_build_runs(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"), b="SELECT pg_advisory_xact_lock(42);\n")
    assert isinstance(project.url, URL)
    holder = connect_to(project.url)
    holder.cursor().execute("SELECT pg_advisory_lock(42)")
    with in_background(project, "upgrade", "head", env=BUILD) as run:
        busy_with(project, "%pg_advisory_xact_lock(42)%")
        logs, status = row(project)
        assert status is None
        assert logs.startswith("== build 7 (shop:907), ")
        assert f"[1/2] {revision_id('a')} a\n  applied" in logs
        assert f"[2/2] {revision_id('b')} b\n" in logs
        holder.close()
        assert run.wait(timeout=20) == 0
    logs, status = row(project)
    assert status == "SUCCESS"
    assert logs.endswith("\nSUCCESS\n")


def test_a_build_with_nothing_to_do_is_closed_with_success(project: Project) -> None:
    assert project.upgrade(env=BUILD).code == 0
    logs, status = row(project)
    assert status == "SUCCESS"
    assert "nothing to do" in logs


def test_a_failed_step_closes_the_build_with_failure_and_the_error(project: Project) -> None:
    project.wrapped(a=FAILS)
    assert project.upgrade(env=BUILD).code == 1
    logs, status = row(project)
    assert status == "FAILURE"
    assert "division by zero" in logs
    assert logs.endswith("\nFAILURE\n")


def test_a_check_that_fails_closes_the_build_with_failure(project: Project) -> None:
    project.wrapped(a="SELECT 1;\nCOMMIT;\n")
    assert project.upgrade(env=BUILD).code == 1
    logs, status = row(project)
    assert status == "FAILURE"
    assert "a.sql:2:1" in logs


def test_a_held_revision_closes_the_build_with_failure(project: Project) -> None:
    project.wrapped(a=FAILS)
    project.upgrade()
    assert project.upgrade(env=BUILD).code == 3
    logs, status = row(project)
    assert status == "FAILURE"
    assert "division by zero" in logs


def test_a_missing_undo_closes_the_build_with_failure(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    result = project.alembic("downgrade", "base", env=BUILD)
    refused(result, revision_id("a"), "alembic/sql/a.down.sql", "Nothing was run")
    logs, status = row(project)
    assert status == "FAILURE"
    assert "a.down.sql" in logs
    assert applied(project) == ["a"]


def test_a_ledger_that_says_nonsense_closes_the_build_with_failure(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.query("UPDATE migrations SET applied_status = 'DONE'")
    refused(project.upgrade(env=BUILD), "(a): its row says 'DONE'", "'DONE' → SUCCESS")
    logs, status = row(project)
    assert status == "FAILURE"
    assert "'DONE'" in logs


def test_a_failing_python_revision_closes_the_build_with_failure(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    [path] = project.folder.glob("alembic/versions/*.py")
    path.write_text(path.read_text().replace("op.run_source(source)", "raise ValueError('no')"))
    refused(project.upgrade(env=BUILD), "ValueError: no")
    logs, status = row(project)
    assert status == "FAILURE"
    assert "ValueError: no" in logs


# -- the same build again ------------------------------------------------------------------


def test_a_second_run_of_a_build_has_its_own_heading_and_its_outcome_stands(
    project: Project,
) -> None:
    project.wrapped(a=FAILS)
    assert project.upgrade(env=BUILD).code == 1
    project.source("a", TABLE.format("a"))
    assert project.upgrade(env=BUILD).code == 0
    logs, status = row(project)
    assert status == "SUCCESS"
    first, second = logs.split("== build 7 (shop:907), ")[1:]
    assert "division by zero" in first
    assert first.endswith("FAILURE\n\n")
    assert "applied in" in second
    assert numbers(project) == ["7"]


def test_a_second_run_that_fails_makes_the_build_a_failure(project: Project) -> None:
    assert project.upgrade(env=BUILD).code == 0
    project.wrapped(a=FAILS)
    assert project.upgrade(env=BUILD).code == 1
    assert row(project)[1] == "FAILURE"


# -- another build's number ----------------------------------------------------------------


def test_another_builds_number_is_left_alone_and_ours_is_recorded_beside_it(
    project: Project,
) -> None:
    assert project.upgrade(env=BUILD).code == 0
    before = row(project)
    project.wrapped(a=TABLE.format("a"))
    result = project.upgrade(env=ANOTHER)
    assert result.code == 0
    assert "warning: build 7 in public.migration_logs is another build" in result.text
    assert "recorded as 7@other" in result.text
    assert row(project) == before
    logs, status = row(project, "7@other")
    assert status == "SUCCESS"
    assert "warning: build 7" in logs


def test_a_third_build_of_one_number_is_left_alone_too(project: Project) -> None:
    for build in (BUILD, ANOTHER, THIRD):
        assert project.upgrade(env=build).code == 0
    assert numbers(project) == ["7", "7@other", "7@other:2"]
    before = [row(project, number) for number in numbers(project)]
    for build in (BUILD, ANOTHER, THIRD):
        assert project.upgrade(env=build).code == 0
    after = [row(project, number) for number in numbers(project)]
    assert [logs.count("== build 7 (") for logs, _ in after] == [2, 2, 2]
    assert all(a[0].startswith(b[0]) for a, b in zip(after, before, strict=True))


def test_a_row_of_the_bash_tool_is_another_build(project: Project) -> None:
    project.query(BASH_TABLE)
    project.query(
        "INSERT INTO migration_logs (build_number, logs, status) VALUES ('7', %s, 'SUCCESS')",
        BASH_LOG,
    )
    project.wrapped(a=FAILS)
    assert project.upgrade(env=BUILD).code == 1
    assert row(project) == (BASH_LOG, "SUCCESS")
    assert row(project, "7@shop")[1] == "FAILURE"


def shown_builds(project: Project) -> dict[str, str]:
    """Return by the name of each revision in which build it was last, as ``status`` says."""
    rows = json.loads(project.ok("pgpipe", "status", "--json").output)["revisions"]
    return {row["name"]: row["build_number"] for row in rows}


def test_what_a_build_has_done_leads_to_the_row_that_has_its_log(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    for build in (BUILD, ANOTHER):
        assert project.upgrade(env=build).code == 0
    project.wrapped(b=TABLE.format("b"))
    assert project.upgrade(env=THIRD).code == 0
    project.wrapped(c=FAILS)
    assert project.upgrade(env=ANOTHER).code == 1
    assert shown_builds(project) == {"a": "7", "b": "7@other:2", "c": "7@other"}
    assert "division by zero" in project.ok("pgpipe", "log", "7@other").output
    project.ok("pgpipe", "close", "--status", "failure", "--junit", "report.xml", env=NEXT)
    assert "it failed in build 7@other, and" in (project.folder / "report.xml").read_text()
    project.source("b", FAILS)
    note = "its source differs from what build 7@other:2 applied"
    assert note in project.ok("pgpipe", "status").output


def test_a_decision_leads_to_the_row_of_the_run_that_comes_after_it(project: Project) -> None:
    project.wrapped(a=FAILS)
    assert project.upgrade(env=BUILD).code == 1
    project.ok("pgpipe", "skip", "a", "--reason", "never", env=ANOTHER)
    assert project.upgrade(env=ANOTHER).code == 0
    assert shown_builds(project) == {"a": "7@other"}


def test_a_build_that_has_died_under_another_ones_number_is_closed_in_its_own_row(
    project: Project,
) -> None:
    assert project.upgrade(env=BUILD).code == 0
    project.wrapped(a=TABLE.format("a"))
    assert project.upgrade(env=ANOTHER).code == 0
    project.query("DELETE FROM alembic_version; DROP TABLE a")
    project.query("UPDATE migrations SET applied_status = 'RUNNING'")
    project.query("UPDATE migration_attempts SET outcome = 'RUNNING'")
    project.query("UPDATE migration_logs SET status = NULL")
    result = project.upgrade(env=NEXT)
    assert "build 7@other was interrupted in it" in result.text
    died = f"died in {revision_id('a')}; build 8 found it so\nFAILURE\n"
    assert row(project, "7@other")[0].endswith(died)
    assert "died in" not in row(project)[0]


def test_without_the_builds_rows_an_attempt_has_the_number_that_it_keeps(
    project: Project,
) -> None:
    project.wrapped(a=TABLE.format("a"))
    assert project.upgrade(env=BUILD).code == 0
    project.query("DROP TABLE migration_logs")
    assert shown_builds(project) == {"a": "7"}
    assert project.alembic("pgpipe", "check").code == 0


def test_local_run_of_the_bash_tool_is_continued(project: Project) -> None:
    project.query(BASH_TABLE)
    project.query(
        "INSERT INTO migration_logs (build_number, logs, status) "
        "VALUES ('local_run', %s, 'FAILURE')",
        BASH_LOG,
    )
    assert project.upgrade().code == 0
    logs, status = row(project, "local_run")
    assert logs.startswith(f"{BASH_LOG}\n== build local_run (local_run), ")
    assert status == "SUCCESS"
    assert numbers(project) == ["local_run"]


# -- other numbers -------------------------------------------------------------------------


def test_the_project_may_name_the_variable_of_the_number(project: Project) -> None:
    project.configure(build_number_env="RELEASE")
    assert project.upgrade(env={**BUILD, "RELEASE": "2026.3"}).code == 0
    assert numbers(project) == ["2026.3"]


def test_a_variable_that_is_not_set_is_named(project: Project) -> None:
    project.configure(build_number_env="RELEASE")
    refused(project.upgrade(env=BUILD), "pgpipe.build_number_env", "RELEASE", "not set")


# -- no database ---------------------------------------------------------------------------


def test_without_a_database_the_file_has_the_log(project: Project) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    project.url = f"postgresql://app@127.0.0.1:{port}/shop"
    project.configure()
    line = refused(project.upgrade(env=BUILD), "does not answer", code=5)
    log = (project.folder / "migration.log").read_text()
    said = line.removeprefix("FAILED: ")
    assert log.endswith(f"\n{said}\n")
    assert "Connection refused. Is the server running on that host" in said


@pytest.mark.parametrize("broken", ["directory", "no right"])
def test_a_log_file_that_cannot_be_written_does_not_fail_the_build(
    project: Project, broken: str
) -> None:
    if broken == "directory":
        (project.folder / "migration.log").mkdir()
    else:
        project.configure(log_file="/proc/nowhere/migration.log")
    assert project.upgrade(env=BUILD).code == 0
    assert row(project)[1] == "SUCCESS"
