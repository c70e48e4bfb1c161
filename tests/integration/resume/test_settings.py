"""A source goes on with the settings and the role that its finished statements had set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, text

from alembic_pgpipe.outside import in_session
from tests.project import Project
from tests.resuming import OFF, fails, goes_on, goes_on_where_it_was, places
from tests.roles import new_role


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that may make tables."""
    with new_role(project, "own_") as name:
        project.query(f"GRANT CREATE ON SCHEMA public TO {name}")
        yield name


def test_what_finished_statements_have_set_is_set_again(project: Project) -> None:
    role = f"role_{project.scalar('SELECT pg_backend_pid()')}"
    project.query(f"CREATE ROLE {role}; CREATE TABLE seen (path text, who text, time text)")
    project.query(f"GRANT ALL ON seen TO {role}")
    project.wrapped(
        a=f"{OFF}SELECT set_config('search_path', 'public, pg_temp', false);\n"
        f"SET lock_timeout = '7s';\nSET SESSION AUTHORIZATION {role};\nSELECT 1/0;\n"
    )
    try:
        fails(project, "3 of 4 statements are done")
        now = "current_setting('search_path'), session_user, current_setting('lock_timeout')"
        text = (project.folder / "alembic/sql/a.sql").read_text()
        project.source("a", text.replace("SELECT 1/0", f"INSERT INTO seen SELECT {now}"))
        goes_on(project, "resumed at statement 4 of 4")
        assert project.query("SELECT * FROM seen") == [("public, pg_temp", role, "7s")]
    finally:
        project.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


ENTER = "CREATE SCHEMA apart; CREATE FUNCTION enter() RETURNS void LANGUAGE sql AS $$ {} $$"
SETS_PATH = "SELECT pg_catalog.set_config('search_path', 'apart', false)"


@pytest.mark.parametrize(
    "sets",
    [
        "SELECT enter();",
        "EXPLAIN ANALYZE SELECT enter();",
        f"EXPLAIN ANALYZE {SETS_PATH};",
        "DO $$BEGIN PERFORM enter(); END$$;",
        "DO $$BEGIN PERFORM set_config('search_path', 'apart', false); END$$;",
        "INSERT INTO entered SELECT 1 FROM enter();",
        "BEGIN; SELECT enter(); COMMIT;",
        "BEGIN; SAVEPOINT a; SET search_path = nowhere; ROLLBACK TO a; SELECT enter(); COMMIT;",
    ],
)
def test_what_a_statement_has_set_by_the_way_is_set_again(project: Project, sets: str) -> None:
    project.query(ENTER.format(SETS_PATH))
    project.query("CREATE TABLE entered (a int)")
    goes_on_where_it_was(project, f"{sets}\n", "CREATE TABLE one (a int);\n")
    assert project.scalar("SELECT to_regclass('apart.one')") == "apart.one"


@pytest.mark.parametrize(
    "sets",
    [
        "BEGIN; SET search_path = apart; ROLLBACK;",
        "BEGIN; SAVEPOINT a; SET search_path = apart; ROLLBACK TO SAVEPOINT a; COMMIT;",
        "SET search_path = apart; RESET search_path;",
        "SET search_path = apart; DISCARD ALL;",
        "BEGIN; SET LOCAL search_path = apart; COMMIT;",
    ],
)
def test_what_no_longer_held_is_not_set_again(project: Project, sets: str) -> None:
    project.query("CREATE SCHEMA apart")
    goes_on_where_it_was(project, f"{sets}\n", "CREATE TABLE one (a int);\n")
    assert project.scalar("SELECT to_regclass('public.one')") == "one"


ODD_SETTINGS = (
    "SET DateStyle = 'German, DMY';",
    "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE;",
    """SET search_path = "we""ird", "$user", 'a b', pg_catalog;""",
    "SELECT set_config('search_path', '', false);",
    "SET work_mem = '123MB'; SET vacuum_cost_delay = '1.5ms'; SET seq_page_cost = 1e-3;",
    "RESET ALL;",
    "RESET lock_timeout; RESET application_name; SET statement_timeout TO DEFAULT;",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;",
    "SET XML OPTION DOCUMENT; SET temp_tablespaces = ''; SET lc_monetary = 'C';",
    """SET app.a = 'x y'; SET "App"."B" = '1'; SET app.c = 'é☃'; SET app.d = '';""",
    "SELECT set_config('app.a', E'a\\nb', false); SET standard_conforming_strings = off;",
    "SET ROLE NONE; SET SESSION AUTHORIZATION DEFAULT; SET session_replication_role = replica;",
)
SEEN = """
    SELECT name, setting FROM pg_settings WHERE source = 'session'
    UNION ALL SELECT name, current_setting(name, true) FROM (VALUES ('role'),
        ('session_authorization'), ('app.a'), ('app.b'), ('app.c'), ('app.d')) AS of (name)
"""


@pytest.mark.parametrize("sets", ODD_SETTINGS)
def test_a_setting_of_any_kind_is_as_it_was(project: Project, sets: str) -> None:
    keep = "CREATE TABLE public.{} AS " + SEEN.strip() + ";\n"
    goes_on_where_it_was(project, f"{sets}\n{keep.format('before')}", keep.format("after"))
    seen = project.query("SELECT * FROM before ORDER BY 1")
    assert project.query("SELECT * FROM after ORDER BY 1") == seen


def test_a_library_is_loaded_again_and_a_setting_of_ones_own_set(project: Project) -> None:
    before = "LOAD 'auto_explain';\nSET auto_explain.sample_rate = 0.5;\nSET app.who = 'me';\n"
    seen = "current_setting('auto_explain.sample_rate'), current_setting('app.who')"
    after = f"CREATE TABLE seen AS SELECT concat_ws(' ', {seen});\n"
    loaded = "SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain%'"
    goes_on_where_it_was(project, before, f"{after}INSERT INTO seen {loaded};\n")
    [values, libraries] = [value for (value,) in project.query("TABLE seen")]
    assert values == "0.5 me"
    assert int(libraries) > 1


def test_a_role_that_is_gone_is_not_needed_where_it_was_taken_back(project: Project) -> None:
    role = f"role_{project.scalar('SELECT pg_backend_pid()')}"
    before = f"CREATE ROLE {role};\nSET ROLE {role};\nRESET ROLE;\nDROP ROLE {role};\n"
    goes_on_where_it_was(project, before, "CREATE TABLE one (a int);\n")


def test_a_role_that_is_not_to_be_had_again_is_named(project: Project) -> None:
    role = f"role_{project.scalar('SELECT pg_backend_pid()')}"
    project.query(f"CREATE ROLE {role}")
    before = f"{OFF}SET ROLE {role};\n"
    project.wrapped(a=f"{before}SELECT 1/0;\n")
    fails(project)
    project.query(f"DROP ROLE {role}")
    project.source("a", f"{before}SELECT 1;\n")
    why = f'role "{role}" does not exist. Write a SET or RESET of role of its own here.'
    fails(project, "a.sql:3:1", "what the one before had of role is not to be had again", why)
    project.source("a", f"{before}RESET ROLE;\nSELECT 1;\n")
    goes_on(project)


def test_a_secret_is_not_kept_to_be_set_again(project: Project) -> None:
    secret = {"PGPASSWORD": "hunter2hunter2"}
    before = "SELECT set_config('app.key', 'hunter' || '2hunter2', false) IS NULL;\n"
    project.wrapped(a=f"{OFF}{before}SELECT 1/0;\n")
    assert project.upgrade(env=secret).code == 1
    kept = project.scalar("SELECT session::text FROM migration_attempts")
    assert "app.key" in kept and "hunter" not in kept
    project.source("a", f"{OFF}{before}SELECT 1;\n")
    fails(project, "app.key is not to be had again: its value is one that the ledger does not")
    project.source("a", f"{OFF}{before}SET app.key = '1';\nSELECT 1;\n")
    goes_on(project)


# -- what failed -------------------------------------------------------------------------------


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


# -- who goes on -------------------------------------------------------------------------------


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


# -- which values ------------------------------------------------------------------------------


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
