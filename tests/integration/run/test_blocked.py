"""Locks: a blocked step is tried again, not for ever, and says who was in the way."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812
from sqlalchemy import URL

from alembic_pgpipe.sending.executor import Executor
from tests.background import busy_with
from tests.conftest import connect_to
from tests.killing import stuck_in
from tests.project import Project

SLEEP = "alembic_pgpipe.run.setback.sleep"
OFF = "-- pgpipe: transaction = off\n"
ALTER = "ALTER TABLE public.t ADD COLUMN more int;\n"


@pytest.fixture
def project(project: Project) -> Project:
    """Give a project with a short patience, and two tables."""
    project.configure(lock_timeout="200ms", retries="2")
    project.query(
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0); "
        "CREATE TABLE bystander (id int)"
    )
    return project


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the pauses between tries, none of which is made."""
    made: list[float] = []
    monkeypatch.setattr(SLEEP, made.append)
    return made


@contextmanager
def session(project: Project, *statements: str) -> Iterator[Connection]:
    """Give a session that has an open transaction with some statements."""
    assert isinstance(project.url, URL)
    other = connect_to(project.url)
    try:
        with other.cursor() as cursor:
            for statement in ("BEGIN", *statements):
                cursor.execute(statement)
        yield other
    finally:
        other.close()


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[threading.Thread]:
    """Do something beside the test, and let it come to its end."""
    thread = threading.Thread(target=action)
    thread.start()
    yield thread
    thread.join()


def run(other: Connection, statement: str) -> None:
    with other.cursor() as cursor:
        cursor.execute(statement)


def tries(project: Project, name: str = "a1") -> list[tuple[str, str | None]]:
    return project.query(
        "SELECT outcome, sqlstate FROM migration_attempts WHERE migration_name = %s "
        "ORDER BY id",
        name,
    )


def blocked_by(other: Connection) -> str:
    return f"blocked by process {other.info.backend_pid} (postgres, idle in transaction, for "


def test_a_step_that_stays_blocked_is_tried_a_bounded_number_of_times(
    project: Project, pauses: list[float]
) -> None:
    project.wrapped(a1=ALTER)
    with session(project, "SELECT * FROM t"):
        result = project.upgrade()
    assert result.code == 1
    assert tries(project) == [("ERROR", "55P03")] * 3
    assert project.ledger() == {"a1": "ERROR"}
    first, second = pauses
    assert 0.25 <= first <= 0.75 and 0.5 <= second <= 1.5
    assert "up to 2 more times" in result.output


def test_each_try_names_who_is_in_the_way_and_nobody_else(
    project: Project, pauses: list[float]
) -> None:
    project.wrapped(a1=ALTER)
    with (
        session(project, "LOCK TABLE bystander") as bystander,
        session(project, "SELECT n  FROM t") as other,
    ):
        output = project.upgrade().output
        named, innocent = blocked_by(other), blocked_by(bystander)
    lines = [line for line in output.splitlines() if line.startswith(named)]
    assert len(lines) == 3
    assert all(re.search(r"for \d+ s\): SELECT n FROM t$", line) for line in lines)
    assert innocent not in output
    assert named in project.scalar("SELECT logs FROM migrations")
    kept = "SELECT count(*) FROM migration_attempts WHERE strpos(message, %s) > 0"
    assert project.scalar(kept, named) == 3


def test_who_is_in_the_way_is_seen_while_the_statement_waits(
    project: Project, pauses: list[float]
) -> None:
    # Afterwards nothing tells which lock it was: no table is in it.
    project.wrapped(a1="SELECT pg_advisory_xact_lock(7);\n")
    with (
        session(project, "SELECT pg_advisory_xact_lock(8)") as bystander,
        session(project, "SELECT pg_advisory_xact_lock(7)") as other,
    ):
        output = project.upgrade().output
        assert blocked_by(other) in output
        assert blocked_by(bystander) not in output


@pytest.mark.parametrize(
    "text",
    ["LOCK TABLE public.t NOWAIT;\n", "-- pgpipe: lock_timeout = 10ms\n" + ALTER],
    ids=["nowait", "at once"],
)
def test_who_is_in_the_way_is_named_where_nobody_waited(
    project: Project, pauses: list[float], text: str
) -> None:
    project.wrapped(a1=text)
    with (
        session(project, "LOCK TABLE bystander") as bystander,
        session(project, "SELECT FROM t") as other,
    ):
        output = project.upgrade().output
        assert blocked_by(other) in output
        assert blocked_by(bystander) not in output


def test_a_step_goes_through_when_the_lock_is_given_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.wrapped(a1="SELECT 1;\n" + ALTER)
    with session(project, "SELECT FROM t") as other:
        monkeypatch.setattr(SLEEP, lambda _: run(other, "ROLLBACK"))
        result = project.upgrade()
    assert result.code == 0, result.text
    assert tries(project) == [("ERROR", "55P03"), ("SUCCESS", None)]
    assert project.ledger() == {"a1": "SUCCESS"}


def test_a_stop_in_the_pause_is_said_as_one_in_the_step(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: float) -> NoReturn:
        raise KeyboardInterrupt

    project.wrapped(a1=ALTER)
    with session(project, "SELECT FROM t"), monkeypatch.context() as patched:
        patched.setattr(SLEEP, stop)
        result = project.upgrade()
    assert result.code == 130, result.text
    assert result.output.endswith(
        "\n  stopped: nothing of this revision was applied (rolled back)\n"
    )
    assert tries(project) == [("ERROR", "55P03")]
    assert project.ledger() == {"a1": "RUNNING"}
    project.ok("upgrade", "head")
    assert project.ledger() == {"a1": "SUCCESS"}


def test_without_a_transaction_nothing_is_tried_again_by_itself(
    project: Project, pauses: list[float]
) -> None:
    project.wrapped(a1=OFF + ALTER)
    with session(project, "SELECT FROM t") as other:
        output = project.upgrade().output
        assert blocked_by(other) in output
    assert tries(project) == [("ERROR", "55P03")]
    assert pauses == []


def test_another_error_blames_nobody_and_is_not_tried_again(
    project: Project, pauses: list[float]
) -> None:
    project.wrapped(a1="SELECT count(*) FROM t;\nSELECT 1/0;\n")
    with session(project, "LOCK TABLE t IN SHARE MODE"):
        assert "blocked by" not in project.upgrade().output
    assert pauses == []


def test_a_deadlock_is_resolved_by_another_try(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.configure(lock_timeout="0")
    project.wrapped(
        a1="SET deadlock_timeout = '1s';\nUPDATE t SET n = 1 WHERE id = 1;\n"
        "UPDATE t SET n = 1 WHERE id = 2;\n"
    )
    opening = ("SET LOCAL deadlock_timeout = '20s'", "UPDATE t SET n = 2 WHERE id = 2")
    with session(project, *opening) as other:

        def cross() -> None:
            busy_with(project, "%WHERE id = 2%")
            run(other, "UPDATE t SET n = 2 WHERE id = 1")

        with meanwhile(cross) as crossing:

            def pause(_: float) -> None:
                crossing.join()
                run(other, "COMMIT")

            monkeypatch.setattr(SLEEP, pause)
            result = project.upgrade()
        pid = other.info.backend_pid
    assert result.code == 0, result.text
    assert tries(project) == [("ERROR", "40P01"), ("SUCCESS", None)]
    assert "a1.sql:3:1  40P01 deadlock_detected  (statement 3 of 3)" in result.output
    assert f"blocked by process {pid} (postgres, " in result.output


def test_a_serialization_failure_is_resolved_by_another_try(
    project: Project, pauses: list[float]
) -> None:
    project.configure(lock_timeout="0")
    project.wrapped(
        a1="BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM t;\n"
        "UPDATE t SET n = 1 WHERE id = 1;\nCOMMIT;\n"
    )
    with session(project, "UPDATE t SET n = 2 WHERE id = 1") as other:

        def settle() -> None:
            busy_with(project, "%UPDATE t SET n = 1%")
            run(other, "COMMIT")

        with meanwhile(settle):
            result = project.upgrade()
    assert result.code == 0, result.text
    assert tries(project) == [("ERROR", "40001"), ("SUCCESS", None)]
    assert project.scalar("SELECT n FROM t WHERE id = 1") == 1
    assert len(pauses) == 1


# -- statements that share a message -------------------------------------------------------

TOGETHER = (
    "CREATE VIEW public.before AS SELECT 1;\n"
    "ALTER TABLE public.t ALTER COLUMN n SET DEFAULT 1;\n"
    "CREATE VIEW public.after AS SELECT 1;\n"
)


def milliseconds(project: Project) -> int:
    return int(project.scalar("SELECT duration_ms FROM migration_attempts"))


@pytest.mark.parametrize(
    ("timeout", "sqlstate", "condition"),
    [
        ("lock_timeout", "55P03", "lock_not_available"),
        ("statement_timeout", "57014", "query_canceled"),
    ],
)
def test_of_statements_that_share_a_message_one_is_blamed_without_a_second_wait(
    project: Project, timeout: str, sqlstate: str, condition: str
) -> None:
    project.configure(lock_timeout="0", retries="0")
    project.configure(**{timeout: "1s"})
    project.wrapped(a1=TOGETHER)
    with session(project, "SELECT n FROM t") as other:
        output = project.upgrade().output
        assert blocked_by(other) in output
    assert f"a1.sql:2:1  {sqlstate} {condition}  (statement 2 of 3)" in output
    assert f"due to {timeout.replace('_', ' ')}" in output
    assert 1000 <= milliseconds(project) < 2000


def test_where_the_lock_is_free_by_then_the_step_goes_on_with_its_own_patience(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = "CREATE TABLE public.kept AS SELECT current_setting('lock_timeout') AS value;\n"
    project.wrapped(a1=TOGETHER + kept)
    command = Executor.command
    with session(project, "SELECT n FROM t") as other:

        def free_before_the_replay(executor: Executor, sql: str) -> None:
            if sql.startswith("ROLLBACK TO SAVEPOINT"):
                run(other, "ROLLBACK")
            command(executor, sql)

        monkeypatch.setattr(Executor, "command", free_before_the_replay)
        result = project.upgrade()
    assert result.code == 0, result.text
    assert tries(project) == [("SUCCESS", None)]
    assert project.scalar("SELECT value FROM kept") == "200ms"


def test_what_a_person_has_cancelled_is_not_sent_again(project: Project) -> None:
    # A second sending would end in this time-out.
    project.configure(lock_timeout="10s", statement_timeout="1min")
    project.wrapped(a1=TOGETHER)
    with session(project, "SELECT n FROM t"):

        def cancel() -> None:
            pid = stuck_in(project, "%public.before%")
            project.query("SELECT pg_cancel_backend(%s)", pid)

        with meanwhile(cancel):
            output = project.upgrade().output
    assert tries(project) == [("ERROR", "57014")]
    assert milliseconds(project) < 10_000
    assert "a1.sql:1:1  57014 query_canceled" in output
    assert (
        "HINT: it was one of statements 1 to 3, from here to alembic/sql/a1.sql:3:1, which "
        "are sent together"
    ) in output


def test_a_deadlock_of_statements_that_share_a_message_is_resolved_at_once(
    project: Project, pauses: list[float]
) -> None:
    project.configure(lock_timeout="10s")
    project.wrapped(
        a1="SET deadlock_timeout = '300ms';\n"
        "ALTER TABLE public.t ALTER COLUMN n SET DEFAULT 1;\n"
        "ALTER TABLE public.bystander ALTER COLUMN id SET DEFAULT 1;\n"
    )
    opening = ("SET LOCAL deadlock_timeout = '20s'", "SELECT FROM bystander")
    with session(project, *opening) as other:

        def cross() -> None:
            stuck_in(project, "%SET deadlock_timeout%bystander%")
            run(other, "SELECT FROM t")
            run(other, "COMMIT")

        with meanwhile(cross):
            result = project.upgrade()
    assert result.code == 0, result.text
    assert tries(project) == [("SUCCESS", None)]
    assert pauses == []
