"""Errors inside routines: the CONTEXT, and the line of the file that created the routine."""

from __future__ import annotations

from tests.integration.run.test_errors import failure, failure_of
from tests.project import Project

CLOSE = """\
-- close an order
CREATE SCHEMA shop;
CREATE FUNCTION shop.close_order(id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF id < 0 THEN
    RAISE EXCEPTION 'no order %', id
      USING DETAIL = 'none so far', HINT = 'count again';
  END IF;
END $$;
"""


def test_a_routine_of_an_applied_source_is_shown_with_its_file_and_line(
    project: Project,
) -> None:
    project.wrapped(a1=CLOSE, a2="SELECT 1;\nSELECT shop.close_order(-5);\n")
    lines = failure(project).splitlines()
    assert lines[0] == "alembic/sql/a2.sql:2:1  P0001 raise_exception  (statement 2 of 2)"
    assert lines[3:10] == [
        "no order -5",
        "DETAIL: none so far",
        "HINT: count again",
        "CONTEXT: PL/pgSQL function shop.close_order(bigint) line 4 at RAISE",
        "alembic/sql/a1.sql:7  PL/pgSQL function shop.close_order(bigint) line 4",
        "  7 |     RAISE EXCEPTION 'no order %', id",
        "    |     ^",
    ]


def test_the_source_applied_last_is_the_one_that_is_meant(project: Project) -> None:
    project.wrapped(a1=CLOSE)
    assert project.upgrade().code == 0
    project.wrapped(
        a2=CLOSE.replace("CREATE F", "\n\nCREATE OR REPLACE F").replace(
            "CREATE SCHEMA shop;", ""
        )
    )
    assert project.upgrade().code == 0
    project.wrapped(a3="SELECT shop.close_order(-5);\n")
    assert "alembic/sql/a2.sql:9  PL/pgSQL" in failure(project)


def test_a_routine_of_the_failing_source_itself_is_found(project: Project) -> None:
    kept = failure_of(project, CLOSE + "SELECT shop.close_order(-5);\n")
    assert "alembic/sql/a1.sql:7  PL/pgSQL function shop.close_order(bigint) line 4" in kept


def test_a_routine_of_nobodys_is_shown_by_its_context_alone(project: Project) -> None:
    project.query(CLOSE)
    kept = failure_of(project, "SELECT shop.close_order(-5);\n")
    assert kept.splitlines()[-2].startswith("CONTEXT: PL/pgSQL function shop.close_order")


def test_a_do_block_is_shown_with_its_own_line(project: Project) -> None:
    kept = failure_of(project, "SELECT 1;\nDO $x$\nBEGIN\n  PERFORM 1/0;\nEND $x$;\n")
    assert "alembic/sql/a1.sql:4  PL/pgSQL function inline_code_block line 3\n" in kept
    assert "  4 |   PERFORM 1/0;\n    |   ^" in kept


def test_each_routine_on_the_way_is_named(project: Project) -> None:
    outer = (
        "CREATE FUNCTION shop.close_all() RETURNS void LANGUAGE plpgsql AS\n"
        "$$ BEGIN\nPERFORM shop.close_order(-1); END $$;\n"
    )
    project.wrapped(a1=CLOSE, a2=outer, a3="SELECT shop.close_all();\n")
    kept = failure(project)
    first = kept.index("alembic/sql/a1.sql:7  PL/pgSQL function shop.close_order")
    assert kept.index("alembic/sql/a2.sql:3  PL/pgSQL function shop.close_all() line 2") > first


def test_a_mistake_in_a_routines_own_statement_is_shown_with_a_caret(project: Project) -> None:
    text = "DO $$ BEGIN\n  PERFORM 1,\n    nope; END $$;\n"
    kept = failure_of(project, text)
    assert "QUERY:\n  2 |     nope\n    |     ^\n" in kept


def test_a_statement_of_a_function_in_sql_is_shown(project: Project) -> None:
    text = (
        "CREATE FUNCTION f(n int) RETURNS int VOLATILE LANGUAGE sql AS $$\n"
        "  SELECT 1;\n  SELECT 1 / n;\n$$;\nSELECT f(0);\n"
    )
    kept = failure_of(project, text)
    assert 'alembic/sql/a1.sql:3  SQL function "f" statement 2\n' in kept


def test_a_function_in_sql_that_cannot_be_read_any_more_is_shown(project: Project) -> None:
    text = (
        "CREATE TABLE t (id int);\n"
        "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql AS $$\n"
        "  SELECT 1;\n  SELECT id FROM t;\n$$;\nDROP TABLE t;\nSELECT f();\n"
    )
    kept = failure_of(project, text)
    assert "QUERY:\n  3 |   SELECT id FROM t;\n    |                  ^" in kept
    assert "alembic/sql/a1.sql:4  SQL function" in kept


def test_a_context_without_an_end_is_cut_in_the_middle(project: Project) -> None:
    text = (
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN\n  PERFORM f(); END $$;\nSELECT f();\n"
    )
    kept = failure_of(project, text)
    assert "54001 statement_too_complex" in kept
    assert "characters are left out here …" in kept
    assert len(kept.splitlines()) < 60
