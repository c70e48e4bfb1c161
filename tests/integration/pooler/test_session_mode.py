"""A pooler that gives each client a connection of its own: all works, and nothing leaks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import URL

from alembic_pgpipe.connect import pooler as pooling
from alembic_pgpipe.scratch.server import ScratchServer
from tests.background import busy_with, eventually, in_background
from tests.conftest import Connect
from tests.integration.pooler.bouncer import (
    NONE,
    Bouncer,
    Options,
    behind,
    bouncer,
    needs_pgbouncer,
    seen_by,
)
from tests.killing import holding
from tests.project import Project
from tests.refusal import applied, refused

pytestmark = needs_pgbouncer
TABLE = "CREATE TABLE public.{0} (id int);\n"
SLEEP = "SELECT pg_sleep(60);\n"
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' "
    "AND state = 'active' AND pid <> pg_backend_pid()"
)
# All that a source may leave in its session.
SETS = (
    "SET search_path = pg_catalog; SET statement_timeout = '1min'; SET ROLE pg_monitor; "
    "PREPARE p AS SELECT 1; CREATE TEMP TABLE t (id int); SELECT pg_advisory_lock(42); "
    "RESET ROLE;\n"
)
ALONE = (
    f"-- pgpipe: transaction = off\n{SETS}CREATE INDEX CONCURRENTLY a_id ON public.a (id);\n"
)
COPY = "COPY public.a FROM STDIN;\n1\n2\n\\.\n"
SOURCES = {"a": TABLE.format("a"), "b": SETS + TABLE.format("b"), "c": ALONE, "d": COPY}


@contextmanager
def in_session_mode(
    scratch: ScratchServer, project: Project, options: Options = NONE
) -> Iterator[tuple[Project, Bouncer]]:
    """Give the project behind a pooler in session mode, and the pooler."""
    with bouncer(scratch, "session", options) as pooler, behind(project, pooler) as pooled:
        yield pooled, pooler


@pytest.mark.parametrize("reset", ["DISCARD ALL", ""], ids=["reset", "no-reset"])
@pytest.mark.parametrize("round_robin", [0, 1])
def test_a_run_works_and_other_clients_see_nothing_of_it(
    scratch: ScratchServer, project: Project, connect: Connect, reset: str, round_robin: int
) -> None:
    project.wrapped(**SOURCES)
    project.configure(role="postgres")
    target = project.url
    assert isinstance(target, URL)
    options: dict[str, object] = {
        "server_reset_query": reset,
        "server_round_robin": round_robin,
    }
    with in_session_mode(scratch, project, options) as (pooled, pooler):
        pooled.ok("upgrade", "head")
        assert pooled.status() == dict.fromkeys(SOURCES, "SUCCESS")
        eventually(lambda: pooler.idle(target) == 3, 5)
        clients = [connect(pooler.url(target)) for _ in range(3)]
        assert [seen_by(client) for client in clients] == [[("user", "postgres postgres")]] * 3


def test_every_command_works(scratch: ScratchServer, project: Project) -> None:
    project.wrapped(a=TABLE.format("a"), b="SELECT 1/0;\n", c="SELECT 1;\n")
    with in_session_mode(scratch, project) as (pooled, _):
        assert pooled.upgrade().code == 1
        pooled.ok("pgpipe", "skip", "b", "--reason", "x")
        pooled.ok("upgrade", "head")
        project.source("b", "SELECT 1;\n")
        pooled.ok("pgpipe", "retry", "b")
        pooled.ok("upgrade", "head")
        assert pooled.status() == dict.fromkeys("abc", "SUCCESS")
        for command in ("check", "log", "wait"):
            pooled.ok("pgpipe", command)
        pooled.ok("current")


def test_texts_keep_their_characters_where_the_database_has_another_encoding(
    scratch: ScratchServer, project: Project
) -> None:
    assert isinstance(project.url, URL)
    name = f"{project.url.database}_latin"
    project.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = Project(project.folder, project.url.set(database=name))
    latin.wrapped(
        a="CREATE TABLE public.a AS SELECT 'é'::text AS word;\n",
        b="-- pgpipe: transaction = off\nINSERT INTO public.a VALUES ('ü');\n",
        größe="SELECT 1;\n",
    )
    try:
        with in_session_mode(scratch, latin) as (pooled, _):
            pooled.ok("upgrade", "head")
            words = "SELECT string_agg(encode(convert_to(word, 'UTF8'), 'hex'), ' ') FROM a"
            assert latin.scalar(words) == "é".encode().hex() + " " + "ü".encode().hex()
            assert latin.ledger() == dict.fromkeys(("a", "b", "größe"), "SUCCESS")
    finally:
        project.query(f"DROP DATABASE {name} WITH (FORCE)")


# -- a pool that is too small -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "how"),
    [(1, "was closed before the first answer"), (0, "did not answer within 1 s")],
)
@pytest.mark.parametrize("size", [1, 2])
def test_a_pool_with_too_few_connections_is_named_instead_of_a_hang(
    scratch: ScratchServer,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    limit: int,
    how: str,
) -> None:
    monkeypatch.setattr(pooling, "ANSWER_SECONDS", 30.0 if limit else 1.0)
    project.wrapped(a=TABLE.format("a"))
    options = {"default_pool_size": size, "query_wait_timeout": limit}
    with in_session_mode(scratch, project, options) as (pooled, _):
        refused(pooled.upgrade(), how, "A run needs three at once", "pool", code=5)
    assert applied(project) == []
    if size > 1:
        assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"
    project.ok("upgrade", "head")


def test_startup_options_of_the_url_are_refused_with_the_poolers_setting(
    scratch: ScratchServer, project: Project
) -> None:
    project.wrapped(a=TABLE.format("a"))
    given = {"options": "-c search_path=public"}
    with in_session_mode(scratch, project) as (pooled, _):
        assert isinstance(pooled.url, URL)
        asking = Project(project.folder, pooled.url.update_query_dict(given))
        refused(asking.upgrade(), "options", "ignore_startup_parameters", code=5)
    ignored = {"ignore_startup_parameters": "options, extra_float_digits"}
    with in_session_mode(scratch, project, ignored) as (pooled, _):
        assert isinstance(pooled.url, URL)
        Project(project.folder, pooled.url.update_query_dict(given)).ok("upgrade", "head")


# -- signals, and who is in the way -----------------------------------------------------------


def test_a_stopped_run_cancels_its_statement_on_the_server(
    scratch: ScratchServer, project: Project
) -> None:
    project.wrapped(a=TABLE.format("a") + SLEEP)
    with (
        in_session_mode(scratch, project) as (pooled, _),
        in_background(pooled, "upgrade", "head") as run,
    ):
        busy_with(project, "%pg_sleep(60)%")
        run.send_signal(signal.SIGTERM)
        output = run.communicate(timeout=20)[0]
    assert run.returncode == 130, output
    assert project.scalar(SLEEPING) == 0
    assert project.scalar("SELECT status FROM migration_logs") == "FAILURE"


def test_a_killed_run_leaves_no_lock_and_the_next_one_goes_on(
    scratch: ScratchServer, project: Project
) -> None:
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b") + SLEEP)
    options = {"server_reset_query": ""}
    with in_session_mode(scratch, project, options) as (pooled, _):
        with in_background(pooled, "upgrade", "head") as run:
            busy_with(project, "%pg_sleep(60)%")
            run.kill()
            run.communicate(timeout=20)
        project.source("b", TABLE.format("b"))
        pooled.configure(lock_wait="5s")
        pooled.ok("upgrade", "head")
    assert project.ledger() == dict.fromkeys("ab", "SUCCESS")
    assert project.outcomes("b") == [("upgrade", "INTERRUPTED"), ("upgrade", "SUCCESS")]


def test_who_is_in_the_way_is_named(scratch: ScratchServer, project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(b="LOCK TABLE public.a;\nSELECT 1;\n")
    project.configure(statement_timeout="1s")
    with (
        in_session_mode(scratch, project) as (pooled, _),
        holding(project, "BEGIN; LOCK TABLE public.a"),
    ):
        output = pooled.upgrade().text
    assert "blocked by process" in output
    assert "idle in transaction" in output
