"""The move from the bash tool: its folder and its two tables as they are, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import busy_with, in_background
from tests.handmade import BUILDS, MIGRATIONS
from tests.project import Project, Result

# Whatever runs leaves its name behind: this is how a second run of it would show.
RAN = "BEGIN;\nINSERT INTO public.ran VALUES ('{0}');\nCOMMIT;\n"
FAILS = "BEGIN;\nINSERT INTO public.ran VALUES ('{0}');\nSELECT 1/0;\nCOMMIT;\n"
ROW = (
    "INSERT INTO migrations (id, migration_name, applied_status, started_at, finished_at, logs)"
    " VALUES (gen_random_uuid()::text, %s, %s, '2024-02-03 04:05:06+00', %s, %s)"
)
AT = "2024-02-03 04:05:07+00"
OLD_LOG = 'psql:migration.sql:3: ERROR:  can\'t divide by "zero" (100%)'


@pytest.fixture
def project(tmp_path: Path, database: URL) -> Project:
    """Give a project of the bash tool's, with the one option that the move asks for."""
    project = Project(tmp_path, database, {"sources": "migrations"})
    project.query(MIGRATIONS)
    project.query(BUILDS)
    project.query("CREATE TABLE public.ran (name text)")
    return project


def migration(project: Project, name: str, text: str = RAN) -> None:
    project.write(f"migrations/{name}/migration.sql", text.format(name))


def left(project: Project, name: str, status: str, text: str = RAN) -> None:
    """Write a migration and the row that the bash tool left for it."""
    migration(project, name, text)
    finished = AT if status in ("SUCCESS", "ERROR") else None
    project.query(ROW, name, status, finished, OLD_LOG if status == "ERROR" else None)


def upgraded(project: Project, code: int = 0) -> Result:
    project.ok("pgpipe", "wrap")
    result = project.upgrade()
    assert result.code == code, result.text
    return result


def ran(project: Project) -> list[str]:
    return [name for (name,) in project.query("SELECT name FROM ran ORDER BY name")]


def build_log(project: Project, number: str = "local_run") -> str:
    return str(project.scalar("SELECT logs FROM migration_logs WHERE build_number=%s", number))


# -- rows in each of the four states -------------------------------------------------------


def test_the_move_with_a_row_in_each_state_runs_everything_once(project: Project) -> None:
    left(project, "001_done", "SUCCESS")
    left(project, "002_failed", "ERROR", f"--retry\n{RAN}")
    left(project, "003_marked", "RETRY")
    left(project, "004_waiting", "WAITING")
    migration(project, "005_new")
    before = dict(project.query("SELECT migration_name, id FROM migrations"))
    upgraded(project)
    names = ["001_done", "002_failed", "003_marked", "004_waiting", "005_new"]
    assert ran(project) == names[1:]
    after = project.query("SELECT migration_name, id FROM migrations ORDER BY 1")
    assert after == sorted({**before, "005_new": revision_id("005_new")}.items())
    assert project.ledger() == dict.fromkeys(names, "SUCCESS")
    assert project.scalar("SELECT version_num FROM alembic_version") == revision_id("005_new")
    assert "nothing to do" in project.upgrade().text
    assert ran(project) == names[1:]


def test_success_is_passed_over_and_the_log_says_when(project: Project) -> None:
    left(project, "001_done", "SUCCESS", FAILS)
    row = project.query("SELECT * FROM migrations")
    result = upgraded(project)
    for text in (result.text, build_log(project)):
        assert "001_done · applied by another tool on 2024-02-03 04:05 · passed over" in text
    assert ran(project) == []
    assert project.query("SELECT * FROM migrations") == row
    assert project.outcomes("001_done") == [("upgrade", "ADOPTED")]


def test_success_that_was_never_finished_is_dated_by_its_start(project: Project) -> None:
    left(project, "001_done", "SUCCESS")
    project.query("UPDATE migrations SET finished_at = NULL")
    assert "applied by another tool on 2024-02-03 04:05" in upgraded(project).text


def test_success_beats_other_rows_of_the_same_name(project: Project) -> None:
    left(project, "001_done", "SUCCESS")
    project.query(ROW, "001_done", "ERROR", AT, OLD_LOG)
    upgraded(project)
    assert ran(project) == []


def test_success_ahead_of_an_error_is_not_run_when_the_error_is_settled(
    project: Project,
) -> None:
    left(project, "001_failed", "ERROR", f"--retry\n{FAILS}")
    left(project, "002_done", "SUCCESS")
    upgraded(project, code=1)
    migration(project, "001_failed", RAN)
    upgraded(project)
    assert ran(project) == ["001_failed"]


@pytest.mark.parametrize("status", ["RETRY", "WAITING"])
def test_what_is_to_be_run_is_run(project: Project, status: str) -> None:
    left(project, "001_open", status)
    upgraded(project)
    assert ran(project) == ["001_open"]
    assert project.query("SELECT applied_status, logs FROM migrations") == [("SUCCESS", None)]


def test_undo_of_what_the_bash_tool_applied_is_recorded_in_its_row(project: Project) -> None:
    left(project, "001_done", "SUCCESS")
    project.write("migrations/001_done/down.sql", "INSERT INTO ran VALUES ('undone');")
    upgraded(project)
    project.ok("downgrade", "base")
    assert ran(project) == ["undone"]
    assert project.ledger() == {"001_done": "ROLLED_BACK"}


def test_rows_in_another_schema_than_the_ledger_s_stop_the_run(project: Project) -> None:
    left(project, "001_done", "SUCCESS")
    migration(project, "002_new")
    project.configure(schema="pgpipe")
    result = upgraded(project, code=1)
    assert "public.migrations has the rows of 1 of this project's revisions" in result.text
    assert "Set pgpipe.schema = public" in result.text
    assert ran(project) == []
    assert project.scalar("SELECT to_regnamespace('pgpipe')") is None


# -- what failed under the bash tool -------------------------------------------------------


def held(project: Project) -> Result:
    left(project, "001_failed", "ERROR")
    migration(project, "002_new")
    return upgraded(project, code=3)


def test_error_is_held_with_the_error_that_the_bash_tool_kept(project: Project) -> None:
    result = held(project)
    assert OLD_LOG in result.text and OLD_LOG in build_log(project)
    assert f"alembic pgpipe retry {revision_id('001_failed')}" in result.text
    assert "Edit migrations/001_failed/migration.sql and run again" in result.text
    assert ran(project) == []
    assert project.ledger() == {"001_failed": "ERROR"}


def test_error_is_retried_by_the_command(project: Project) -> None:
    held(project)
    project.ok("pgpipe", "retry", "001_failed")
    upgraded(project)
    assert ran(project) == ["001_failed", "002_new"]


def test_error_is_retried_by_the_directive_on_line_one(project: Project) -> None:
    left(project, "001_failed", "ERROR", f"--retry\n{RAN}")
    assert "its source says --retry" in upgraded(project).text
    assert ran(project) == ["001_failed"]


def test_retry_marked_marks_what_says_retry_on_line_one(project: Project) -> None:
    left(project, "001_failed", "ERROR", f"--retry\n{RAN}")
    left(project, "002_failed", "ERROR")
    project.ok("pgpipe", "wrap")
    project.ok("pgpipe", "retry", "--marked")
    assert project.ledger() == {"001_failed": "RETRY", "002_failed": "ERROR"}


@pytest.mark.parametrize("mend", ["-- mended\n", "-- pgpipe: lock_timeout = 7s\n"])
def test_error_is_retried_once_it_was_edited_after_the_first_held_run(
    project: Project, mend: str
) -> None:
    held(project)
    assert project.upgrade().code == 3
    migration(project, "001_failed", mend + RAN)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "its file has changed since it failed" in result.text
    assert ran(project) == ["001_failed", "002_new"]


def test_error_is_skipped_by_the_command(project: Project) -> None:
    held(project)
    project.ok("pgpipe", "skip", "001_failed", "--reason", "not needed")
    upgraded(project)
    assert ran(project) == ["002_new"]
    assert project.ledger() == {"001_failed": "SKIPPED", "002_new": "SUCCESS"}


def test_error_is_skipped_by_the_directive_on_line_one(project: Project) -> None:
    left(project, "001_failed", "ERROR", f"--skip\n{FAILS}")
    migration(project, "002_new")
    assert "its source says --skip" in upgraded(project).text
    assert ran(project) == ["002_new"]
    assert project.ledger() == {"001_failed": "SKIPPED", "002_new": "SUCCESS"}


# -- the files and the variables that its users know ---------------------------------------


@pytest.fixture
def other(project: Project) -> Iterator[Project]:
    """Give a project in a second database of the same server."""
    assert isinstance(project.url, URL)
    name = f"{project.url.database}_other"
    project.query(f"CREATE DATABASE {name}")
    folder = project.folder / "other"
    folder.mkdir()
    yield Project(folder, project.url.set(database=name))
    project.query(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_database_on_the_last_line_is_where_it_runs(
    project: Project, other: Project
) -> None:
    assert isinstance(other.url, URL)
    other.query("CREATE TABLE public.ran (name text)")
    migration(project, "001_there", f"{RAN}--MSSDATABASE={other.url.database}\n")
    upgraded(project)
    assert (ran(project), ran(other)) == ([], ["001_there"])
    assert project.ledger() == {"001_there": "SUCCESS"}


def test_the_build_number_is_codebuild_s(project: Project) -> None:
    migration(project, "001_new")
    project.ok("pgpipe", "wrap")
    build = {
        "CODEBUILD_BUILD_NUMBER": "41",
        "CODEBUILD_BUILD_ID": "shop:6f1e",
        "CODEBUILD_INITIATOR": "pipeline/shop",
    }
    project.ok("upgrade", "head", env=build)
    assert project.query("SELECT build_number, status FROM migration_logs") == [
        ("41", "SUCCESS")
    ]


def test_the_build_is_local_run_outside_ci_and_keeps_the_older_log(project: Project) -> None:
    project.query(
        "INSERT INTO migration_logs (build_number, logs, status) "
        "VALUES ('local_run', 'as it was', 'FAILURE')"
    )
    migration(project, "001_new")
    upgraded(project)
    [(number, status)] = project.query("SELECT build_number, status FROM migration_logs")
    assert (number, status) == ("local_run", "SUCCESS")
    assert build_log(project).startswith("as it was\n")


def test_a_build_of_the_bash_tool_is_not_overwritten(project: Project) -> None:
    project.query(
        "INSERT INTO migration_logs (build_number, logs, status) "
        "VALUES ('41', 'as it was', 'FAILURE')"
    )
    migration(project, "001_new")
    project.ok("pgpipe", "wrap")
    build = {"CODEBUILD_BUILD_NUMBER": "41", "CODEBUILD_BUILD_ID": "shop:6f1e"}
    assert "recorded as 41@shop" in project.ok("upgrade", "head", env=build).text
    assert build_log(project, "41") == "as it was"
    assert "001_new" in build_log(project, "41@shop")


def variables(url: URL) -> dict[str, str]:
    """Return what the bash tool's users set; the scratch server asks for no password."""
    return {
        "PGHOST": str(url.query["host"]),
        "PGPORT": str(url.query["port"]),
        "PGUSER": str(url.username),
        "PGPASSWORD": "hid'den%",
    }


def test_the_pg_variables_name_the_database(project: Project) -> None:
    assert isinstance(project.url, URL)
    migration(project, "001_new")
    unnamed = Project(project.folder, "", project.options)
    unnamed.ok("pgpipe", "wrap")
    env = {**variables(project.url), "PGDATABASE": str(project.url.database)}
    result = unnamed.ok("upgrade", "head", env=env)
    assert ran(project) == ["001_new"]
    assert "hid'den%" not in result.text + build_log(project)


def test_the_database_is_postgres_where_pgdatabase_names_none(project: Project) -> None:
    assert isinstance(project.url, URL)
    unnamed = Project(project.folder, "", project.options)
    told = unnamed.ok("pgpipe", "wait", "--timeout", "5", env=variables(project.url))
    assert "database postgres at" in told.text


# -- what the bash tool got wrong ----------------------------------------------------------


def test_an_error_with_a_quote_leaves_the_row_waiting_and_the_build_green(
    project: Project,
) -> None:
    text = "BEGIN;\nDO $$ BEGIN RAISE EXCEPTION 'it''s 100%% wrong \\ “é”'; END $$;\nCOMMIT;\n"
    migration(project, "001_quote", text)
    assert "it's 100% wrong \\ “é”" in upgraded(project, code=1).text
    [(status, logs)] = project.query("SELECT applied_status, logs FROM migrations")
    assert status == "ERROR" and "it's 100% wrong \\ “é”" in logs
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
    assert "it's 100% wrong \\ “é”" in build_log(project)


def test_a_failure_in_the_check_phase_is_logged_as_success(project: Project) -> None:
    migration(project, "001_fine")
    migration(project, "002_open", "BEGIN;\nINSERT INTO ran VALUES ('x');\n")
    upgraded(project, code=1)
    assert ran(project) == []
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
    assert "migrations/002_open/migration.sql:1:1" in build_log(project)


def test_an_exit_code_inside_the_loop_is_lost(project: Project) -> None:
    migration(project, "001_open", "BEGIN;\nSELECT 1;\n")
    for number in range(2, 5):
        migration(project, f"{number:03}_fine")
    project.ok("pgpipe", "wrap")
    assert project.alembic("pgpipe", "check").code == 6
    assert project.upgrade().code == 1


def test_skip_acts_only_on_a_migration_that_has_failed_before(project: Project) -> None:
    migration(project, "001_new", f"--skip\n{FAILS}")
    left(project, "002_waiting", "WAITING", f"--skip\n{FAILS}")
    upgraded(project)
    assert ran(project) == []
    assert project.ledger() == {"001_new": "SKIPPED", "002_waiting": "SKIPPED"}


def test_a_checksum_is_computed_and_never_stored(project: Project) -> None:
    migration(project, "001_new")
    upgraded(project)
    assert project.scalar("SELECT length(checksum) FROM migration_attempts") == 64
    migration(project, "001_new", f"{RAN}-- edited\n")
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    assert "differs from what build local_run applied" in result.text


@contextmanager
def stuck(project: Project) -> Iterator[None]:
    """Have build 41 run for as long as the context lasts."""
    migration(project, "001_stuck", "BEGIN;\nSELECT pg_sleep(60);\nCOMMIT;\n")
    project.ok("pgpipe", "wrap")
    build = {"CODEBUILD_BUILD_NUMBER": "41", "CODEBUILD_BUILD_ID": "shop:6f1e"}
    with in_background(project, "upgrade", "head", env=build):
        busy_with(project, "%pg_sleep(60)%")
        yield


def test_there_is_no_lock(project: Project) -> None:
    project.configure(lock_wait="0")
    with stuck(project):
        second = project.upgrade()
    assert second.code == 4
    assert "The lock is held by build 41" in second.text


def test_names_and_logs_are_pasted_into_sql(project: Project) -> None:
    name = "001_it's'); DROP TABLE ran; -- 100%s :x \\ é {0}"
    path = "migrations/" + name + "/migration.sql"
    project.write(path, "DO $$ BEGIN RAISE EXCEPTION '%', '''); DROP TABLE ran; --'; END $$;")
    upgraded(project, code=1)
    assert project.ledger() == {name: "ERROR"}
    assert "'); DROP TABLE ran; --" in project.scalar("SELECT logs FROM migrations")
    project.ok("pgpipe", "skip", name, "--reason", "it's'); DROP TABLE ran; -- %s")
    assert "it's'); DROP TABLE ran; -- %s" in upgraded(project).text
    assert ran(project) == []
