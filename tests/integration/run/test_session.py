"""Session hygiene: whatever a source sets is gone before the next step and our own writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import URL

from tests.project import Project

# All of it may stand in a transaction, and outlives it.
SETS = """\
SELECT pg_catalog.set_config('search_path', '', false);
SET lock_timeout = '1s';
SET statement_timeout = '20s';
SET idle_in_transaction_session_timeout = '20s';
SET client_min_messages = error;
SET default_transaction_isolation = serializable;
SET session_replication_role = replica;
SET application_name = 'somebody';
SET DateStyle = 'German';
SET TimeZone = 'Asia/Tokyo';
SET mine.own = 'kept';
SET standard_conforming_strings = off;
CREATE TEMPORARY TABLE scrap (id int);
PREPARE scrap AS SELECT 1;
DECLARE scrap CURSOR WITH HOLD FOR SELECT 1;
LISTEN scrap;
SET default_transaction_read_only = on;
SELECT pg_catalog.pg_advisory_lock(42);
SET SESSION AUTHORIZATION "{0}";
SET ROLE "{0}";
"""
LOOKS = """\
CREATE TABLE public.seen AS SELECT pg_catalog.to_json(found) AS found FROM (
  SELECT current_user, session_user,
    nullif(pg_catalog.current_setting('mine.own', true), '') AS own,
    (SELECT count(*) FROM pg_catalog.pg_prepared_statements) AS prepared,
    (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable) AS cursors,
    (SELECT count(*) FROM pg_catalog.pg_listening_channels()) AS channels,
    (SELECT count(*) FROM pg_catalog.pg_locks
     WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()) AS locks,
    (SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'scrap') AS scrap,
    (SELECT pg_catalog.json_object_agg(name, setting) FROM pg_catalog.pg_settings
     WHERE context IN ('user', 'superuser') AND source = 'session') AS set_here,
    (SELECT pg_catalog.json_object_agg(name, setting) FROM pg_catalog.pg_settings
     WHERE name IN ('search_path', 'application_name', 'transaction_isolation')) AS others
) AS found;
"""
OFF = "-- pgpipe: transaction = off\n"
PYTHON = '''\
"""p"""
from alembic import op
revision, down_revision = "p", None


def upgrade():
    for statement in {0!r}.split(";\\n"):
        op.execute(statement)
'''


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that may do nothing."""
    name = f"nobody-{uuid4().hex[:8]}"
    project.query(f'CREATE ROLE "{name}"')
    yield name
    project.query(f'REASSIGN OWNED BY "{name}" TO postgres; DROP ROLE "{name}"')


@pytest.fixture
def clean(project: Project) -> object:
    """Give what a source sees in a session that nobody has set anything in."""
    project.wrapped(a0=LOOKS)
    assert project.upgrade().code == 0
    return taken(project)


def taken(project: Project) -> object:
    """Return what was seen, and forget it."""
    found = project.scalar("SELECT found FROM public.seen")
    project.query("DROP TABLE public.seen")
    return found


@pytest.mark.parametrize("head", ["", OFF], ids=["transaction", "alone"])
def test_nothing_that_a_source_sets_reaches_the_next(
    project: Project, clean: object, role: str, head: str
) -> None:
    project.wrapped(a1=head + SETS.format(role), a2=head + LOOKS)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.ledger() == {"a0": "SUCCESS", "a1": "SUCCESS", "a2": "SUCCESS"}
    assert taken(project) == clean


@pytest.mark.parametrize("head", ["", OFF], ids=["transaction", "alone"])
def test_nothing_that_a_failed_source_set_reaches_the_ledger(
    project: Project, clean: object, role: str, head: str
) -> None:
    project.wrapped(a1=head + SETS.format(role) + "SELECT 1/0;\n", a2=LOOKS)
    result = project.upgrade()
    assert "22012 division_by_zero" in result.output
    assert project.ledger()["a1"] == "ERROR"
    project.source("a1", head + SETS.format(role) + "SELECT 1;\n")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert taken(project) == clean


def test_the_query_of_a_cursor_that_outlives_its_step_does_not_run_with_our_rights(
    project: Project, role: str
) -> None:
    project.query(
        "CREATE TABLE public.ran (who text); GRANT ALL ON public.ran TO PUBLIC;"
        "CREATE FUNCTION public.note() RETURNS int LANGUAGE sql AS "
        "$$ INSERT INTO public.ran VALUES (current_user) RETURNING 1 $$"
    )
    declare = "DECLARE late CURSOR WITH HOLD FOR SELECT public.note();\n"
    project.wrapped(a1=f'SET ROLE "{role}";\n{declare}')
    assert project.upgrade().code == 0
    assert set(project.query("TABLE public.ran")) <= {(role,)}


@pytest.mark.parametrize("head", ["", OFF], ids=["transaction", "alone"])
@pytest.mark.parametrize(
    "sent", ["INSERT INTO t VALUES ('é');\n", "COPY t FROM stdin;\né\n\\.\n"]
)
def test_text_is_not_sent_in_another_encoding_than_it_was_read_in(
    project: Project, head: str, sent: str
) -> None:
    project.query("CREATE TABLE public.t (a text)")
    latin = "DO $$BEGIN PERFORM set_config('client_encoding', 'LATIN1', false); END$$;\n"
    project.wrapped(a1=f"{head}{latin}{sent}")
    result = project.upgrade()
    if result.code == 0:  # It was one message, which the server reads as a whole.
        assert (head, project.query("TABLE public.t")) == ("", [("é",)])
        return
    assert f"a1.sql:{3 if head else 2}:1: client_encoding is LATIN1" in result.text
    assert project.query("TABLE public.t") == []
    project.source("a1", f"{head}{latin}INSERT INTO t VALUES ('e');\n")
    assert project.upgrade().code == 0
    assert project.query("TABLE public.t") == [("e",)]


def test_nothing_that_a_python_revision_sets_reaches_the_next(
    project: Project, role: str
) -> None:
    project.write("alembic/versions/p.py", PYTHON.format(SETS.format(role).rstrip(";\n")))
    project.wrapped(a1=LOOKS)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.ledger() == {"p": "SUCCESS", "a1": "SUCCESS"}
    seen = taken(project)
    project.wrapped(a2=LOOKS)
    assert project.upgrade().code == 0
    assert taken(project) == seen
    assert "somebody" not in json.dumps(seen) and role not in json.dumps(seen)


@pytest.mark.parametrize("head", ["", OFF], ids=["transaction", "alone"])
@pytest.mark.parametrize("odd", ["%", "%s", "%(id)s", "%%"])
def test_the_project_s_role_may_have_any_name(
    project: Project, role: str, head: str, odd: str
) -> None:
    name = f"{role}{odd}"
    project.query(f'ALTER ROLE "{role}" RENAME TO "{name}"')
    project.query(f'GRANT ALL ON SCHEMA public TO "{name}"')
    project.configure(role=name.replace("%", "%%"))
    try:
        project.wrapped(a=head + LOOKS)
        project.ok("upgrade", "head")
        owner = "SELECT tableowner FROM pg_catalog.pg_tables WHERE tablename = 'seen'"
        assert project.scalar(owner) == name
    finally:
        project.query(f'REASSIGN OWNED BY "{name}" TO postgres; DROP OWNED BY "{name}"')
        project.query(f'ALTER ROLE "{name}" RENAME TO "{role}"')


# -- what the role's own defaults are ----------------------------------------------------------

TIME_OUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.12); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER UPDATE ON migrations EXECUTE FUNCTION slow();
CREATE TRIGGER slow AFTER UPDATE ON migration_logs EXECUTE FUNCTION slow();
"""


@pytest.fixture
def hasty(project: Project, role: str, clean: object) -> Iterator[Project]:
    """Give the project under a role whose time-outs are shorter than our writes take."""
    project.query(f'ALTER ROLE "{role}" SUPERUSER LOGIN; {SLOW}')
    for name in TIME_OUTS:
        project.query(f"ALTER ROLE \"{role}\" SET {name} = '100ms'")
    before = project.url
    assert isinstance(before, URL)
    project.url = before.set(username=role)
    project.configure()
    yield project
    project.url = before


@pytest.mark.parametrize("head", ["", OFF], ids=["transaction", "alone"])
def test_time_outs_of_the_role_end_neither_a_source_nor_our_writes(
    hasty: Project, head: str
) -> None:
    hasty.wrapped(a1=head + "SELECT pg_sleep(0.12);\n")
    result = hasty.upgrade()
    assert result.code == 0, result.text
    assert hasty.ledger()["a1"] == "SUCCESS"


PAUSES = """
import time
from alembic import context
from alembic_pgpipe.environment import run

run(context, on_version_apply=lambda **_: time.sleep(0.3))
"""


@pytest.mark.parametrize("head", ["", OFF], ids=["transaction", "alone"])
def test_time_outs_of_the_role_do_not_end_a_session_that_waits_for_us(
    hasty: Project, head: str
) -> None:
    hasty.write("alembic/env.py", PAUSES)
    hasty.wrapped(a1=f"{head}SELECT 1;\n", a2=f"{head}SELECT 1;\n")
    result = hasty.upgrade()
    assert result.code == 0, result.text


@pytest.mark.parametrize("given", ["project", "source"])
def test_a_time_out_that_is_asked_for_holds(project: Project, given: str) -> None:
    if given == "project":
        project.configure(statement_timeout="10ms")
    head = "-- pgpipe: statement_timeout = 10ms\n" if given == "source" else ""
    project.wrapped(a1=head + "SELECT pg_sleep(30);\n")
    assert "57014 query_canceled" in project.upgrade().output
