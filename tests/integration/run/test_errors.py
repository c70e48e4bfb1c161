"""Errors: a run-time failure names its one statement, the same in all places that keep it."""

from __future__ import annotations

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

TABLE = "CREATE TABLE public.t (id int PRIMARY KEY, name text);\n"
ROWS = "".join(f"INSERT INTO public.t VALUES ({n}, 'row');\n" for n in range(1, 6))
A1 = revision_id("a1")
ELSEWHERE = "pgpipe_deferred"


def failure(project: Project) -> str:
    """Run the pending source, expect that it fails, and return the error that was kept."""
    result = project.upgrade()
    assert result.code == 1, result.text
    kept = project.scalar("SELECT logs FROM migrations WHERE applied_status = 'ERROR'")
    assert kept in result.output
    return str(kept)


def failure_of(project: Project, text: str) -> str:
    """Wrap a source ``a1`` and return the error that it ends with."""
    project.wrapped(a1=text)
    return failure(project)


def test_a_failing_row_of_a_batch_is_shown_as_psql_would_like_to(project: Project) -> None:
    duplicate = "INSERT INTO public.t VALUES (3,\n   'twice');\n"
    kept = failure_of(project, TABLE + ROWS + duplicate + ROWS.replace("(", "(1"))
    assert kept == (
        "alembic/sql/a1.sql:7:1  23505 unique_violation  (statement 7 of 12)\n"
        "  7 | INSERT INTO public.t VALUES (3,\n"
        "    | ^\n"
        "  8 |    'twice');\n"
        'duplicate key value violates unique constraint "t_pkey"\n'
        "DETAIL: Key (id)=(3) already exists.\n"
        "nothing of this revision was applied (rolled back) · "
        f"retry: alembic pgpipe retry {A1} · "
        f'skip: alembic pgpipe skip {A1} --reason "…"'
    )
    assert project.scalar("SELECT to_regclass('public.t')") is None


def test_the_error_is_the_same_wherever_it_is_kept(project: Project) -> None:
    kept = failure_of(project, TABLE + ROWS + "INSERT INTO public.t VALUES (3, 'x');\n")
    [attempt] = project.query(
        "SELECT message, sqlstate, file, line, column_number FROM migration_attempts"
    )
    assert attempt == (kept, "23505", "alembic/sql/a1.sql", 7, 1)
    assert kept in project.scalar("SELECT logs FROM migration_logs")
    assert kept in (project.folder / "migration.log").read_text("utf-8")


# Each text has its mistake behind the mark, which is taken out before it is written.
PLACES = {
    "a syntax error": "SELECT 1;\nSELECT 1 +\n  ¦FORM t;\n",
    "an unknown column": TABLE + ROWS + "INSERT INTO t (id, ¦nmae) VALUES (9, 'x');\n" + ROWS,
    "behind multi-byte characters": "INSERT INTO pg_class VALUES ('ü😀', ¦nope);\n",
    "behind tabs": TABLE + "INSERT\tINTO t\n\t\tVALUES (9,\t¦nope);\n",
    "behind CRLF": "-- head\r\nSELECT 1;\r\nSELECT 1,\r\n  ¦nope;\r\n",
    "behind comments": "-- é\n/* a\n b */ SELECT 1; /* hint */ SELECT /* - */ ¦nope;\n",
    "in a view of a batch": TABLE
    + "CREATE VIEW v AS SELECT ¦nope FROM t;\nCREATE VIEW w ();\n",
    "on a line of their own": "INSERT INTO pg_class\n\nVALUES\n(\n¦nope\n);\n",
    "in a COPY": "SELECT 1;\nCOPY pg_temp.t (¦) FROM stdin;\n1\n\\.\n",
    "without a transaction": "-- pgpipe: transaction = off\nSELECT 1;\nSELECT  ¦nope;\n",
}


@pytest.mark.parametrize("marked", PLACES.values(), ids=PLACES.keys())
def test_a_place_that_the_server_names_is_exactly_there(project: Project, marked: str) -> None:
    before, _, behind = marked.partition("¦")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    kept = failure_of(project, before + behind)
    assert kept.startswith(f"alembic/sql/a1.sql:{line}:{column}  42"), kept
    _, shown, caret, *_ = kept.splitlines()
    start = shown.index("|") + 2
    assert shown[start : start + column - 1] == before.rpartition("\n")[2]
    assert caret[start:].replace("\t", " ").endswith("^")
    [place] = project.query("SELECT file, line, column_number FROM migration_attempts")
    assert place == ("alembic/sql/a1.sql", line, column)


def test_the_caret_stands_under_wide_characters_and_tabs(project: Project) -> None:
    lines = failure_of(project, "SELECT\t'日本', nope;\n").splitlines()
    assert lines[1:3] == ["  1 | SELECT\t'日本', nope;", "    |       \t        ^"]


def test_a_long_line_is_shown_around_its_place(project: Project) -> None:
    many = ", ".join(f"{n}" for n in range(400))
    lines = failure_of(project, f"SELECT {many}, nope, {many};\n").splitlines()
    assert len(lines[1]) < 200
    assert lines[1][lines[2].index("^") :].startswith("nope")


def test_an_included_file_is_named_with_its_own_line(project: Project) -> None:
    project.write("alembic/sql/parts/more.sql", f"-- more\n{TABLE}{ROWS}SELECT\n  nope;\n")
    kept = failure_of(project, "SELECT 1;\n\\ir parts/more.sql\nSELECT 2;\n")
    assert kept.startswith("alembic/sql/parts/more.sql:9:3  42703 undefined_column")
    assert "   9 |   nope;\n     |   ^" in kept


@pytest.mark.parametrize("rows", ["7\tx\nseven\ty\n", '7,x\n8,"x\ny"\nseven,y\n'])
def test_a_row_of_copy_is_named_by_its_line(project: Project, rows: str) -> None:
    options = " (FORMAT csv)" if "," in rows else ""
    text = f"{TABLE}{ROWS}COPY public.t FROM stdin{options};\n{rows}\\.\nSELECT 1;\n"
    kept = failure_of(project, text)
    line = text[: text.index("seven")].count("\n") + 1
    assert kept.startswith(f"alembic/sql/a1.sql:{line}:1  22P02 ")
    assert f"  {line} | seven" in kept
    assert "CONTEXT: COPY t, line" in kept


def test_what_a_message_does_to_a_terminal_is_taken_from_it(project: Project) -> None:
    kept = failure_of(
        project, "DO $$ BEGIN RAISE E'\\x1b[2Jgone\\r\\x07\\u202eback'; END $$;\n"
    )
    assert "␛[2Jgone␍␇\ufffdback" in kept
    assert not {"\x1b", "\r", "\x07", "\u202e"} & set(kept)


# -- the last line --------------------------------------------------------------------------


def test_without_a_transaction_the_error_says_what_stays(project: Project) -> None:
    kept = failure_of(project, "-- pgpipe: transaction = off\nSELECT 1;\nSELECT 1/0;\n")
    assert kept.splitlines()[-1] == (
        "1 of 2 statements are done; what its finished statements did stays, and the next "
        "try goes on after them · "
        f'retry: alembic pgpipe retry {A1} · skip: alembic pgpipe skip {A1} --reason "…"'
    )


def test_a_failed_downgrade_says_that_it_is_still_applied(project: Project) -> None:
    project.source("a1", TABLE, "SELECT 1/0;\n")
    project.wrapped()
    assert project.upgrade().code == 0
    result = project.alembic("downgrade", "base")
    assert result.code == 1
    assert (
        "nothing of its undo was done (rolled back) · it still counts as applied: "
        "mend alembic/sql/a1.down.sql, then downgrade again"
    ) in result.output


DEFERRED_KEY = (
    TABLE + "CREATE TABLE u (t int REFERENCES public.t DEFERRABLE INITIALLY DEFERRED);\n"
    "SET search_path TO pg_catalog;\nINSERT INTO public.u VALUES (7);\n"
)
DEFERRED_TRIGGER = (
    TABLE + "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS\n"
    "  $$ BEGIN RAISE EXCEPTION 'no rows today'; END $$;\n"
    "CREATE CONSTRAINT TRIGGER no_rows AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED\n"
    "  FOR EACH ROW EXECUTE FUNCTION no();\nINSERT INTO t VALUES (1);\n"
)


@pytest.mark.parametrize("place", ["", f"-- pgpipe: database = {ELSEWHERE}\n"])
def test_what_is_deferred_to_the_commit_fails_as_a_failure_of_the_source(
    project: Project, place: str
) -> None:
    if place:
        project.query(f"DROP DATABASE IF EXISTS {ELSEWHERE}")
        project.query(f"CREATE DATABASE {ELSEWHERE}")
    project.wrapped(a1=place + DEFERRED_KEY)
    result = project.upgrade()
    if place:
        project.query(f"DROP DATABASE {ELSEWHERE} WITH (FORCE)")
    lines = project.scalar("SELECT logs FROM migrations").splitlines()
    why = (
        "The constraint u_t_fkey of table public.u is deferred: it is checked at the commit, "
        "so that no one line of the file is to blame."
    )
    assert lines[:4] == [
        "alembic/sql/a1.sql  23503 foreign_key_violation  (at the commit)",
        'insert or update on table "u" violates foreign key constraint "u_t_fkey"',
        'DETAIL: Key (t)=(7) is not present in table "t".',
        why,
    ]
    assert lines[4].startswith("nothing of this revision was applied (rolled back) · retry: ")
    assert (
        'constraint "u_t_fkey" (at the commit, by the deferred constraint u_t_fkey of table '
        "public.u). Nothing of this revision was applied"
    ) in result.text


def test_what_a_deferred_trigger_raises_is_said_to_come_at_the_commit(project: Project) -> None:
    lines = failure_of(project, DEFERRED_TRIGGER).splitlines()
    assert lines[:2] == [
        "alembic/sql/a1.sql  P0001 raise_exception  (at the commit)",
        "no rows today",
    ]
    assert lines[3] == (
        "A deferred constraint trigger has raised it: it is run at the commit, so that no one "
        "line of the file is to blame."
    )


def test_what_fails_at_the_end_for_another_reason_is_not_put_down_to_a_constraint(
    project: Project,
) -> None:
    result = failure_of(project, "DROP TABLE public.alembic_version;\n")
    assert 'relation "public.alembic_version" does not exist' in result
    assert "at the commit" not in result
