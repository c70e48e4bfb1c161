"""A small source's step is one message, and promises all that a step of many does."""

from __future__ import annotations

import logging
import time
from typing import NoReturn

import pytest

from alembic_pgpipe.commands.init import template
from alembic_pgpipe.sending.batch import Batch
from alembic_pgpipe.sending.executor import Executor
from tests.background import in_background
from tests.killing import holding, stuck_in
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\nCREATE INDEX ON public.{0} (id);\n"
NOTICE = """\
CREATE TABLE public.said (id int);
CREATE FUNCTION public.say() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'mark %', NEW.id; RETURN NULL; END $$;
CREATE TRIGGER say AFTER INSERT ON public.said FOR EACH ROW EXECUTE FUNCTION public.say();
"""
SAY = "INSERT INTO public.said VALUES ({0});\n"
# What a routine may leave behind where the statement that calls it looks harmless.
LEAVES = """\
CREATE TABLE public.seen (step text, found text);
CREATE TABLE public.left (found text);
CREATE ROLE "{0}";
CREATE FUNCTION public.leave() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    CREATE TEMPORARY TABLE scrap (id int);
    EXECUTE 'PREPARE scrap AS SELECT 1';
    EXECUTE 'LISTEN scrap';
    PERFORM pg_catalog.pg_advisory_lock(42);
    PERFORM pg_catalog.set_config('mine.own', 'kept', false);
    PERFORM pg_catalog.set_config('lock_timeout', '7s', false);
    PERFORM pg_catalog.set_config('application_name', 'somebody', false);
    PERFORM pg_catalog.set_config('default_transaction_read_only', 'on', false);
    PERFORM pg_catalog.set_config('search_path', '', false);
    EXECUTE 'SET ROLE "{0}"';
    RETURN 'left';
END $$;
CREATE FUNCTION public.look() RETURNS text LANGUAGE sql AS $$
    SELECT pg_catalog.concat_ws(' ', current_user, session_user,
        nullif(pg_catalog.current_setting('mine.own', true), ''),
        pg_catalog.current_setting('search_path'),
        pg_catalog.current_setting('lock_timeout'),
        pg_catalog.current_setting('application_name'),
        pg_catalog.current_setting('transaction_read_only'),
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements),
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()),
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE relname = 'scrap'),
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
         WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()))
$$;
"""
LOOK = "INSERT INTO public.seen VALUES ('{0}', public.look());\n"


def one_message_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be sent in another way."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("sent in several messages")

    monkeypatch.setattr(Executor, "run", refuse)


def test_the_first_step_and_those_behind_it_take_one_message_each(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_message_only(monkeypatch)
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b"), c=TABLE.format("c"))
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}
    assert project.outcomes("c") == [("upgrade", "SUCCESS")]
    done = "SELECT statements_done, duration_ms >= 0 FROM migration_attempts"
    assert project.query(done) == [(2, True)] * 3
    log = project.scalar("SELECT logs FROM migration_logs")
    assert log.count("applied in") == 3


def test_alembic_goes_on_where_they_end(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    many = "SELECT 1;\n" + TABLE
    project.wrapped(a=TABLE.format("a"), b=many.format("b"), c=TABLE.format("c"))
    project.wrapped(d=many.format("d"))
    with caplog.at_level(logging.INFO, "alembic.runtime.migration"):
        project.ok("upgrade", "head")
    assert set(project.ledger().values()) == {"SUCCESS"}
    running = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Running")]
    assert [text.rpartition(", ")[2] for text in running] == ["a", "b", "c", "d"]


def test_a_statement_that_fails_is_named_and_nothing_is_left(project: Project) -> None:
    project.query(NOTICE)
    project.wrapped(a=TABLE.format("a"), b=SAY.format(1) + TABLE.format("a") + SAY.format(2))
    result = project.upgrade()
    assert result.code != 0
    assert "b.sql:2:1  42P07 duplicate_table" in result.output
    assert result.output.count("mark 1") == 1
    assert project.query("SELECT * FROM said") == []
    assert project.ledger() == {"a": "SUCCESS", "b": "ERROR"}
    assert project.outcomes("b") == [("upgrade", "ERROR")]


def test_what_is_deferred_to_the_end_fails_its_own_step(project: Project) -> None:
    project.query("CREATE TABLE parent (id int PRIMARY KEY)")
    project.wrapped(
        a="CREATE TABLE public.child (id int REFERENCES public.parent "
        "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO public.child VALUES (1);\n",
        b=TABLE.format("b"),
    )
    result = project.upgrade()
    assert "23503" in result.output
    assert project.ledger() == {"a": "ERROR", "b": "WAITING"}
    assert project.scalar("SELECT to_regclass('public.child')") is None


def test_what_a_routine_leaves_in_the_session_is_gone_in_the_next_step(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"left by {project.scalar('SELECT pg_catalog.current_database()')}"
    project.query(LEAVES.format(role))
    one_message_only(monkeypatch)
    project.wrapped(a=LOOK.format("before"))
    project.wrapped(b="INSERT INTO public.left VALUES (public.leave());\n")
    project.wrapped(c=LOOK.format("behind"))
    try:
        project.ok("upgrade", "head")
        assert project.query("SELECT found FROM public.left") == [("left",)]
        found = dict(project.query("SELECT step, found FROM public.seen"))
        assert found["before"] == found["behind"]
    finally:
        project.query(f'DROP ROLE "{role}"')


def test_a_version_that_somebody_moves_meanwhile_is_not_overwritten(project: Project) -> None:
    project.query(
        "CREATE TABLE public.moves (id int); CREATE FUNCTION public.move() RETURNS trigger "
        "LANGUAGE plpgsql AS $$ BEGIN UPDATE public.alembic_version SET version_num = 'else'; "
        "RETURN NULL; END $$; CREATE TRIGGER move AFTER INSERT ON public.moves "
        "FOR EACH ROW EXECUTE FUNCTION public.move()"
    )
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(b="INSERT INTO public.moves VALUES (1);\n")
    result = project.upgrade()
    assert result.code != 0
    assert "expected to match one row when updating" in result.text
    assert project.query("SELECT * FROM public.moves") == []
    assert project.ledger() == {"a": "SUCCESS", "b": "ERROR"}


def test_what_is_at_work_is_seen_while_it_is(project: Project) -> None:
    project.query("CREATE TABLE public.busy (id text)")
    project.wrapped(a="INSERT INTO public.busy VALUES ('/* 1 */');\n")
    with (
        holding(project, "BEGIN; LOCK TABLE public.busy"),
        in_background(project, "upgrade", "head") as run,
    ):
        process = stuck_in(project, "%INTO public.busy%")
        seen = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        text = str(project.scalar(seen, process))
        assert project.ledger() == {"a": "RUNNING"}
        assert project.outcomes("a") == [("upgrade", "RUNNING")]
        run.kill()
    assert text.startswith(
        "/* alembic/sql/a.sql\nINSERT INTO public.busy VALUES ('/ * 1 * /');"
    )


def test_what_somebody_decides_before_it_begins_stands(project: Project) -> None:
    skip = "UPDATE public.migrations SET applied_status = 'SKIPPED' WHERE migration_name = 'b'"
    project.wrapped(a=f"{skip};\n", b=TABLE.format("b"))
    refused(project.upgrade(), "The status of b", "that stands", "alembic upgrade head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SKIPPED"}
    assert project.outcomes("b") == []
    assert project.scalar("SELECT to_regclass('public.b')") is None


def test_an_attempt_that_cannot_be_kept_begins_nothing(project: Project) -> None:
    swallow = (
        "CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN NULL; END $$; CREATE TRIGGER swallow BEFORE INSERT ON "
        "public.migration_attempts FOR EACH ROW EXECUTE FUNCTION public.swallow();\n"
    )
    project.wrapped(a=swallow, b=TABLE.format("b"))
    refused(project.upgrade(), "an attempt at")
    assert project.scalar("SELECT to_regclass('public.b')") is None


def test_who_runs_it_is_kept_whatever_characters_that_has(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_message_only(monkeypatch)
    odd = """7'; \\ %s %(id)s {} "Grüße" $$ \n /* --"""
    project.wrapped(a=TABLE.format("a"))
    env = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": odd, "GITHUB_SHA": odd}
    project.ok("upgrade", "head", env=env)
    kept = "SELECT build_id, commit_hash FROM migration_attempts"
    assert project.query(kept) == [(odd, odd)]


@pytest.mark.parametrize("name", ["v%er", "v%s", "v%%", 'v"%(id)s'])
def test_the_version_table_may_have_any_name(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    one_message_only(monkeypatch)
    call = f"run(context, version_table={name!r}, version_table_schema='its%own')"
    project.write("alembic/env.py", template("env.py").replace("run(context)", call))
    project.query('CREATE SCHEMA "its%own"')
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b"))
    project.ok("upgrade", "head")
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert project.outcomes("b") == [("upgrade", "SUCCESS")]


def test_a_step_that_is_committed_behind_an_exception_is_said_to_be(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.ok("upgrade", "head")
    project.query(
        """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
        CREATE TRIGGER wait AFTER UPDATE ON migration_attempts EXECUTE FUNCTION wait()
        """
    )
    project.wrapped(a=TABLE.format("a"))
    send = Executor.run_at_once

    def raising(self: Executor, before: str, batch: Batch, after: str, _: object) -> object:
        def meanwhile() -> None:
            # By then the server is at the end of the message.
            time.sleep(0.5)
            raise RuntimeError("boom")

        return send(self, before, batch, after, meanwhile)

    monkeypatch.setattr(Executor, "run_at_once", raising)
    result = project.upgrade()
    assert project.ledger() == {"a": "SUCCESS"}
    assert applied(project) == ["a"]
    assert result.code == 5, result.text
    assert "(a) was committed. The ledger says that it was. Go on:" in result.text
    assert "nothing of this revision" not in result.text
