"""The session in which a source without a transaction goes on is like the one that ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from tests.integration.test_resume import OFF, fails, goes_on
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
