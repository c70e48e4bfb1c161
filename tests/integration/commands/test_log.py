"""``alembic pgpipe log``: what a build did."""

from __future__ import annotations

import json

from tests.project import Project

TABLE = "CREATE TABLE public.{0} (id int);\n"


def build(number: int) -> dict[str, str]:
    return {"BUILD_NUMBER": str(number), "BUILD_TAG": f"shop-{number}"}


def test_a_row_without_a_log_is_shown_as_one_that_is_empty(project: Project) -> None:
    two_builds(project)
    project.query("ALTER TABLE migration_logs ALTER logs DROP NOT NULL")
    project.query("UPDATE migration_logs SET logs = NULL WHERE build_number = '1'")
    assert project.ok("pgpipe", "log", "1").output == "build 1: SUCCESS\n\n"


def two_builds(project: Project) -> Project:
    """Let build 1 succeed and build 2 fail."""
    project.wrapped(a1=TABLE.format("a"))
    assert project.upgrade(env=build(1)).code == 0
    project.wrapped(a2="SELECT 1/0;\n")
    assert project.upgrade(env=build(2)).code == 1
    return project


def test_log_shows_the_latest_build(project: Project) -> None:
    output = two_builds(project).ok("pgpipe", "log").output
    assert output.startswith("build 2: FAILURE\n== build 2 (shop-2)")
    assert "a2.sql:1:1  22012 division_by_zero" in output


def test_log_shows_a_build_by_its_number(project: Project) -> None:
    output = two_builds(project).ok("pgpipe", "log", "1").output
    assert output.startswith("build 1: SUCCESS\n")
    assert "[1/1]" in output and "a1" in output and " a2" not in output


def test_log_shows_the_run_that_came_last_under_a_number_of_old(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    assert project.upgrade(env=build(7)).code == 0
    assert project.ok("pgpipe", "log").output.startswith("build 7: ")
    project.wrapped(a2=TABLE.format("b"))
    project.ok("upgrade", "head")
    output = project.ok("pgpipe", "log").output
    assert output.startswith("build local_run: SUCCESS")
    assert output.count("== build local_run") == 2


def test_log_as_json(project: Project) -> None:
    shown = json.loads(two_builds(project).ok("pgpipe", "log", "2", "--json").output)
    assert (shown["build_number"], shown["status"]) == ("2", "FAILURE")
    assert shown["started_at"] and "division by zero" in shown["logs"]


def test_log_says_that_a_build_is_not_closed(project: Project) -> None:
    two_builds(project).query("UPDATE migration_logs SET status = NULL")
    assert (
        "build 2: not closed: it is running, or it died" in project.ok("pgpipe", "log").output
    )


def test_log_of_no_such_build_is_an_error(project: Project) -> None:
    result = two_builds(project).alembic("pgpipe", "log", "9")
    assert result.code == 1
    assert "No build 9 has a log in public.migration_logs" in result.text
    assert result.text.endswith("The latest one there is 2: alembic pgpipe log\n")


def test_log_of_what_may_be_one_of_several_builds_names_them(project: Project) -> None:
    for number in ("7@n\u00e4me", "7@n\u00f6me"):
        two = {"GITHUB_RUN_NUMBER": number, "GITHUB_RUN_ID": number}
        assert project.upgrade(env=two).code == 0
    result = project.alembic("pgpipe", "log", "7@n?me")
    assert result.code == 1
    assert (
        "each of these builds is shown: 7@n\u00e4me, 7@n\u00f6me. Look at one: " in result.text
    )


def test_log_before_the_first_run_creates_nothing(project: Project) -> None:
    result = project.alembic("pgpipe", "log")
    assert result.code == 1
    assert "No build has a log in" in result.text
    assert project.scalar("SELECT to_regclass('public.migration_logs')") is None
