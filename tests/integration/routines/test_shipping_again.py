"""Routine files that change once more, where the database has gone its own way since."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.integration.routines.test_shipping import F, shipped
from tests.project import Project

pytestmark = pytest.mark.usefixtures("shared_rehearsal")
OR_REPLACE = F.replace("CREATE", "CREATE OR REPLACE")
# The server refuses that under OR REPLACE: the function is dropped and created anew.
OTHER_NAME = F.replace("a int", "b int").replace("SELECT a", "SELECT b")
V = "CREATE VIEW public.v AS SELECT 1 AS a, 2 AS b;\n"
NARROW = "CREATE VIEW public.v AS SELECT 1 AS a;\n"
M = "CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a;\n"
T = "CREATE TABLE public.t (a int);\n"
TF = (
    "CREATE FUNCTION public.tf() RETURNS trigger LANGUAGE plpgsql\n"
    "AS $$BEGIN RETURN NEW; END$$;\n"
)
ON_T = "CREATE TRIGGER x BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION tf();\n"
READS_T = {
    "function": OR_REPLACE.replace("(a int)", "()").replace("SELECT a", "SELECT a FROM t"),
    "view": "CREATE OR REPLACE VIEW public.v AS SELECT a AS one FROM public.t;\n",
}


@pytest.fixture(autouse=True)
def ledger(project: Project) -> None:
    project.configure(schema="ledger")
    project.query("CREATE SCHEMA ledger")


@pytest.fixture
def app(project: Project) -> Iterator[str]:
    """Give a role of the test's own to the server."""
    name = f"app_{uuid4().hex[:8]}"
    project.query(f"CREATE ROLE {name}")
    yield name
    project.query(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


# -- what the database knows of an object, where it is created anew ----------------------------


def test_a_column_goes_with_the_comment_and_grants_that_the_database_has(
    project: Project, app: str
) -> None:
    shipped(project, v=V)
    project.query(f"COMMENT ON COLUMN v.b IS 'bee'; GRANT SELECT (a, b) ON v TO {app}")
    shipped(project, v=NARROW)
    may = "SELECT has_column_privilege(%s, 'v', 'a', 'SELECT')"
    assert project.scalar(may, app)


def test_a_column_goes_with_the_comment_that_the_file_gave_it(project: Project) -> None:
    shipped(project, v=f"{V}COMMENT ON COLUMN public.v.b IS 'bee';\n")
    shipped(project, v=NARROW)
    project.ok("downgrade", "-1")
    [row] = project.query("SELECT col_description('v'::regclass, 2), b FROM v")
    assert row == ("bee", 2)


def test_an_aggregate_of_any_rows_keeps_its_privileges(project: Project) -> None:
    text = "CREATE AGGREGATE public.n(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');\n"
    shipped(project, n=text)
    project.query("REVOKE ALL ON FUNCTION n() FROM PUBLIC")
    shipped(project, n=text.replace("'0'", "'5'"))
    assert project.scalar("SELECT n(*)") == 6
    assert not project.scalar("SELECT has_function_privilege('public', 'n()', 'EXECUTE')")


def test_default_privileges_neither_give_nor_take_where_something_comes_back(
    project: Project, app: str
) -> None:
    project.source("t", T)
    shipped(project, f=F, v=V, tf=TF, tr=ON_T)
    may = (
        "SELECT has_function_privilege(%s, (SELECT oid FROM pg_proc WHERE proname = 'f'), "
        "'EXECUTE'), has_table_privilege(%s, 'v', 'SELECT')"
    )
    project.query(
        f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {app};"
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
        "COMMENT ON TRIGGER x ON t IS 'by hand'"
    )
    later = ON_T.replace("TRIGGER x BEFORE", "CONSTRAINT TRIGGER x AFTER")
    shipped(project, f=OTHER_NAME, v=NARROW, tr=later)
    assert project.query(may, app, app) == [(True, False)]
    said = "SELECT obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgname = 'x'"
    assert project.scalar(said) == "by hand"


def test_a_materialized_view_that_could_be_read_can_be_read_again(project: Project) -> None:
    shipped(project, f=F, m=M.replace("1 AS a", "public.f(1) AS a WITH NO DATA"))
    project.query("REFRESH MATERIALIZED VIEW m")
    shipped(project, f=OTHER_NAME)
    assert project.scalar("SELECT a FROM m") == 1
