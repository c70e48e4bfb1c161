"""A run whose lock is gone stops before it commits or begins anything, and says so."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import eventually, in_background
from tests.killing import holding, stuck_in
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
GATE = "SELECT pg_advisory_lock(42)"
WAIT = "SELECT pg_advisory_xact_lock(42);\n"
AT_THE_GATE = "%pg_advisory_xact_lock(42)%"
FIRST = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907"}
SECOND = {"GITHUB_RUN_NUMBER": "8", "GITHUB_RUN_ID": "908"}
HOLDERS = f"""
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid::bigint << 32) | objid::bigint = {lock_key("public")}
"""
# Both wait until the sessions are gone: to be told to go is not to have gone.
END_HOLDER = f"SELECT count(pg_terminate_backend(pid, 60000)) FROM ({HOLDERS}) AS holder"
END_OTHERS = """
    SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database();
"""
WORDS = ("The lock was lost", "alembic upgrade head")
# Ends the holder when a revision's version is written, behind all checks: it is committed.
AT_COMMIT = """
from alembic import context
from alembic_pgpipe.environment import run

def end_holder(ctx, step, **_):
    if step.up_revision_id == "{revision}":
        ctx.connection.exec_driver_sql({sql!r})

run(context, on_version_apply=end_holder)
"""


def lose_lock(project: Project) -> None:
    """End the session that holds the lock, and see that it is free."""
    assert project.scalar(END_HOLDER) == 1
    eventually(lambda: not project.query(HOLDERS))


@contextmanager
def losing(
    project: Project, *command: str, hold: str = GATE, busy: str = AT_THE_GATE
) -> Iterator[list[str]]:
    """Let build 7 lose its lock at the gate; the list has its output afterwards."""
    said: list[str] = []
    with ExitStack() as gate:
        gate.enter_context(holding(project, hold))
        with in_background(project, *(command or ("upgrade", "head")), env=FIRST) as run:
            stuck_in(project, busy)
            lose_lock(project)
            yield said
            gate.close()
            said.append(run.communicate(timeout=60)[0])
    assert run.returncode == 4, said


def build(project: Project, number: str) -> str | None:
    """Return the outcome of a build."""
    found: str | None = project.scalar(
        "SELECT status FROM migration_logs WHERE build_number = %s", number
    )
    return found


def test_a_step_whose_lock_is_lost_is_rolled_back_and_runs_again(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT, b=TABLE.format("b"))
    with losing(project) as said:
        pass
    for word in (*WORDS, "nothing of this revision was applied (rolled back)"):
        assert word in said[0]
    assert "Traceback" not in said[0]
    assert applied(project) == []
    assert project.ledger() == {"a": "RUNNING", "b": "WAITING"}
    assert project.outcomes("a") == [("upgrade", "INTERRUPTED")]
    assert build(project, "7") == "FAILURE"
    project.ok("upgrade", "head", env=SECOND)
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_a_run_that_has_taken_over_is_not_disturbed(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT, b=TABLE.format("b"))
    with losing(project) as said:
        project.source("a", TABLE.format("c"))
        project.ok("upgrade", "head", env=SECOND)
    assert WORDS[0] in said[0]
    assert applied(project) == ["b", "c"]
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert project.outcomes("a") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]
    assert (build(project, "7"), build(project, "8")) == ("FAILURE", "SUCCESS")


def test_a_failure_without_the_lock_is_nobodys_decision(project: Project) -> None:
    project.wrapped(a=TABLE.format("a") + WAIT + "SELECT 1/0;\n")
    with losing(project) as said:
        project.source("a", TABLE.format("c"))
        project.ok("upgrade", "head", env=SECOND)
    assert WORDS[0] in said[0]
    assert "division by zero" in said[0]
    assert project.ledger() == {"a": "SUCCESS"}


def test_a_step_that_ends_all_other_sessions_of_its_run_is_rolled_back(
    project: Project,
) -> None:
    project.wrapped(a1=TABLE.format("a") + END_OTHERS, a2=TABLE.format("b"))
    result = project.upgrade(env=FIRST)
    assert result.code == 4, result.text
    assert "stopped: nothing of this revision was applied (rolled back)" in result.output
    assert all(word in result.text for word in WORDS)
    assert project.scalar("SELECT outcome FROM migration_attempts") == "INTERRUPTED"
    project.source("a1", TABLE.format("a"))
    assert project.ok("upgrade", "head", env=SECOND).output.count("applied in") == 2


def test_the_next_step_does_not_begin_without_the_lock(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b"))
    project.write("alembic/env.py", AT_COMMIT.format(revision=revision_id("a"), sql=END_HOLDER))
    refused(project.upgrade(), *WORDS, code=4)
    assert project.ledger() == {"a": "SUCCESS", "b": "WAITING"}
    assert project.outcomes("b") == []
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b"]


def test_a_lock_that_is_lost_behind_the_last_step_changes_nothing(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.write("alembic/env.py", AT_COMMIT.format(revision=revision_id("a"), sql=END_HOLDER))
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS"}
    assert project.scalar("SELECT status FROM migration_logs") == "SUCCESS"


@pytest.mark.parametrize("taken_over", [False, True])
def test_a_source_without_a_transaction_stops_at_its_next_statement(
    project: Project, taken_over: bool
) -> None:
    counted = "INSERT INTO public.seen VALUES ({0});\n"
    project.query("CREATE TABLE seen (n int)")
    text = f"-- pgpipe: transaction = off\n{counted.format(1)}{WAIT}{counted.format(2)}"
    project.wrapped(a=text)
    with ExitStack() as second, losing(project) as said:
        if taken_over:
            run = second.enter_context(in_background(project, "upgrade", "head", env=SECOND))
            second.callback(run.communicate, timeout=60)
            eventually(lambda: project.query(HOLDERS))
    assert WORDS[0] in said[0]
    if not taken_over:
        assert project.query("SELECT n FROM seen") == [(1,)]
        assert project.outcomes("a") == [("upgrade", "INTERRUPTED")]
    project.ok("upgrade", "head")
    assert project.query("SELECT n FROM seen ORDER BY n") == [(1,), (2,)]
    assert project.ledger() == {"a": "SUCCESS"}


def test_a_downgrade_without_its_lock_is_rolled_back(project: Project) -> None:
    project.source("a", TABLE.format("a"), f"DROP TABLE a;\n{WAIT}")
    project.wrapped()
    project.ok("upgrade", "head")
    with losing(project, "downgrade", "base") as said:
        pass
    assert WORDS[0] in said[0]
    assert project.ledger() == {"a": "SUCCESS"}
    assert applied(project) == ["a"]
    project.ok("downgrade", "base")


def test_a_stamp_without_its_lock_is_rolled_back(project: Project) -> None:
    project.query("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    project.wrapped(a=TABLE.format("a"))
    hold = "BEGIN; LOCK TABLE alembic_version IN SHARE MODE"
    with losing(project, "stamp", "head", hold=hold, busy="%alembic_version%") as said:
        pass
    assert WORDS[0] in said[0]
    assert project.ledger() == {}
    assert project.query("SELECT version_num FROM alembic_version") == []


# The second who comes here waits for lock 43 as well.
GATES = """
    CREATE TABLE public.gate (id int);
    CREATE SEQUENCE public.tries;
    CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE came int := nextval('public.tries');
    BEGIN
        PERFORM pg_advisory_xact_lock(42);
        IF came = 2 THEN PERFORM pg_advisory_xact_lock(43); END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER wait AFTER INSERT ON public.gate
        FOR EACH ROW EXECUTE FUNCTION public.wait()
"""
INTO_GATE = "INSERT INTO public.gate VALUES (1);\n"
AT_GATES = """
    SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%INTO public.gate%%'
    AND state = 'active' AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("env", [{}, FIRST])
def test_the_attempt_of_a_run_of_the_same_build_that_took_over_is_left_alone(
    project: Project, env: dict[str, str]
) -> None:
    project.query(GATES)
    project.wrapped(a=INTO_GATE + TABLE.format("a"), b=TABLE.format("b"))
    with ExitStack() as runs, ExitStack() as gate, ExitStack() as second_gate:
        gate.enter_context(holding(project, GATE))
        second_gate.enter_context(holding(project, "SELECT pg_advisory_lock(43)"))
        lost = runs.enter_context(in_background(project, "upgrade", "head", env=env))
        stuck_in(project, "%INTO public.gate%")
        lose_lock(project)
        taking = runs.enter_context(in_background(project, "upgrade", "head", env=env))
        eventually(lambda: project.scalar(AT_GATES) == 2)
        gate.close()
        assert WORDS[0] in lost.communicate(timeout=60)[0]
        second_gate.close()
        taking.communicate(timeout=60)
    assert (lost.returncode, taking.returncode) == (4, 0)
    assert project.outcomes("a") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_a_run_that_comes_back_without_its_lock_is_in_nobodys_way(project: Project) -> None:
    project.query(GATES)
    project.wrapped(a=INTO_GATE + TABLE.format("a"), b=INTO_GATE + TABLE.format("b"))
    with ExitStack() as runs, ExitStack() as gate, ExitStack() as second_gate:
        gate.enter_context(holding(project, GATE))
        second_gate.enter_context(holding(project, "SELECT pg_advisory_lock(43)"))
        lost = runs.enter_context(in_background(project, "upgrade", "head"))
        stuck_in(project, "%INTO public.gate%")
        lost.send_signal(signal.SIGSTOP)
        gate.close()
        eventually(lambda: "a" in applied(project))
        lose_lock(project)
        taking = runs.enter_context(in_background(project, "upgrade", "head"))
        stuck_in(project, "%INTO public.gate%")
        lost.send_signal(signal.SIGCONT)
        assert WORDS[0] in lost.communicate(timeout=60)[0]
        second_gate.close()
        taking.communicate(timeout=60)
    assert (lost.returncode, taking.returncode) == (4, 0)
    assert project.outcomes("b") == [("upgrade", "SUCCESS")]


def test_a_step_of_one_message_is_rolled_back_and_not_tried_again(project: Project) -> None:
    project.query(
        "CREATE TABLE public.gate (id int);"
        "CREATE SEQUENCE public.tries; CREATE FUNCTION public.wait() RETURNS trigger "
        "LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.tries'); "
        "PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;"
        "CREATE TRIGGER wait AFTER INSERT ON public.gate FOR EACH ROW "
        "EXECUTE FUNCTION public.wait()"
    )
    project.wrapped(a="INSERT INTO public.gate VALUES (1);\n" + TABLE.format("a"))
    with losing(project, busy="%INTO public.gate%") as said:
        pass
    assert WORDS[0] in said[0]
    assert project.scalar("SELECT last_value FROM public.tries") == 1
    assert project.query("SELECT * FROM public.gate") == []
    assert project.ledger() == {"a": "RUNNING"}
    # It may be another run's by now: whoever has the lock closes it.
    assert project.outcomes("a") == [("upgrade", "RUNNING")]
    project.ok("upgrade", "head")
    assert project.outcomes("a") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]
