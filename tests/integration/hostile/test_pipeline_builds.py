"""Builds whose number, name or CI system is an odd one."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import URL

from tests.background import busy_with, in_background
from tests.conftest import connect_to
from tests.integration.hostile.test_other_encodings import latin
from tests.project import Project

__all__ = ["latin"]
HELD = "SELECT pg_advisory_xact_lock(42);\n"
AZURE = {
    "TF_BUILD": "True",
    "BUILD_BUILDNUMBER": "20260301.2",
    "BUILD_BUILDID": "99",
    "BUILD_DEFINITIONNAME": "My Pipeline",
    "BUILD_SOURCEVERSION": "abc",
    "BUILD_REQUESTEDFOR": "Ann",
}
BUILD = {
    "CI": "true",
    "GITHUB_RUN_NUMBER": "7",
    "GITHUB_RUN_ID": "907",
    "GITHUB_REPOSITORY": "my-organisation/platform-database-migrations-production",
}


def rows(project: Project) -> list[tuple[str, str | None, str]]:
    return project.query("SELECT build_number, status, logs FROM migration_logs ORDER BY id")


@contextmanager
def at_work(project: Project, env: dict[str, str]) -> Iterator[None]:
    """Let a build be at work for a while."""
    assert isinstance(project.url, URL)
    project.wrapped(a=HELD)
    gate = connect_to(project.url)
    gate.cursor().execute("SELECT pg_advisory_lock(42)")
    with in_background(project, "upgrade", "head", env=env) as run:
        busy_with(project, "%pg_advisory_xact_lock(42)%")
        try:
            yield
        finally:
            gate.close()
            run.communicate(timeout=20)


def named_log(text: str) -> list[str]:
    """Return the arguments of the ``alembic pgpipe log …`` that a message names."""
    behind = text.partition("alembic pgpipe log")[2].partition(". ")[0]
    return shlex.split(behind)


# -- LATIN1 -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["BUILD_DEFINITIONNAME", "BUILD_BUILDNUMBER"])
def test_a_build_of_any_name_ships_into_a_database_of_any_encoding(
    latin: Project, name: str
) -> None:
    latin.wrapped(a="SELECT 1;\n")
    env = {**AZURE, name: "Łódź"}
    result = latin.upgrade(env=env)
    assert result.code == 0, result.text
    latin.ok("pgpipe", "close", "--status", "success", env=env)
    [(_, status, _)] = rows(latin)
    assert status == "SUCCESS"


def test_a_log_is_not_kept_twice_in_a_database_of_another_encoding(latin: Project) -> None:
    env = {**AZURE, "CI": "true", "BUILD_REQUESTEDFOR": "Łukasz"}
    latin.wrapped(a="SELECT 1;\n")
    latin.ok("upgrade", "head", env=env)
    latin.ok("pgpipe", "close", "--status", "failure", env=env)
    [(_, status, logs)] = rows(latin)
    assert status == "FAILURE"
    assert logs.count("== build 20260301.2") == 1, logs


# -- Azure Pipelines, which sets no CI --------------------------------------------------


def test_what_a_failing_command_said_is_kept_on_azure(project: Project) -> None:
    project.wrapped(a="SELECT 1;\nCOMMIT;\n")
    assert project.alembic("pgpipe", "check", "--no-rehearsal", env=AZURE).code == 6
    project.ok("pgpipe", "close", env={**AZURE, "AGENT_JOBSTATUS": "Failed"})
    [(_, _, logs)] = rows(project)
    assert "COMMIT without BEGIN" in logs


def test_a_scratch_server_is_refused_on_azure(tmp_path: Path) -> None:
    project = Project(tmp_path, "scratch://.pg")
    result = project.upgrade(env=AZURE)
    assert result.code == 1, result.text
    assert "scratch_in_ci" in result.text


# -- the commands that are named --------------------------------------------------------


def test_the_log_of_a_build_that_is_not_closed_is_found_as_it_is_named(
    project: Project,
) -> None:
    env = {**AZURE, "BUILD_BUILDNUMBER": "My Pipeline_main_1"}
    shut = ("pgpipe", "close", "--status", "failure", "--timeout", "0")
    with at_work(project, env):
        result = project.alembic(*shut, env=env)
        assert result.code == 4
        assert named_log(result.text) == ["My Pipeline_main_1"]


# -- a build that is run again ----------------------------------------------------------


def test_what_fails_in_a_build_that_is_run_again_is_kept_and_told(project: Project) -> None:
    project.wrapped(a="SELECT 1/0;\n")
    assert project.upgrade(env=BUILD).code == 1
    shut = ("pgpipe", "close", "--status", "failure", "--junit", "report.xml")
    project.ok(*shut, env=BUILD)
    # "Re-run jobs": the same number, on a machine that has nothing of the first one.
    (project.folder / "migration.log").unlink()
    project.source("b", "SELECT 1;\n")
    # The heading of a run says when it began, by the second.
    time.sleep(1.1)
    assert project.alembic("pgpipe", "wrap", "--check", env=BUILD).code == 6
    project.ok(*shut, env=BUILD)
    [(_, status, logs)] = rows(project)
    assert status == "FAILURE"
    assert "no wrapper: b.sql" in logs, logs


# -- the report, and what is said of the build ------------------------------------------


@pytest.mark.parametrize("revisions", [1, 501], ids=["a log", "a count of the rest"])
def test_a_report_is_xml_wherever_the_project_lies(project: Project, revisions: int) -> None:
    # It is held, so that the report has the build's log, which names commands.
    project.wrapped(**{f"a{number:03}": "COMMIT; SELECT 1;\n" for number in range(revisions)})
    assert project.upgrade().code == 1
    assert project.upgrade().code == 3
    ini = (project.folder / "alembic.ini").read_text().replace("%(here)s", "%(here)s/..")
    project.write("R&D/alembic.ini", ini)
    shut = ("pgpipe", "close", "--status", "failure", "--junit", "report.xml")
    project.ok("-c", "R&D/alembic.ini", *shut)
    text = ET.tostring(ET.parse(project.folder / "report.xml").getroot(), "unicode")
    assert "R&amp;D/alembic.ini" in text


def test_a_job_of_gitlab_on_a_runner_in_codebuild_that_failed_is_no_success(
    project: Project,
) -> None:
    env = {
        "CI": "true",
        "CODEBUILD_BUILD_ID": "runner:1",
        "CODEBUILD_BUILD_NUMBER": "7",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CI_JOB_STATUS": "failed",
    }
    project.ok("pgpipe", "close", env=env)
    [(_, status, _)] = rows(project)
    assert status == "FAILURE"


def test_a_report_is_written_though_env_py_fails(project: Project) -> None:
    project.write("alembic/env.py", "import os\n\nos.environ['SHOP_URL']\n")
    shut = ("pgpipe", "close", "--status", "failure", "--junit", "report.xml")
    with in_background(project, *shut, env=BUILD) as run:
        output, _ = run.communicate(timeout=60)
    assert run.returncode != 0 and "SHOP_URL" in output
    assert (project.folder / "report.xml").is_file()
