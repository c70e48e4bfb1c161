"""``alembic pgpipe close``: this build's row has an outcome, whatever failed before."""

from __future__ import annotations

import socket
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from alembic.config import Config
from sqlalchemy import URL

from alembic_pgpipe.commands.close import close
from tests.background import busy_with, in_background
from tests.conftest import connect_to
from tests.project import Project
from tests.refusal import refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
FAILS = "SELECT 1/0;\n"
BUILD = {
    "CI": "true",
    "GITHUB_RUN_NUMBER": "7",
    "GITHUB_RUN_ID": "907",
    "GITHUB_REPOSITORY": "shop",
}
ANOTHER = {**BUILD, "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "other"}
NEXT = {**BUILD, "GITHUB_RUN_NUMBER": "8", "GITHUB_RUN_ID": "908"}
HEADING = "== build 7 (shop:907), "


def row(project: Project, number: str = "7") -> tuple[str, str | None]:
    """Return the log and the outcome of a build."""
    found = "SELECT logs, status FROM migration_logs WHERE build_number = %s"
    [(logs, status)] = project.query(found, number)
    return logs, status


def closed(project: Project, status: str = "failure", env: dict[str, str] = BUILD) -> str:
    """Close a build and return what was said."""
    return project.ok("pgpipe", "close", "--status", status, env=env).output


def log_file(project: Project) -> Path:
    return project.folder / "migration.log"


# -- a build that no run has opened ---------------------------------------------------------


def test_a_build_that_failed_before_its_run_has_a_row_with_what_was_said(
    project: Project,
) -> None:
    project.wrapped(a="SELECT 1;\nCOMMIT;\n")
    check = project.alembic("pgpipe", "check", env=BUILD)
    assert check.code == 6
    assert "build 7: FAILURE · it had no row" in closed(project)
    logs, status = row(project)
    assert status == "FAILURE"
    assert logs.startswith(HEADING)
    assert f"alembic pgpipe check (exit code 6)\n{check.output.rstrip()}\n" in logs
    assert logs.endswith("\nFAILURE\n")


def test_a_build_that_left_no_word_has_a_row_all_the_same(project: Project) -> None:
    closed(project)
    logs, status = row(project)
    assert status == "FAILURE"
    assert logs.startswith(HEADING)
    assert "the CI system's log has it" in logs


def test_a_build_without_a_run_may_have_succeeded(project: Project) -> None:
    assert "build 7: SUCCESS" in closed(project, "success")
    logs, status = row(project)
    assert status == "SUCCESS"
    assert logs.endswith("\nSUCCESS\n")


def test_a_cancelled_build_is_a_failure(project: Project) -> None:
    closed(project, "Cancelled")
    assert row(project)[1] == "FAILURE"


def test_the_row_of_another_build_is_left_alone(project: Project) -> None:
    assert project.upgrade(env=ANOTHER).code == 0
    before = row(project)
    assert "build 7@shop: FAILURE" in closed(project)
    assert row(project) == before
    assert row(project, "7@shop")[1] == "FAILURE"


def test_closing_creates_no_more_than_the_row_needs_and_the_next_run_the_rest(
    project: Project,
) -> None:
    closed(project)
    assert project.scalar("SELECT to_regclass('migrations') IS NULL")
    project.wrapped(a=TABLE.format("a"))
    assert project.upgrade(env=NEXT).code == 0
    assert project.ledger() == {"a": "SUCCESS"}


def test_closing_does_not_hide_a_history_that_is_kept_elsewhere(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.configure(schema="ours")
    project.ok("upgrade", "head")
    project.configure(schema="public")
    refused(project.upgrade(env=BUILD), "ours")
    closed(project)
    refused(project.upgrade(env=NEXT), "ours")


# -- a build that a run has opened ----------------------------------------------------------


def test_a_build_whose_run_succeeded_stays_a_success(project: Project) -> None:
    project.upgrade(env=BUILD)
    before = row(project)
    assert "build 7: SUCCESS · it was closed already" in closed(project, "success")
    assert row(project) == before


@pytest.mark.parametrize("status", ["success", "failure"])
def test_a_build_whose_run_failed_stays_a_failure(project: Project, status: str) -> None:
    project.wrapped(a=FAILS)
    assert project.upgrade(env=BUILD).code == 1
    before = row(project)
    assert "build 7: FAILURE · it was closed already" in closed(project, status)
    assert row(project) == before


def test_a_build_that_failed_after_its_run_becomes_a_failure_with_what_was_said(
    project: Project,
) -> None:
    project.upgrade(env=BUILD)
    before, _ = row(project)
    assert project.alembic("pgpipe", "retry", "nothing", env=BUILD).code == 1
    assert "its run succeeded; what failed or was cancelled came after it" in closed(project)
    logs, status = row(project)
    assert status == "FAILURE"
    assert logs.startswith(before)
    added = logs.removeprefix(before)
    assert added.startswith(HEADING)
    assert "No revision goes by 'nothing'" in added
    assert added.endswith("what failed or was cancelled came after it\nFAILURE\n")


def test_closing_twice_changes_nothing_the_second_time(project: Project) -> None:
    project.upgrade(env=BUILD)
    closed(project)
    before = row(project)
    closed(project)
    assert row(project) == before


def test_a_build_whose_run_died_is_a_failure_whatever_is_said(project: Project) -> None:
    project.upgrade(env=BUILD)
    project.query("UPDATE migration_logs SET status = NULL, logs = left(logs, 60)")
    assert "its run had died" in closed(project, "success")
    logs, status = row(project)
    assert status == "FAILURE"
    assert "nothing to do" in logs
    assert logs.count(HEADING) == 1


def test_a_build_whose_run_is_at_work_is_not_closed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.wrapped(a="SELECT pg_advisory_xact_lock(42);\n")
    assert isinstance(project.url, URL)
    gate = connect_to(project.url)
    gate.cursor().execute("SELECT pg_advisory_lock(42)")
    with in_background(project, "upgrade", "head", env=BUILD) as run:
        busy_with(project, "%pg_advisory_xact_lock(42)%")
        journal = project.scalar(
            "SELECT pid FROM pg_locks WHERE mode = 'ShareLock' AND objsubid = 1"
        )
        shut = ("pgpipe", "close", "--status", "failure", "--timeout", "0")
        line = refused(
            project.alembic(*shut, env=BUILD), "Build 7", f"process {journal}", code=4
        )
        assert "still at work" in line
        assert row(project)[1] is None
        closed(project, env=ANOTHER)
        gate.close()
        # It is waited for as long as that takes.
        for name, value in BUILD.items():
            monkeypatch.setenv(name, value)
        result = close(Config(project.folder / "alembic.ini"), succeeded=True, timeout=20)
        assert result.succeeded
        assert run.wait(timeout=20) == 0
    assert row(project)[1] == "SUCCESS"


def test_a_number_that_a_run_of_another_build_passed_over_is_not_taken_for_alive(
    project: Project,
) -> None:
    project.upgrade(env=BUILD)
    project.query("UPDATE migration_logs SET status = NULL")
    project.wrapped(a="SELECT pg_advisory_xact_lock(42);\n")
    assert isinstance(project.url, URL)
    gate = connect_to(project.url)
    gate.cursor().execute("SELECT pg_advisory_lock(42)")
    with in_background(project, "upgrade", "head", env=ANOTHER) as run:
        busy_with(project, "%pg_advisory_xact_lock(42)%")
        result = project.alembic(
            "pgpipe", "close", "--status", "failure", "--timeout", "0", env=BUILD
        )
        assert result.code == 0, result.text
        gate.close()
        assert run.wait(timeout=20) == 0


# -- what is in the way ---------------------------------------------------------------------


def test_broken_revisions_do_not_keep_a_build_open(project: Project) -> None:
    project.wrapped(a=FAILS)
    project.upgrade(env=BUILD)
    project.write("alembic/versions/broken.py", "this is not Python\n")
    assert "note: the other revisions are not shown: " in closed(project)
    assert "build 8: FAILURE" in closed(project, env=NEXT)
    assert row(project, "8")[1] == "FAILURE"


def test_without_a_database_it_is_exit_5_and_the_report_is_written(project: Project) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    project.url = f"postgresql://app@127.0.0.1:{port}/shop"
    project.configure()
    refused(project.alembic("pgpipe", "wait", "--timeout", "0", env=BUILD), "Gave up", code=5)
    report = project.folder / "reports" / "pgpipe.xml"
    shut = ("pgpipe", "close", "--status", "failure", "--junit", str(report))
    refused(project.alembic(*shut, env=BUILD), "does not answer", code=5)
    [failure] = ET.parse(report).getroot().iter("failure")
    assert failure.get("type") == "UnreachableError"
    assert "alembic pgpipe wait (exit code 5)\nGave up after 0 s" in str(failure.text)
    assert "alembic pgpipe close (exit code 5)" in log_file(project).read_text()


def test_where_nobody_says_how_the_build_stands_it_asks(project: Project) -> None:
    refused(project.alembic("pgpipe", "close", env=BUILD), "--status success", "CI_JOB_STATUS")
    assert project.scalar("SELECT to_regclass('migration_logs') IS NULL")


def test_the_ci_system_says_how_the_build_stands(project: Project) -> None:
    codebuild = {"CODEBUILD_BUILD_ID": "shop:1", "CODEBUILD_BUILD_NUMBER": "7"}
    project.ok("pgpipe", "close", env={**codebuild, "CODEBUILD_BUILD_SUCCEEDING": "0"})
    assert row(project)[1] == "FAILURE"


def test_a_report_that_cannot_be_written_is_named_and_the_build_closed(
    project: Project,
) -> None:
    shut = ("pgpipe", "close", "--status", "failure", "--junit", "alembic.ini/report.xml")
    result = project.alembic(*shut, env=BUILD)
    assert result.code == 1
    assert "alembic.ini/report.xml" in result.text
    assert "FAILURE" in result.output
    assert row(project)[1] == "FAILURE"


# -- the log file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", [("wrap", "--check"), ("retry", "nothing"), ("chekc",), ("skip", "b")]
)
def test_what_a_failing_command_said_is_kept_in_a_ci_build(
    project: Project, verb: tuple[str, ...]
) -> None:
    project.source("a", TABLE.format("a"))
    result = project.alembic("pgpipe", *verb, env=BUILD)
    assert result.code != 0
    log = log_file(project).read_text()
    assert log.startswith(HEADING)
    assert "None" not in log
    last = [line for line in result.text.splitlines() if line][-1]
    assert last.removeprefix("FAILED: ").removeprefix("Error: ") in log


def test_at_a_desk_nothing_is_kept(project: Project) -> None:
    assert project.alembic("pgpipe", "retry", "nothing").code == 1
    assert not log_file(project).exists()


def test_what_succeeds_is_not_kept(project: Project) -> None:
    project.ok("pgpipe", "check", env=BUILD)
    assert not log_file(project).exists()


def test_the_run_of_the_same_build_goes_on_in_the_file_and_the_next_build_begins_it_anew(
    project: Project,
) -> None:
    project.alembic("pgpipe", "retry", "nothing", env=BUILD)
    project.upgrade(env=BUILD)
    log = log_file(project).read_text()
    assert log.count(HEADING) == 2
    assert log.index("No revision goes by 'nothing'") < log.index("nothing to do")
    project.upgrade(env=NEXT)
    log = log_file(project).read_text()
    assert log.startswith("== build 8 (shop:908), ")
    assert HEADING not in log


def test_a_password_is_not_kept(project: Project) -> None:
    env = {**BUILD, "PGPASSWORD": "Xq7-secret"}
    assert project.alembic("pgpipe", "retry", "Xq7-secret", env=env).code == 1
    log = log_file(project).read_text()
    assert "No revision goes by '***'" in log
    closed(project, env=env)
    assert "Xq7" not in row(project)[0]


def test_a_password_that_a_source_holds_is_not_kept_of_a_check(project: Project) -> None:
    assert isinstance(project.url, URL)
    project.url = project.url.set(password="Xq7-secret")
    project.configure()
    project.wrapped(a="SELECT 'Xq7-secret'::int;\n")
    check = project.alembic("pgpipe", "check", env=BUILD)
    assert check.code == 6
    log = log_file(project).read_text()
    assert '"***"' in log and "Xq7" not in log


def test_a_long_log_is_kept_without_its_middle(project: Project) -> None:
    project.alembic("pgpipe", "retry", "nothing", env=BUILD)
    with log_file(project).open("a") as file:
        file.writelines(f"line {number} {'x' * 90}\n" for number in range(10_000))
    closed(project)
    logs, _ = row(project)
    assert logs.startswith(HEADING)
    assert "line 0 " in logs and "line 9999 " in logs and "line 3000 " not in logs
    assert "characters are left out here" in logs
    assert len(logs) < 600_000


# -- the test report ------------------------------------------------------------------------


def report(project: Project, env: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Close a build; return of each case what it is and the words it has."""
    file = project.folder / "reports" / "pgpipe.xml"
    project.ok("pgpipe", "close", "--status", "failure", "--junit", str(file), env=env)
    cases = {}
    for case in ET.parse(file).getroot().iter("testcase"):
        [*told] = case
        kind = told[0].get("type") or told[0].tag if told else "passed"
        words = f"{told[0].get('message')}\n{told[0].text}" if told else ""
        cases[str(case.get("name"))] = (kind, words)
    return cases


def test_the_report_has_a_case_for_each_revision_of_the_build(project: Project) -> None:
    project.wrapped(a0=TABLE.format("old"))
    project.ok("upgrade", "head")
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"), a3=FAILS, a4=TABLE.format("c"))
    project.ok("pgpipe", "skip", "a2", "--reason", "not on Friday")
    assert project.upgrade(env=BUILD).code == 1
    found = report(project, BUILD)
    assert list(found) == ["build", "a1", "a2", "a3", "a4"]
    assert [kind for kind, _ in found.values()] == [
        "passed",
        "passed",
        "skipped",
        "22012",
        "skipped",
    ]
    assert "not on Friday" in found["a2"][1]
    assert "alembic/sql/a3.sql:1:1" in found["a3"][1] and "division by zero" in found["a3"][1]
    assert "not reached" in found["a4"][1]


def test_the_report_of_the_next_build_says_what_is_held(project: Project) -> None:
    project.wrapped(a1=FAILS, a2=TABLE.format("a"))
    project.upgrade(env=BUILD)
    assert project.upgrade(env=NEXT).code == 3
    found = report(project, NEXT)
    assert found["a1"][0] == "22012" and "held: it failed in build 7" in found["a1"][1]
    assert found["build"][0] == "FAILURE" and "Nothing was run" in found["build"][1]
    assert found["a2"][0] == "skipped"


def test_at_a_desk_the_report_is_of_the_latest_run(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.upgrade()
    project.wrapped(a2=TABLE.format("b"))
    project.upgrade()
    assert list(report(project, {})) == ["build", "a2"]
