"""The state table: each of its rows, against a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
FAILS = "CREATE TABLE public.half (id int);\nSELECT 1/0;\n"
# What a step can see of its own row: only what the journal has committed.
LOOKS = "CREATE TABLE public.seen AS SELECT migration_name, applied_status FROM migrations;\n"
SKIP = ("pgpipe", "skip", "--reason", "not needed")


def heads(project: Project) -> list[str]:
    return [row[0] for row in project.query("SELECT version_num FROM alembic_version")]


def build_log(project: Project) -> str:
    return str(project.scalar("SELECT logs FROM migration_logs WHERE build_number='local_run'"))


def exists(project: Project, table: str) -> bool:
    return bool(project.scalar("SELECT to_regclass(%s) IS NOT NULL", f"public.{table}"))


def failed(project: Project) -> Project:
    """Let a2 of a1, a2, a3 fail."""
    project.wrapped(a1=TABLE.format("a"), a2=FAILS, a3=TABLE.format("c"))
    assert project.upgrade().code == 1
    return project


def skipped(project: Project) -> Project:
    """Let a2 of a1, a2, a3 be skipped, and all be passed."""
    failed(project).ok(*SKIP, "a2")
    assert project.upgrade().code == 0
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SKIPPED", "a3": "SUCCESS"}
    return project


# -- first seen, started, committed --------------------------------------------------------


def test_first_seen_by_a_run_is_waiting(project: Project) -> None:
    failed(project)
    assert project.ledger() == {"a1": "SUCCESS", "a2": "ERROR", "a3": "WAITING"}
    assert project.outcomes("a3") == []
    assert not exists(project, "c")


def test_waiting_is_running_when_its_step_starts(project: Project) -> None:
    project.wrapped(a1=LOOKS, a2=TABLE.format("b"))
    assert project.upgrade().code == 0
    seen = dict(project.query("SELECT * FROM seen"))
    assert seen == {"a1": "RUNNING", "a2": "WAITING"}


def test_retry_is_running_when_its_step_starts(project: Project) -> None:
    failed(project).source("a2", LOOKS)
    project.ok("pgpipe", "retry", "a2")
    assert project.ledger()["a2"] == "RETRY"
    assert project.upgrade().code == 0
    assert dict(project.query("SELECT * FROM seen"))["a2"] == "RUNNING"


def test_running_is_success_in_the_transaction_of_the_sql_and_the_version(
    project: Project,
) -> None:
    project.wrapped(
        a1="CREATE TABLE public.own AS SELECT pg_catalog.txid_current() AS id;",
        a2="UPDATE public.own SET id = pg_catalog.txid_current();",
    )
    for target in ("+1", "+1"):
        project.ok("upgrade", target)
        own = project.scalar("SELECT id FROM own") % 2**32
        last = "(SELECT max(id) FROM migration_attempts)"
        assert own == project.scalar("SELECT xmin::text::bigint FROM alembic_version")
        assert own == project.scalar("SELECT max(xmin::text::bigint) FROM migrations")
        assert own == project.scalar(
            f"SELECT xmin::text::bigint FROM migration_attempts WHERE id = {last}"
        )


def test_running_that_failed_is_error_with_logs_and_rolled_back_at(project: Project) -> None:
    failed(project)
    [(logs, rolled_back, finished)] = project.query(
        "SELECT logs, rolled_back_at, finished_at FROM migrations WHERE migration_name = 'a2'"
    )
    assert "division by zero" in logs and "a2.sql:2:" in logs
    assert rolled_back is not None and finished is not None
    assert not exists(project, "half")
    assert heads(project) == [revision_id("a1")]
    assert project.outcomes("a2") == [("upgrade", "ERROR")]


def test_running_that_failed_without_a_transaction_is_error_not_rolled_back(
    project: Project,
) -> None:
    project.wrapped(a1=f"-- pgpipe: transaction = off\n{FAILS}")
    assert project.upgrade().code == 1
    assert project.ledger() == {"a1": "ERROR"}
    assert project.scalar("SELECT rolled_back_at FROM migrations") is None
    assert exists(project, "half")


# -- the writer died ------------------------------------------------------------------------


def test_running_of_a_killed_run_runs_again_and_the_log_says_so(project: Project) -> None:
    project.wrapped(a1="CREATE TABLE public.once (id int); SELECT pg_sleep(60);")
    run = subprocess.Popen(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=project.folder,
        env={**os.environ, "GITHUB_RUN_NUMBER": "41", "GITHUB_RUN_ID": "9041"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    await_row(
        project,
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        "AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()",
    )
    run.send_signal(signal.SIGKILL)
    run.wait()
    project.query(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert project.ledger() == {"a1": "RUNNING"}
    project.source("a1", "CREATE TABLE public.once (id int);")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "build 41 was interrupted in it" in result.text
    assert "build 41 was interrupted in it" in build_log(project)
    assert project.ledger() == {"a1": "SUCCESS"}
    assert project.outcomes("a1") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]
    status = "SELECT status FROM migration_logs WHERE build_number = '41'"
    assert project.scalar(status) == "FAILURE"


def await_row(project: Project, sql: str) -> None:
    deadline = time.monotonic() + 20
    while not project.query(sql):
        assert time.monotonic() < deadline, f"never: {sql}"
        time.sleep(0.05)


def test_running_of_a_passed_revision_runs_again_out_of_order(project: Project) -> None:
    skipped(project).source("a2", TABLE.format("b"))
    project.query("UPDATE migrations SET applied_status = 'RUNNING' WHERE migration_name='a2'")
    before = heads(project)
    assert project.upgrade().code == 0
    assert exists(project, "b")
    assert heads(project) == before
    assert project.ledger()["a2"] == "SUCCESS"


# -- a failed revision is retried ------------------------------------------------------------


def test_error_is_retry_by_the_command(project: Project) -> None:
    failed(project).ok("pgpipe", "retry", "--reason", "the server was full")
    assert project.ledger() == {"a1": "SUCCESS", "a2": "RETRY", "a3": "WAITING"}
    result = project.upgrade()
    assert result.code == 1
    assert "retried by" in result.text and "the server was full" in result.text
    assert project.ledger() == {"a1": "SUCCESS", "a2": "ERROR", "a3": "WAITING"}
    attempts = [("upgrade", "ERROR"), ("upgrade", "RETRY"), ("upgrade", "ERROR")]
    assert project.outcomes("a2") == attempts


def test_error_is_retry_by_the_directive_in_the_source(project: Project) -> None:
    failed(project).source("a2", f"--retry\n{FAILS}")
    result = project.upgrade()
    assert result.code == 1
    assert "its source says --retry" in result.text
    attempts = [("upgrade", "ERROR"), ("upgrade", "RETRY"), ("upgrade", "ERROR")]
    assert project.outcomes("a2") == attempts


def test_error_is_retry_where_the_source_changed_since(project: Project) -> None:
    failed(project).source("a2", TABLE.format("b"))
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "its file has changed since it failed" in result.text
    attempts = [("upgrade", "ERROR"), ("upgrade", "RETRY"), ("upgrade", "SUCCESS")]
    assert project.outcomes("a2") == attempts
    assert project.ledger() == dict.fromkeys(("a1", "a2", "a3"), "SUCCESS")
    row = "SELECT logs, rolled_back_at FROM migrations WHERE migration_name = 'a2'"
    assert project.query(row) == [(None, None)]


@pytest.mark.parametrize(
    ("retry_failed", "text", "code"),
    [
        ("changed", FAILS, 3),
        ("changed", TABLE.format("b"), 0),
        ("changed", f"--retry\n{FAILS}", 1),
        ("directive", FAILS, 3),
        ("directive", TABLE.format("b"), 3),
        ("directive", f"--retry\n{TABLE.format('b')}", 0),
        ("always", FAILS, 1),
        ("always", TABLE.format("b"), 0),
    ],
)
def test_retry_failed_sets_what_counts_as_decided(
    project: Project, retry_failed: str, text: str, code: int
) -> None:
    failed(project).source("a2", text)
    project.configure(retry_failed=retry_failed)
    result = project.upgrade()
    assert result.code == code, result.text


def test_where_an_edit_decides_nothing_the_way_out_is_a_retry(project: Project) -> None:
    project.configure(retry_failed="directive")
    failed(project)
    retry = f"alembic pgpipe retry {revision_id('a2')}"
    for command in (("upgrade", "head"), ("pgpipe", "check", "--no-rehearsal")):
        said = project.alembic(*command).text
        assert f"dit alembic/sql/a2.sql if it is to blame, then: {retry}, or: alembic" in said
    status = project.ok("pgpipe", "status").output
    assert (
        f"next: edit alembic/sql/a2.sql if it is to blame, then: {retry}, or: alembic" in status
    )
    project.source("a2", "SELECT 'never closed;\n")
    project.ok("pgpipe", "retry", "a2")
    assert f"Then: {retry}, and: alembic upgrade head" in project.upgrade().text


# -- skipped ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["ERROR", "WAITING", "RETRY"])
def test_skip_command_makes_skipped_of(project: Project, status: str) -> None:
    failed(project)
    if status == "RETRY":
        project.ok("pgpipe", "retry", "a2")
    name = "a3" if status == "WAITING" else "a2"
    assert project.ledger()[name] == status
    project.ok(*SKIP, name)
    assert project.ledger()[name] == "SKIPPED"


def test_skip_command_makes_skipped_of_a_revision_that_no_run_has_seen(
    project: Project,
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=FAILS)
    project.ok(*SKIP, "a2")
    assert project.ledger() == {"a2": "SKIPPED"}
    result = project.upgrade()
    assert result.code == 0
    assert "not needed · passed over" in result.text
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SKIPPED"}
    assert heads(project) == [revision_id("a2")]


def test_skip_directive_makes_skipped_of_error(project: Project) -> None:
    failed(project).source("a2", f"--skip\n{FAILS}")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "its source says --skip" in result.text
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SKIPPED", "a3": "SUCCESS"}
    assert project.outcomes("a2") == [("upgrade", "ERROR"), ("upgrade", "SKIPPED")]


def test_skip_directive_makes_skipped_of_waiting(project: Project) -> None:
    project.wrapped(a1=f"--skip\n{FAILS}", a2=TABLE.format("b"))
    assert project.upgrade().code == 0
    assert project.ledger() == {"a1": "SKIPPED", "a2": "SUCCESS"}
    assert project.outcomes("a1") == [("upgrade", "SKIPPED")]


def test_skip_directive_makes_skipped_of_a_passed_error(project: Project) -> None:
    skipped(project).ok("pgpipe", "retry", "a2")
    assert project.upgrade().code == 1
    project.source("a2", f"--skip\n{FAILS}")
    before = heads(project)
    assert project.upgrade().code == 0
    assert project.ledger()["a2"] == "SKIPPED"
    assert heads(project) == before


def test_skipped_is_retry_and_runs_first_without_moving_the_version(project: Project) -> None:
    skipped(project).source("a2", "CREATE TABLE public.b AS SELECT clock_timestamp() AS at;")
    project.ok("pgpipe", "retry", "a2")
    assert project.ledger()["a2"] == "RETRY"
    project.wrapped(a4="CREATE TABLE public.d AS SELECT clock_timestamp() AS at;")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert result.text.index(f"[1/2] {revision_id('a2')}") < result.text.index("[2/2]")
    assert project.scalar("SELECT b.at < d.at FROM b, d")
    assert project.ledger()["a2"] == "SUCCESS"
    assert heads(project) == [revision_id("a4")]


def test_skipped_is_retry_and_alone_leaves_the_version_where_it_is(project: Project) -> None:
    skipped(project).source("a2", TABLE.format("b"))
    before = project.query("SELECT xmin::text, version_num FROM alembic_version")
    project.ok("pgpipe", "retry", "a2")
    assert project.upgrade().code == 0
    assert exists(project, "b")
    assert project.query("SELECT xmin::text, version_num FROM alembic_version") == before


def test_passed_retry_that_fails_is_held_like_any_other(project: Project) -> None:
    skipped(project).ok("pgpipe", "retry", "a2")
    assert project.upgrade().code == 1
    assert project.ledger()["a2"] == "ERROR"
    assert project.upgrade().code == 3


# -- downgrade -------------------------------------------------------------------------------


def test_success_is_rolled_back_by_a_downgrade_and_runs_again(project: Project) -> None:
    project.source("a1", TABLE.format("a"), "DROP TABLE public.a;")
    project.wrapped()
    assert project.upgrade().code == 0
    project.ok("downgrade", "base")
    assert project.ledger() == {"a1": "ROLLED_BACK"}
    assert project.scalar("SELECT rolled_back_at FROM migrations") is not None
    assert not exists(project, "a")
    assert heads(project) == []
    assert project.upgrade().code == 0
    assert project.ledger() == {"a1": "SUCCESS"}
    steps = [("upgrade", "SUCCESS"), ("downgrade", "SUCCESS"), ("upgrade", "SUCCESS")]
    assert project.outcomes("a1") == steps
    assert project.scalar("SELECT rolled_back_at FROM migrations") is None


KEPT_OUT = "note: the next upgrade applies {} again; to keep {} out: alembic pgpipe skip {}"


def test_rolled_back_is_skipped_by_its_source(project: Project) -> None:
    project.source("a1", TABLE.format("a"), "DROP TABLE public.a;")
    project.wrapped()
    assert project.upgrade().code == 0
    project.ok("downgrade", "base")
    project.source("a1", f"--skip\n{TABLE.format('a')}")
    assert "its source says --skip · passed over" in project.ok("upgrade", "head").output
    assert project.ledger() == {"a1": "SKIPPED"}
    assert not exists(project, "a")


def test_rolled_back_is_skipped_by_name_and_comes_back_by_retry(project: Project) -> None:
    project.source("a1", TABLE.format("a"), "DROP TABLE public.a;")
    project.wrapped()
    assert project.upgrade().code == 0
    said = project.ok("downgrade", "base").output
    assert KEPT_OUT.format("it", "it", revision_id("a1")) in said
    project.ok("pgpipe", "skip", "a1", "--reason", "it was wrong")
    assert "agree" in project.ok("pgpipe", "repair").output
    assert project.upgrade().code == 0
    assert "agree" in project.ok("pgpipe", "repair").output
    assert project.ledger() == {"a1": "SKIPPED"}
    assert not exists(project, "a")
    project.ok("pgpipe", "retry", "a1")
    assert project.upgrade().code == 0
    assert project.ledger() == {"a1": "SUCCESS"}
    assert exists(project, "a")


def shipped(project: Project, *names: str) -> Project:
    """Apply revisions that each have an undo."""
    for name in names:
        project.source(name, TABLE.format(name), f"DROP TABLE public.{name};")
    project.wrapped()
    assert project.upgrade().code == 0
    return project


def test_a_downgrade_names_what_was_skipped_before_as_well(project: Project) -> None:
    shipped(project, "a1", "a2", "a3").ok("downgrade", "-1")
    project.ok("pgpipe", "skip", "a3", "--reason", "it was wrong")
    assert project.upgrade().code == 0
    said = project.ok("downgrade", "-2").output
    ids = f"{revision_id('a3')} {revision_id('a2')}"
    assert KEPT_OUT.format("them", "them", ids) in said
    assert project.ledger() == {"a1": "SUCCESS", "a2": "ROLLED_BACK", "a3": "WAITING"}


def test_a_downgrade_is_silent_of_what_says_skip(project: Project) -> None:
    shipped(project, "a1").source("a1", f"--skip\n{TABLE.format('a1')}")
    assert "note:" not in project.ok("downgrade", "base").output


def test_a_downgrade_that_breaks_off_says_it_of_what_is_done(project: Project) -> None:
    shipped(project, "a1", "a2")
    project.write("alembic/sql/a1.down.sql", "SELECT 1/0;\n")
    result = project.alembic("downgrade", "base")
    assert result.code == 1
    assert KEPT_OUT.format("it", "it", revision_id("a2")) in result.text


def test_a_downgrade_of_many_names_none(project: Project) -> None:
    shipped(project, *(f"a{number}" for number in range(1, 7)))
    said = project.ok("downgrade", "base").output
    assert KEPT_OUT.format("them", "one of them", "REV --reason") in said


def test_rolled_back_is_running_when_an_upgrade_starts_it(project: Project) -> None:
    project.source("a1", LOOKS, "DROP TABLE public.seen;")
    project.wrapped()
    assert project.upgrade().code == 0
    project.ok("downgrade", "base")
    assert project.upgrade().code == 0
    assert project.query("SELECT * FROM seen") == [("a1", "RUNNING")]


def test_rolled_back_is_in_the_transaction_of_the_undo_and_the_version(
    project: Project,
) -> None:
    project.source("a1", TABLE.format("own"), "INSERT INTO own SELECT txid_current();")
    project.wrapped()
    assert project.upgrade().code == 0
    project.ok("downgrade", "base")
    own = project.scalar("SELECT id FROM own")
    assert own == project.scalar("SELECT xmin::text::bigint FROM migrations")
    assert heads(project) == []


def test_success_stays_where_its_downgrade_fails(project: Project) -> None:
    project.source("a1", TABLE.format("a"), "DROP TABLE public.a; SELECT 1/0;")
    project.wrapped()
    assert project.upgrade().code == 0
    assert project.alembic("downgrade", "base").code == 1
    assert project.ledger() == {"a1": "SUCCESS"}
    assert exists(project, "a")
    assert heads(project) == [revision_id("a1")]
    assert project.outcomes("a1") == [("upgrade", "SUCCESS"), ("downgrade", "ERROR")]
    assert project.upgrade().code == 0


def test_skipped_passed_by_a_downgrade_is_waiting_and_nothing_is_run(project: Project) -> None:
    skipped(project)
    for name, undo in {"a2": "SELECT 1/0;", "a3": "DROP TABLE c;"}.items():
        project.write(f"alembic/sql/{name}.down.sql", undo)
    project.ok("downgrade", revision_id("a1"))
    assert project.ledger() == {"a1": "SUCCESS", "a2": "WAITING", "a3": "ROLLED_BACK"}
    assert ("downgrade", "ERROR") not in project.outcomes("a2")
    assert heads(project) == [revision_id("a1")]
    assert project.upgrade().code == 1
    assert project.ledger()["a2"] == "ERROR"


# -- stamp -----------------------------------------------------------------------------------


def stamps(project: Project, name: str) -> list[str]:
    return [direction for direction, o in project.outcomes(name) if o == "STAMPED"]


def test_stamp_upwards_is_success_and_the_attempt_says_stamped(project: Project) -> None:
    failed(project).ok("stamp", "head")
    assert project.ledger() == dict.fromkeys(("a1", "a2", "a3"), "SUCCESS")
    assert stamps(project, "a2") == stamps(project, "a3") == ["upgrade"]
    assert stamps(project, "a1") == []
    assert not exists(project, "c")
    assert "nothing to do" in project.upgrade().text


def test_stamp_downwards_is_waiting_and_the_attempt_says_stamped(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    assert project.upgrade().code == 0
    project.ok("stamp", revision_id("a1"))
    assert project.ledger() == {"a1": "SUCCESS", "a2": "WAITING"}
    assert stamps(project, "a2") == ["downgrade"]
    assert exists(project, "b")
    project.query("DROP TABLE b")
    assert project.upgrade().code == 0
    assert exists(project, "b")


@pytest.mark.parametrize("arguments", [("base",), ("--purge", "base")])
def test_stamp_base_is_waiting(project: Project, arguments: tuple[str, ...]) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    assert project.upgrade().code == 0
    project.ok("stamp", *arguments)
    assert project.ledger() == {"a1": "WAITING", "a2": "WAITING"}
    assert stamps(project, "a1") == stamps(project, "a2") == ["downgrade"]
    assert heads(project) == []


@pytest.mark.parametrize("arguments", [("base",), ("--purge", "base")])
def test_stamp_base_forgets_what_was_skipped(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=FAILS, a3=TABLE.format("c"))
    assert project.upgrade().code == 1
    project.ok("pgpipe", "skip", "a2", "--reason", "later")
    assert project.upgrade().code == 0
    project.ok("stamp", *arguments)
    assert project.ledger() == {"a1": "WAITING", "a2": "WAITING", "a3": "WAITING"}


@pytest.mark.parametrize("before", ["nothing", "a1", "a2", "unknown"])
def test_stamp_purge_is_success_whatever_the_version_was(project: Project, before: str) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    if before != "nothing":
        project.ok("upgrade", revision_id("a1" if before == "a1" else "a2"))
    if before == "unknown":
        project.query("UPDATE alembic_version SET version_num = 'deadbeef'")
    project.ok("stamp", "--purge", "head")
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}
    assert heads(project) == [revision_id("a2")]


def test_stamp_purge_base_forgets_an_unknown_version(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    assert project.upgrade().code == 0
    project.query("UPDATE alembic_version SET version_num = 'deadbeef'")
    project.ok("stamp", "--purge", "base")
    assert heads(project) == []


@pytest.mark.parametrize("purge", [[], ["--purge"]])
def test_a_stamp_that_fails_at_its_second_head_changes_nothing(
    project: Project, purge: list[str]
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    project.ok("revision", "-m", "c", "--head", revision_id("a1"), "--splice")
    project.ok("upgrade", revision_id("a1"))
    project.query("CREATE UNIQUE INDEX one_head ON alembic_version ((1))")
    before = project.ledger()
    result = project.alembic("stamp", *purge, "heads")
    assert "one_head" in result.text
    assert heads(project) == [revision_id("a1")]
    assert project.ledger() == before


@pytest.mark.parametrize("arguments", [("base",), ("--purge", "base"), ("--purge", "head")])
def test_a_stamp_that_the_ledger_cannot_follow_changes_nothing(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    project.ok("upgrade", revision_id("a1"))
    project.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'nobody stamps here'; END $$"
    )
    project.query(
        "CREATE TRIGGER refuse BEFORE UPDATE ON migrations "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    before = project.ledger()
    refused(project.alembic("stamp", *arguments), "nobody stamps here", code=1)
    assert heads(project) == [revision_id("a1")]
    assert project.ledger() == before


# -- rows of another tool --------------------------------------------------------------------


def test_success_without_an_attempt_of_ours_is_passed_over_and_the_log_says_when(
    project: Project,
) -> None:
    project.wrapped(a1=FAILS)
    assert project.upgrade().code == 1
    project.query("TRUNCATE migrations, migration_attempts, migration_logs")
    project.query(
        "INSERT INTO migrations (id, migration_name, applied_status, finished_at) "
        "VALUES ('0815', 'a1', 'SUCCESS', '2024-02-03 04:05:06+00')"
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "applied by another tool on 2024-02-03 04:05 · passed over" in result.text
    assert "applied by another tool on 2024-02-03 04:05" in build_log(project)
    assert project.query("SELECT id, applied_status FROM migrations") == [("0815", "SUCCESS")]
    assert project.outcomes("a1") == [("upgrade", "ADOPTED")]
    assert heads(project) == [revision_id("a1")]


# -- held ------------------------------------------------------------------------------------


def two_failed(project: Project) -> Project:
    """Let a1 be marked RETRY, a2 and a3 have failed, and a4 be new."""
    project.wrapped(a1=TABLE.format("a"))
    project.ok(*SKIP, "a1")
    assert project.upgrade().code == 0
    project.wrapped(a2="SELECT 2;\nCOMMIT;\n", a3="SELECT 3;\nROLLBACK;\n")
    assert project.upgrade().code == 1
    project.ok("pgpipe", "retry", "a1")
    project.wrapped(a4=TABLE.format("d"))
    return project


def test_error_undecided_holds_the_run_before_anything_is_run(project: Project) -> None:
    two_failed(project)
    before = project.query("SELECT * FROM migration_attempts ORDER BY id")
    result = project.upgrade()
    assert result.code == 3
    assert not exists(project, "a") and not exists(project, "d")
    held = {"a1": "RETRY", "a2": "ERROR", "a3": "ERROR"}
    assert {name: project.ledger()[name] for name in held} == held
    assert project.query("SELECT * FROM migration_attempts ORDER BY id") == before
    assert heads(project) == [revision_id("a1")]


def test_error_undecided_is_told_with_every_error_and_the_ways_out(
    project: Project,
) -> None:
    two_failed(project)
    result = project.upgrade()
    for text in (result.text, build_log(project).rpartition("\n== build ")[2]):
        assert "2 revisions failed before" in text
        for name, line in {"a2": "a2.sql:2:1", "a3": "a3.sql:2:1"}.items():
            assert f"held: {revision_id(name)} {name} failed before" in text
            assert line in text
            assert f"edit alembic/sql/{name}.sql and run again" in text
            assert f"alembic pgpipe skip {revision_id(name)} --reason" in text


def test_error_undecided_of_one_revision_is_told_with_the_three_ways_out(
    project: Project,
) -> None:
    failed(project)
    line = project.upgrade().text.splitlines()[-1]
    id_ = revision_id("a2")
    for way in ("Edit alembic/sql/a2.sql and run again", f"pgpipe retry {id_}", f"skip {id_}"):
        assert way in line


def test_error_undecided_closes_the_build_with_failure(project: Project) -> None:
    failed(project)
    build = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907"}
    assert project.upgrade(env=build).code == 3
    logs, status = project.query(
        "SELECT logs, status FROM migration_logs WHERE build_number = '7'"
    )[0]
    assert status == "FAILURE"
    assert "division by zero" in logs
