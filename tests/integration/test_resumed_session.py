"""The session in which a source without a transaction goes on is like the one that ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, text

from alembic_pgpipe.run import in_session
from tests.integration.test_resume import OFF, blocked_commits, fails, goes_on
from tests.killing import kill_after
from tests.project import Project


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that may make tables."""
    name = f"own_{project.scalar('SELECT pg_backend_pid()')}"
    project.query(f"CREATE ROLE {name}; GRANT CREATE ON SCHEMA public TO {name}")
    yield name
    project.query(f"DROP OWNED BY {name}; DROP ROLE {name}")


def places(project: Project) -> list[tuple[str, str]]:
    """Return the schemas and owners of the tables that sources here make."""
    return project.query(
        "SELECT schemaname, tableowner FROM pg_tables WHERE tablename IN ('one', 'two') "
        "ORDER BY tablename"
    )


WAITS = """
    CREATE FUNCTION enter() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(42); {}; RETURN 1; END $$
"""
# The run waits with what it has committed, and cannot say so.
UNRECORDED = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(43); RETURN NEW; END $$;
    CREATE TRIGGER wait BEFORE UPDATE ON migration_attempts FOR EACH ROW
    WHEN (NEW.statements_done > OLD.statements_done) EXECUTE FUNCTION wait()
"""


def killed_unseen(project: Project, up: str) -> None:
    """Kill a run between the commit of a source's first statement and its record."""
    project.wrapped(ledger="SELECT 1;\n")
    project.ok("upgrade", "head")
    project.query(UNRECORDED)
    project.wrapped(a=up)
    first, second = (f"SELECT pg_advisory_lock({key})" for key in (42, 43))
    kill_after(project, first, "%enter()%", second)
    project.query("DROP TRIGGER wait ON migration_attempts")


# -- what failed ----------------------------------------------------------------------------


def test_a_set_that_fails_does_not_lose_the_role_that_it_would_replace(
    project: Project, role: str
) -> None:
    done = f"{OFF}SET ROLE {role};\nCREATE TABLE one ();\n"
    project.wrapped(a=f"{done}SET ROLE nobody_knows;\nCREATE TABLE two ();\n")
    fails(project, "does not exist")
    project.ok("pgpipe", "retry")
    fails(project, "does not exist")
    project.source("a", f"{done}CREATE TABLE two ();\n")
    goes_on(project)
    assert places(project) == [("public", role)] * 2


def test_a_set_that_fails_does_not_lose_the_path(project: Project) -> None:
    project.query("CREATE SCHEMA apart")
    done = f"{OFF}SET search_path = apart;\n"
    project.wrapped(a=f"{done}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{done}SET search_path = other, $user;\nCREATE TABLE one ();\n")
    fails(project, "syntax error")
    project.source("a", f"{done}CREATE TABLE one ();\n")
    goes_on(project)
    assert places(project) == [("apart", "postgres")]


# -- who goes on ----------------------------------------------------------------------------


@pytest.fixture
def logins(project: Project, role: str) -> Iterator[tuple[Project, Project]]:
    """Give the project as two users see it who are only members of the role."""
    assert isinstance(project.url, URL)
    first, second = f"{role}_1", f"{role}_2"
    project.query("CREATE SCHEMA ledger")
    for name in (first, second):
        project.query(f"CREATE ROLE {name} LOGIN NOINHERIT IN ROLE {role}")
    project.query(
        f"GRANT ALL ON SCHEMA public, ledger TO {first}, {second};"
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {first} GRANT ALL ON TABLES TO {second};"
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {first} GRANT ALL ON SEQUENCES TO {second}"
    )
    project.configure(schema="ledger")
    urls = [project.url.set(username=name) for name in (first, second)]
    yield (
        Project(project.folder, urls[0], project.options),
        Project(project.folder, urls[1], project.options),
    )
    project.query("DROP SCHEMA ledger CASCADE")
    for name in (second, first):
        project.query(f"DROP OWNED BY {name}")
        project.query(f"DROP ROLE {name}")


def test_another_login_goes_on_where_only_the_role_was_set(
    logins: tuple[Project, Project], role: str
) -> None:
    first, second = logins
    done = f"{OFF}SET ROLE {role};\n"
    first.wrapped(a=f"{done}SELECT 1/0;\n")
    fails(first, "division by zero")
    second.configure()
    second.source("a", f"{done}CREATE TABLE one ();\n")
    goes_on(second)
    assert places(second) == [("public", role)]


def test_a_password_that_is_the_users_name_hides_no_role(project: Project, role: str) -> None:
    env = {"PGPASSWORD": "postgres"}
    done = f"{OFF}SET ROLE {role};\n"
    project.wrapped(a=f"{done}SELECT 1/0;\n")
    assert project.upgrade(env=env).code == 1
    project.source("a", f"{done}CREATE TABLE one ();\n")
    result = project.upgrade(env=env)
    assert result.code == 0, result.text
    assert places(project) == [("public", role)]


def test_what_only_a_role_may_set_is_set_behind_it(project: Project) -> None:
    assert isinstance(project.url, URL)
    login = f"login_{project.scalar('SELECT pg_backend_pid()')}"
    project.query(f"CREATE ROLE {login} LOGIN IN ROLE postgres")
    project.query(f"GRANT ALL ON SCHEMA public TO {login}")
    member = Project(project.folder, project.url.set(username=login), project.options)
    done = f"{OFF}SET ROLE postgres;\nSET session_replication_role = replica;\n"
    try:
        member.wrapped(a=f"{done}SELECT 1/0;\n")
        fails(member)
        now = "CREATE TABLE one AS SELECT current_setting('session_replication_role');\n"
        member.source("a", done + now)
        goes_on(member)
        assert project.query("TABLE one") == [("replica",)]
    finally:
        project.query(f"DROP OWNED BY {login}")
        project.query(f"DROP ROLE {login}")


# -- what was set ---------------------------------------------------------------------------


def test_a_value_of_two_lines_is_no_secret(project: Project) -> None:
    done = f"{OFF}SET app.x = 'a\r\nb';\r\n"
    project.wrapped(a=f"{done}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{done}CREATE TABLE one AS SELECT current_setting('app.x');\n")
    goes_on(project)
    assert project.query("TABLE one") == [("a\r\nb",)]


@pytest.mark.parametrize(
    "sets",
    [
        "SELECT login('bob');",
        "SELECT set_config($$app.tenant$$, 'bob', false);",
        "SELECT set_config(E'app.tenant', 'bob', false);",
        "SET app.tenant/* whose */= 'bob';",
        "SET/**/app.tenant = 'bob';",
    ],
)
def test_a_setting_of_ones_own_is_had_again(project: Project, sets: str) -> None:
    project.query(
        "CREATE FUNCTION login(t text) RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN PERFORM set_config('app.tenant', t, false); END$$"
    )
    _goes_on_with(project, sets, "app.tenant")


def test_a_name_may_have_a_dollar(project: Project) -> None:
    _goes_on_with(project, "SET app.a$b = 'bob';", "app.a$b")


def _goes_on_with(project: Project, sets: str, name: str) -> None:
    project.wrapped(a=f"{OFF}{sets}\nSELECT 1/0;\n")
    fails(project)
    seen = f"CREATE TABLE one AS SELECT current_setting('{name}', true);\n"
    project.source("a", f"{OFF}{sets}\n{seen}")
    goes_on(project)
    assert project.query("TABLE one") == [("bob",)]


def test_a_time_out_too_short_for_our_questions_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = text("SELECT 'setting', 'a', 'b' FROM pg_catalog.pg_sleep(0.2) WHERE :custom <> '0'")
    monkeypatch.setattr(in_session, "STATE", slow)
    project.wrapped(a=f"{OFF}SET statement_timeout = '50ms';\nSELECT 1;\n")
    fails(project, "the server is asked what it has set", "statement timeout")


# -- what nobody saw ------------------------------------------------------------------------


def test_a_path_that_a_function_has_set_unseen_is_asked_for(project: Project) -> None:
    project.query("CREATE SCHEMA apart")
    project.query(WAITS.format("PERFORM set_config('search_path', 'apart', false)"))
    done = f"{OFF}SELECT enter();\n"
    killed_unseen(project, f"{done}CREATE TABLE one ();\n")
    fails(project, "a.sql:3:1", "had set search_path", "Write a SET or RESET of search_path")
    project.source("a", f"{done}SET search_path = apart;\nCREATE TABLE one ();\n")
    goes_on(project, "resumed at statement 2 of 3")
    assert places(project) == [("apart", "postgres")]


def test_an_advisory_lock_that_was_taken_unseen_is_taken_again(project: Project) -> None:
    project.query(WAITS.format("PERFORM pg_advisory_lock(44)"))
    held = "SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND classid = 0"
    own = "AND objid = 44 AND pid = pg_backend_pid()"
    killed_unseen(project, f"{OFF}SELECT enter();\nCREATE TABLE one AS {held} {own};\n")
    goes_on(project, "resumed at statement 2 of 2")
    assert project.query("TABLE one") == [(44,)]


def test_a_temporary_table_that_was_made_unseen_is_not_taken_for_another(
    project: Project,
) -> None:
    project.query("CREATE TABLE draft (a int)")
    project.query(WAITS.format("CREATE TEMP TABLE draft (a int)"))
    done, use = f"{OFF}SELECT enter();\n", "INSERT INTO draft VALUES (1);\n"
    killed_unseen(project, done + use)
    fails(project, "this needs temporary table draft")
    project.source("a", f"{done}SELECT enter();\n{use}")
    goes_on(project)
    assert project.query("SELECT * FROM public.draft") == []


def test_what_a_savepoint_took_back_is_not_set_unseen(project: Project) -> None:
    project.query("CREATE TABLE t (a int); CREATE SCHEMA apart")
    project.wrapped(
        a=f"{OFF}BEGIN;\nSAVEPOINT a;\nSET search_path = apart;\nROLLBACK TO a;\n"
        "INSERT INTO t VALUES (1);\nCOMMIT;\nCREATE TABLE one ();\n"
    )
    with blocked_commits(project):
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    goes_on(project)
    assert places(project) == [("public", "postgres")]


@pytest.mark.parametrize("sets", ["SET search_path = apart", "SET LOCAL search_path = apart"])
def test_what_a_block_has_set_by_its_own_words_unseen(project: Project, sets: str) -> None:
    project.query("CREATE TABLE t (a int); CREATE SCHEMA apart")
    block = f"{OFF}BEGIN;\n{sets};\nINSERT INTO public.t VALUES (1);\nCOMMIT;\n"
    project.wrapped(a=f"{block}CREATE TABLE one ();\n")
    with blocked_commits(project):
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    if "LOCAL" in sets:
        fails(project, "had set search_path, for its session or for its transaction")
        project.source("a", f"{block}RESET search_path;\nCREATE TABLE one ();\n")
    goes_on(project)
    assert places(project) == [("public" if "LOCAL" in sets else "apart", "postgres")]


@pytest.mark.parametrize(
    "statement",
    [
        "EXPLAIN ANALYZE INSERT INTO t SELECT enter();",
        "CREATE TEMP TABLE q AS SELECT enter();",
        "SELECT enter() INTO TEMP q;",
        "DECLARE c CURSOR WITH HOLD FOR SELECT enter();",
    ],
)
def test_what_writes_by_the_way_is_not_done_twice(project: Project, statement: str) -> None:
    project.query("CREATE TABLE t (a int)")
    insert = "NULL" if "INSERT" in statement else "INSERT INTO t VALUES (1)"
    project.query(WAITS.format(insert))
    if statement.startswith("DECLARE"):
        project.wrapped(a=f"{OFF}{statement}\nSELECT 1;\n")
        kill_after(project, "SELECT pg_advisory_lock(42)", "COMMIT%")
    else:
        killed_unseen(project, f"{OFF}{statement}\nSELECT 1;\n")
    goes_on(project)
    assert project.query("SELECT a FROM t") == [(1,)]


# -- what has ended with its session --------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "use"),
    [
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1;", "FETCH c;"),
        ("CREATE TABLE pg_temp.draft (a int);", "INSERT INTO pg_temp.draft VALUES (1);"),
        ("DO $$BEGIN CREATE TEMP TABLE draft (a int); END$$;", "TABLE draft;"),
        ("SELECT make();", "TABLE draft;"),
        ("CREATE TEMP TABLE draftÉ (a int);", "INSERT INTO draftÉ VALUES (1);"),
    ],
)
def test_what_is_to_be_written_is_taken(project: Project, made: str, use: str) -> None:
    project.query(
        "CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS "
        "$$BEGIN CREATE TEMP TABLE draft (a int); END$$"
    )
    project.wrapped(a=f"{OFF}{made}\nSELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{made}\n{use}\n")
    fails(project, "a.sql:3:1", "Write what makes it once more, above this statement")
    project.source("a", f"{OFF}{made}\n{made}\n{use}\n")
    goes_on(project)


def test_a_quoted_name_is_found_where_it_is_used(project: Project) -> None:
    project.query('CREATE TABLE "we""ird" (a int)')
    made = f'{OFF}CREATE TEMP TABLE "we""ird" (a int);\n'
    project.wrapped(a=f"{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f'{made}INSERT INTO "we""ird" VALUES (1);\n')
    fails(project, "this needs temporary table")
