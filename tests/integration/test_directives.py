"""Directives: what the head of a source asks for is what happens to it, and to it alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest
from sqlalchemy import URL

from tests.conftest import Connect
from tests.killing import holding
from tests.project import Project
from tests.refusal import refused
from tests.roles import new_role

SEES = (
    "CREATE TABLE public.{0} AS SELECT current_user::text AS who, "
    "current_setting('lock_timeout') AS lock, "
    "current_setting('statement_timeout') AS statement;\n"
)


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role of the test's own that may create tables."""
    with new_role(project, "Owner-") as name:
        project.query(f'GRANT ALL ON SCHEMA public TO "{name}"')
        yield name


@pytest.fixture
def other(project: Project, connect: Connect) -> Iterator[Project]:
    """Give a view of another database on the same server."""
    name = f"test_{uuid4().hex[:12]}"
    assert isinstance(project.url, URL)
    with connect(project.url).cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield Project(project.folder / "other", project.url.set(database=name))
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_role_holds_for_its_source_alone(project: Project, role: str) -> None:
    project.wrapped(a1=f"-- pgpipe: role = {role}\n" + SEES.format("a"), a2=SEES.format("b"))
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.scalar("SELECT who FROM a") == role
    assert project.scalar("SELECT who FROM b") == "postgres"
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = %s"
    assert project.scalar(owner, "a") == role
    assert project.scalar(owner, "migrations") == "postgres"


def test_a_role_runs_what_cannot_be_in_a_transaction(project: Project, role: str) -> None:
    project.wrapped(
        a1=f"-- pgpipe: role = {role}\nCREATE TABLE a (id int);\n",
        a2=f"-- pgpipe: role = {role}\nCREATE INDEX CONCURRENTLY a_id ON a (id);\n",
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = %s"
    assert project.scalar(owner, "a_id") == role


def test_a_role_that_may_not_is_an_error_of_the_source(project: Project, role: str) -> None:
    project.query("CREATE TABLE public.vault ()")
    project.wrapped(a1=f"-- PGPIPE: ROLE = {role}\nDROP TABLE public.vault;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "42501" in result.text and "a1.sql:2:1" in result.text
    assert project.ledger() == {"a1": "ERROR"}


def test_time_outs_hold_for_their_source_alone(project: Project) -> None:
    project.configure(lock_timeout="3s", statement_timeout="4min")
    head = "-- pgpipe: lock_timeout = 5s\n-- pgpipe: statement_timeout = 0\n"
    project.wrapped(a1=head + SEES.format("a"), a2=SEES.format("b"))
    assert project.upgrade().code == 0
    assert project.query("SELECT lock, statement FROM a") == [("5s", "0")]
    assert project.query("SELECT lock, statement FROM b") == [("3s", "4min")]


def test_a_statement_that_takes_too_long_is_ended(project: Project) -> None:
    project.wrapped(a1="-- pgpipe: statement_timeout = 20ms\nSELECT pg_sleep(30);\n")
    result = project.upgrade()
    assert result.code == 1
    assert "57014" in result.text
    assert project.ledger() == {"a1": "ERROR"}


@pytest.mark.parametrize(
    "text", ["-- pgpipe: database = {0}\n{1}", "--MSSDATABASE={0}\n{1}", "{1}--MSSDATABASE={0}"]
)
def test_database_runs_a_source_elsewhere(project: Project, other: Project, text: str) -> None:
    assert isinstance(other.url, URL)
    table = "CREATE TABLE public.there (id int);\n"
    project.wrapped(a1=text.format(other.url.database, table))
    result = project.upgrade()
    assert result.code == 0, result.text
    assert f"in database {other.url.database}" in result.text
    assert other.query("SELECT * FROM there") == []
    assert project.scalar("SELECT to_regclass('public.there')") is None
    assert project.ledger() == {"a1": "SUCCESS"}
    assert other.scalar("SELECT to_regclass('public.migrations')") is None


def test_database_and_its_failure_are_taken_back_there(
    project: Project, other: Project
) -> None:
    assert isinstance(other.url, URL)
    head = f"-- pgpipe: database = {other.url.database}\n"
    project.wrapped(a1=f"{head}CREATE TABLE public.there (id int);\nSELECT 1/0;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "a1.sql:3:1" in result.text
    assert other.scalar("SELECT to_regclass('public.there')") is None
    assert project.ledger() == {"a1": "ERROR"}


def test_database_holds_for_an_index_built_concurrently(
    project: Project, other: Project
) -> None:
    assert isinstance(other.url, URL)
    other.query("CREATE TABLE public.t (id int)")
    head = f"-- pgpipe: database = {other.url.database}\n"
    project.wrapped(a1=f"{head}CREATE INDEX CONCURRENTLY t_id ON public.t (id);\n")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert other.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_id'::regclass")


REFUSE_SUCCESS = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE 'not now'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON public.migrations FOR EACH ROW
WHEN (new.applied_status = 'SUCCESS') EXECUTE FUNCTION public.refuse();
"""


@pytest.fixture
def unrecorded(project: Project, other: Project) -> str:
    """Let nobody record the success of a source for another database; return its text."""
    assert isinstance(other.url, URL)
    other.query("CREATE TABLE public.there (id int)")
    project.wrapped(a0="SELECT 1;\n")
    project.ok("upgrade", "head")
    project.query(REFUSE_SUCCESS)
    text = f"-- pgpipe: database = {other.url.database}\nINSERT INTO public.there VALUES (1);\n"
    project.wrapped(a1=text)
    return text


@pytest.mark.usefixtures("unrecorded")
def test_database_gets_a_source_once_however_often_recording_it_fails(
    project: Project, other: Project
) -> None:
    for _ in range(3):
        result = project.upgrade()
        assert result.code == 1
        assert "nothing of this revision was applied" not in result.text.lower()
        assert project.scalar("SELECT max(rolled_back_at) FROM migrations") is None
        project.ok("pgpipe", "retry", "a1")
    project.query("DROP TRIGGER refuse ON migrations")
    assert "had committed it there: passed over" in project.ok("upgrade", "head").text
    assert project.ledger() == {"a0": "SUCCESS", "a1": "SUCCESS"}
    assert other.scalar("SELECT count(*) FROM there") == 1


@pytest.mark.parametrize("now", ["", "-- pgpipe: database = postgres\n"])
def test_database_that_has_a_source_already_is_named_where_it_would_go_elsewhere(
    project: Project, other: Project, unrecorded: str, now: str
) -> None:
    directive, made = unrecorded.splitlines(keepends=True)
    assert project.upgrade().code == 1
    project.query("DROP TRIGGER refuse ON migrations")
    project.source("a1", f"{now}{made}")
    was = directive.removeprefix("-- pgpipe: ").rstrip()
    said = f"committed this source with other directives: {was}."
    for _ in range(2):
        refused(project.upgrade(), "a1.sql: build local_run", said)
        project.ok("pgpipe", "retry", "a1")
    project.source("a1", unrecorded)
    assert "had committed it there: passed over" in project.ok("upgrade", "head").text
    assert other.scalar("SELECT count(*) FROM there") == 1


def test_database_of_the_project_itself_is_nothing_special(project: Project) -> None:
    assert isinstance(project.url, URL)
    name = project.url.database
    project.wrapped(a1=f"-- pgpipe: database = {name}\nCREATE TABLE public.here (id int);\n")
    assert project.upgrade().code == 0
    assert project.query("SELECT * FROM here") == []


def test_database_that_does_not_exist_is_named(project: Project) -> None:
    project.wrapped(a1="-- pgpipe: database = nowhere\nSELECT 1;\n")
    result = project.upgrade()
    line = refused(
        result,
        "alembic/sql/a1.sql: Database nowhere at ",
        'database "nowhere" does not exist. Check the name in the directive database, or',
    )
    assert "URL" not in line and "a1.py" not in line and "UnreachableError" not in line
    assert project.ledger() == {"a1": "ERROR"}


def test_database_that_lets_nobody_in_is_named(project: Project, other: Project) -> None:
    assert isinstance(other.url, URL)
    name = other.url.database
    project.query(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    project.wrapped(a1=f"-- pgpipe: database = {name}\nSELECT 1;\n")
    refused(project.upgrade(), f"alembic/sql/a1.sql: Database {name} at ", "not currently")


def test_transaction_off_keeps_what_came_before_an_error(project: Project) -> None:
    project.wrapped(
        a1="-- pgpipe: transaction = off\nCREATE TABLE public.kept (id int);\nSELECT 1/0;\n"
    )
    assert project.upgrade().code == 1
    assert project.query("SELECT * FROM kept") == []


def test_transaction_on_refuses_what_cannot_run_in_one(project: Project) -> None:
    project.wrapped(a1="-- pgpipe: transaction = on\nVACUUM;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "a1.sql:2:1" in result.text and "VACUUM" in result.text


def test_skip_and_retry_are_read_from_the_first_line(project: Project) -> None:
    project.wrapped(a1="--skip\r\nSELECT 1/0;\r\n", a2="-- Retry\nSELECT 1;\n")
    assert project.upgrade().code == 0
    assert project.ledger() == {"a1": "SKIPPED", "a2": "SUCCESS"}


@pytest.mark.parametrize("directive", ["role = {}", "lock_timeout = 100ms"])
def test_what_a_directive_sets_is_gone_when_the_step_is_tried_again(
    project: Project, role: str, directive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.configure(lock_timeout="200ms", retries="1")
    project.query(f'CREATE TABLE t (id int); ALTER TABLE t OWNER TO "{role}"')
    source = f"-- pgpipe: {directive.format(role)}\nINSERT INTO public.t VALUES (1);\n"
    project.wrapped(a="SELECT 1;\n", b=source)
    with ExitStack() as locks:
        locks.enter_context(holding(project, "BEGIN; LOCK TABLE t IN SHARE MODE"))

        def pause(_seconds: float) -> None:
            # Alembic reads its versions again, and has to wait for them a moment.
            locks.close()
            versions = ExitStack()
            versions.enter_context(holding(project, "BEGIN; LOCK TABLE alembic_version"))
            threading.Timer(0.5, versions.close).start()

        monkeypatch.setattr("alembic_pgpipe.run.setback.sleep", pause)
        result = project.upgrade()
    assert result.code == 0, result.text
    assert project.outcomes("b") == [("upgrade", "ERROR"), ("upgrade", "SUCCESS")]


HASTY = "-- pgpipe: statement_timeout = 50ms\n"
SLEEPS = "SELECT pg_sleep(0.2);\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HASTY + SLEEPS, "-- pgpipe: statement_timeout = 5s\n" + SLEEPS),
        (HASTY + SLEEPS, SLEEPS),
        (
            "-- pgpipe: transaction = on\nVACUUM public.t;\n",
            "-- pgpipe: transaction = off\nVACUUM public.t;\n",
        ),
    ],
)
def test_what_failed_runs_again_when_a_directive_has_changed(
    project: Project, before: str, after: str
) -> None:
    project.query("CREATE TABLE public.t (id int)")
    project.wrapped(a=before)
    assert project.upgrade().code == 1
    project.source("a", after)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "its file has changed since it failed" in result.text


def test_directives_in_another_order_are_no_change(project: Project) -> None:
    project.wrapped(a=HASTY + "-- pgpipe: lock_timeout = 1s\n" + SLEEPS)
    assert project.upgrade().code == 1
    project.source(
        "a", "-- PGPIPE: lock_timeout = 1s\n-- pgpipe:transaction=auto\n" + HASTY + SLEEPS
    )
    assert project.upgrade().code == 3


def test_a_changed_directive_lets_what_is_done_alone(project: Project) -> None:
    made = "CREATE TABLE public.made (id int);\n"
    project.wrapped(a="-- pgpipe: transaction = off\n" + HASTY + made + SLEEPS)
    assert project.upgrade().code == 1
    project.source("a", made + SLEEPS)
    result = project.upgrade()
    assert result.code == 1 and "statement by statement" in result.text
    project.source("a", "-- pgpipe: transaction = off\n" + made + SLEEPS)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "resumed at statement 2" in result.text


def test_what_is_applied_may_get_other_directives(project: Project) -> None:
    project.wrapped(a=SLEEPS)
    project.ok("upgrade", "head")
    project.source("a", "-- pgpipe: role = nobody\n" + SLEEPS)
    assert "no problems" in project.ok("pgpipe", "check").output
