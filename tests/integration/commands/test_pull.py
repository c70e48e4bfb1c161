"""``alembic pgpipe pull``: what the database holds becomes working copies, or a baseline."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL

from alembic_pgpipe.scratch.server import ScratchServer
from tests.histories import Dump, dump_for, history
from tests.project import Project

F = "CREATE FUNCTION public.f(n integer) RETURNS integer LANGUAGE sql AS 'SELECT {0}';\n"
T = "CREATE TABLE public.t (id integer);\n"
TRIGGER = """CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN RETURN {0}; END';
-- It runs late.
CREATE TRIGGER late BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();
COMMENT ON TRIGGER late ON public.t IS 'it''s late';
"""
NOT_TABLES = ("FUNCTION", "PROCEDURE", "AGGREGATE", "VIEW", "MATERIALIZED VIEW", "TRIGGER")
# An index on a materialized view, and a domain that no table has.
NOT_OF_TABLES = ("rental_category", "b\u0131g\u0131nt")
RESTRICT = re.compile(r"^\\(un)?restrict .*\n", re.M)
ENTRY = re.compile(r"^--\n-- Name: (.*?); Type: (.*?); Schema: ", re.M)


@pytest.fixture
def dump(scratch: ScratchServer) -> Dump:
    return dump_for(scratch)


@pytest.fixture
def project(project: Project) -> Project:
    project.configure(schema="pgpipe")
    return project


def routine(project: Project, name: str) -> str:
    return (project.folder / "alembic/routines" / name).read_text("utf-8")


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.sql"))


def snapshots(project: Project) -> list[str]:
    return files(project.folder / "alembic/sql")


def schema(url: URL | str, dump: Dump) -> list[str]:
    assert isinstance(url, URL)
    return dump.schema(url, without="pgpipe")


def shipped(project: Project, name: str, text: str, before: str = "") -> None:
    """Write a working copy, and ship it."""
    if before:
        project.source("001_tables", before)
        project.ok("pgpipe", "wrap")
    project.write(f"alembic/routines/{name}", text)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")


# -- by name --------------------------------------------------------------------------------


def test_the_file_that_creates_an_object_gets_what_the_database_holds(project: Project) -> None:
    shipped(project, "math/any.sql", "-- Ours, since 2020.\n" + F.format(1))
    project.query(F.format(2).replace("CREATE", "CREATE OR REPLACE"))
    result = project.ok("pgpipe", "pull", "f")
    assert result.output == (
        "public.f(integer) → alembic/routines/math/any.sql\nnext: alembic pgpipe wrap\n"
    )
    assert routine(project, "math/any.sql") == (
        "-- Ours, since 2020.\nCREATE OR REPLACE FUNCTION public.f(n integer)\n"
        " RETURNS integer\n LANGUAGE sql\nAS $function$SELECT 2$function$;\n"
    )
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT f(1)") == 2
    assert project.ok("pgpipe", "pull", "f").output.endswith("any.sql: as it was\n")


def test_an_object_without_a_file_gets_one(project: Project) -> None:
    project.query(
        'CREATE SCHEMA "My App"; CREATE VIEW "My App"."A/b" AS SELECT 1 AS one;'
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION f(text, int[]) RETURNS int LANGUAGE sql AS 'SELECT 1';"
        + T
        + "CREATE POLICY own ON t; CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql "
        "AS 'BEGIN END'; CREATE EVENT TRIGGER ev ON sql_drop EXECUTE FUNCTION e()"
    )
    project.ok("pgpipe", "pull", "public.f()", "f(text,integer[])".replace("f(", "public.f("))
    project.ok("pgpipe", "pull", "own ON public.t", "ev", '"My App"."A/b"')
    assert files(project.folder / "alembic/routines") == [
        "My_App-96c6f4/A_b-3646f7.sql",
        "ev.sql",
        "public/f-text-integer_array.sql",
        "public/f.sql",
        "public/t.own.sql",
    ]


def test_other_objects_of_the_file_stay(project: Project) -> None:
    shipped(project, "late.sql", TRIGGER.format("NEW"), before=T)
    project.query(
        TRIGGER.format("NULL").partition("--")[0].replace("CREATE", "CREATE OR REPLACE")
    )
    project.query("GRANT EXECUTE ON FUNCTION f() TO PUBLIC; COMMENT ON FUNCTION f() IS 'new'")
    project.ok("pgpipe", "pull", "f")
    text = routine(project, "late.sql")
    assert "RETURN NULL" in text
    assert "IS 'new'" in text
    assert text.endswith(TRIGGER[TRIGGER.index("-- It") :])


def test_what_said_more_about_the_object_goes_with_its_old_text(project: Project) -> None:
    old = F.format(1) + "COMMENT ON FUNCTION public.f IS 'old';\nCREATE VIEW v AS SELECT 1;\n"
    shipped(project, "f.sql", old)
    project.query("COMMENT ON FUNCTION f(integer) IS 'new'")
    project.ok("pgpipe", "pull", "f")
    assert routine(project, "f.sql").count("COMMENT ON") == 1
    assert "'new'" in routine(project, "f.sql")
    assert routine(project, "f.sql").endswith("CREATE VIEW v AS SELECT 1;\n")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SELECT public.f(1)", "this statement uses it and is no part of it"),
        ("GRANT EXECUTE ON FUNCTION f(integer), g() TO PUBLIC", "may be about another object"),
    ],
)
def test_a_file_that_cannot_be_told_apart_is_refused(
    project: Project, statement: str, reason: str
) -> None:
    g = F.format(1).replace("f(n integer)", "g()")
    shipped(project, "both.sql", F.format(1) + g + statement + ";\n")
    project.query("COMMENT ON FUNCTION f(integer) IS 'x'")
    result = project.alembic("pgpipe", "pull", "f")
    assert result.code == 1
    assert "alembic/routines/both.sql:3:1: public.f(integer) cannot be written" in result.errors
    assert reason in result.errors
    assert "file of its own" in result.errors


def test_edits_that_no_snapshot_has_are_not_lost(project: Project) -> None:
    shipped(project, "f.sql", F.format(1))
    project.write("alembic/routines/f.sql", F.format(7))
    result = project.alembic("pgpipe", "pull", "f")
    assert result.code == 1
    assert "alembic/routines/f.sql was edited since its last snapshot" in result.errors
    assert routine(project, "f.sql") == F.format(7)
    project.ok("pgpipe", "pull", "f", "--force")
    assert "SELECT 1" in routine(project, "f.sql")


def test_the_command_that_loses_edits_works_as_it_is_told(project: Project) -> None:
    shipped(project, "f.sql", F.format(1))
    shipped(project, "text.sql", F.format(1).replace("(n integer)", "(n text)"))
    project.write("alembic/routines/f.sql", F.format(7))
    said = project.alembic("pgpipe", "pull", "public.f(integer)").errors
    told = re.search(r"or lose them: alembic (pgpipe pull .+ --force)", said)
    assert told is not None
    project.ok(*shlex.split(told[1]))
    assert "SELECT 1" in routine(project, "f.sql")


def test_a_newer_version_that_is_pending_is_not_lost(project: Project) -> None:
    shipped(project, "f.sql", F.format(1))
    project.write("alembic/routines/f.sql", F.format(7))
    project.ok("pgpipe", "wrap")
    result = project.alembic("pgpipe", "pull", "f")
    assert result.code == 1
    assert "has not run f.v002.sql, and its older public.f(integer) would be" in result.errors
    assert routine(project, "f.sql") == F.format(7)
    project.ok("upgrade", "head")
    project.ok("pgpipe", "pull", "f")
    assert "SELECT 7" in routine(project, "f.sql")


def test_an_object_of_another_schema_is_not_taken_for_the_one_of_the_file(
    project: Project,
) -> None:
    unqualified = F.format(1).replace("public.", "")
    shipped(project, "f.sql", unqualified)
    project.query(f"CREATE SCHEMA app; {F.format(2).replace('public.', 'app.')}")
    project.ok("pgpipe", "pull", "app.f")
    assert routine(project, "f.sql") == unqualified
    assert "SELECT 2" in routine(project, "app/f.sql")


def test_a_file_that_sets_its_search_path_may_mean_any_schema(project: Project) -> None:
    text = "SET search_path = app;\n" + F.format(1).replace("public.", "")
    shipped(project, "f.sql", text, before="CREATE SCHEMA app;\n")
    project.query(F.format(2).replace("public.", "app.").replace("CREATE", "CREATE OR REPLACE"))
    project.ok("pgpipe", "pull", "app.f")
    assert "SELECT 2" in routine(project, "f.sql")


def test_an_unknown_name_names_the_nearest(project: Project) -> None:
    project.query("CREATE VIEW customer_list AS SELECT 1 AS one")
    result = project.alembic("pgpipe", "pull", "custmer_list")
    assert result.code == 1
    assert "Did you mean public.customer_list?" in result.errors


def test_a_name_of_several_lists_them(project: Project) -> None:
    project.query(F.format(1) + F.format(1).replace("integer)", "text)"))
    result = project.alembic("pgpipe", "pull", "f")
    assert result.code == 1
    assert "function public.f(integer), function public.f(text)" in result.errors


def test_the_owner_is_written_where_it_is_somebody_else(project: Project) -> None:
    role = f"owner_{uuid4().hex[:8]}"
    project.query(f"CREATE ROLE {role}; {F.format(1)} ALTER FUNCTION f(int) OWNER TO {role}")
    try:
        project.ok("pgpipe", "pull", "f")
        assert f"ALTER FUNCTION public.f(integer) OWNER TO {role};" in routine(
            project, "public/f.sql"
        )
    finally:
        project.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(
    "arguments", [(), ("f", "--all"), ("--all", "--force"), ("f", "--schema", "public")]
)
def test_wrong_options_are_a_question_of_usage(
    project: Project, arguments: tuple[str, ...]
) -> None:
    assert project.alembic("pgpipe", "pull", *arguments).code == 2


# -- the baseline ---------------------------------------------------------------------------

CIRCLE = """
CREATE FUNCTION a_first() RETURNS integer LANGUAGE sql AS 'SELECT z_last()';
CREATE FUNCTION z_last() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION round(integer) RETURNS integer LANGUAGE sql AS 'SELECT trip($1)';
CREATE FUNCTION trip(integer) RETURNS integer LANGUAGE sql AS 'SELECT round($1)';
CREATE FUNCTION elsewhere() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM not_here';
CREATE VIEW a_view AS SELECT z_last() AS n;
CREATE VIEW b_view AS SELECT * FROM a_view;
CREATE FUNCTION b_typed() RETURNS void LANGUAGE plpgsql
AS 'DECLARE v b_view%ROWTYPE; BEGIN END';
CREATE FUNCTION c_standard() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM b_view; END;
CREATE DOMAIN z_domain AS integer CHECK (VALUE > z_last());
CREATE FUNCTION b_domain(z_domain) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION e();
CREATE POLICY own ON t USING (id = a_first());
"""
NEEDED = """
CREATE FUNCTION next_number() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE DOMAIN small AS integer CHECK (VALUE < 9);
CREATE TABLE n (id integer DEFAULT next_number(), s small);
"""


def test_a_baseline_makes_what_it_was_made_of(
    project: Project, second_database: URL, dump: Dump
) -> None:
    project.query("SET check_function_bodies TO off;" + T + CIRCLE)
    result = project.ok("pgpipe", "pull", "--all")
    assert "alembic stamp head" in result.output
    [held] = [project.url]
    before = schema(held, dump)

    project.ok("stamp", "head")
    assert "nothing to do" in project.ok("upgrade", "head").text.lower()
    assert schema(held, dump) == before

    copy = Project(project.folder, second_database, project.options)
    copy.query(T)
    tables = schema(second_database, dump)
    copy.ok("upgrade", "head")
    assert schema(second_database, dump) == before
    copy.ok("downgrade", "base")
    assert schema(second_database, dump) == tables
    copy.ok("upgrade", "head")
    assert schema(second_database, dump) == before


def test_only_bodies_that_cannot_be_read_are_not_read(project: Project) -> None:
    project.query("SET check_function_bodies TO off;" + T + CIRCLE)
    project.ok("pgpipe", "pull", "--all")
    unread = [
        file
        for file in files(project.folder / "alembic/routines")
        if "check_function_bodies" in routine(project, file)
    ]
    assert unread == ["public/elsewhere.sql", "public/round.sql"]


def test_what_tables_need_is_there_before_the_baseline(
    project: Project, second_database: URL, dump: Dump
) -> None:
    project.query(NEEDED)
    result = project.ok("pgpipe", "pull", "--all")
    assert "left out: public.small: column s of table public.n needs it\n" in result.output
    copy = Project(project.folder, second_database, project.options)
    copy.query(NEEDED)
    before = schema(second_database, dump)
    copy.ok("upgrade", "head")
    copy.ok("downgrade", "base")
    assert schema(second_database, dump) == before


def test_a_second_pull_finds_nothing_new(project: Project) -> None:
    project.query(F.format(1))
    project.ok("pgpipe", "pull", "--all")
    project.ok("stamp", "head")
    before = snapshots(project)
    assert "nothing to pull" in project.ok("pgpipe", "pull", "--all").output
    assert snapshots(project) == before == ["public.f.v001.down.sql", "public.f.v001.sql"]


def test_a_baseline_is_edited_and_shipped_like_any_other(project: Project) -> None:
    project.query(F.format(1))
    project.ok("pgpipe", "pull", "--all")
    project.ok("stamp", "head")
    project.write("alembic/routines/public/f.sql", F.format(2))
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT f(0)") == 2
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT f(0)") == 1


def test_what_the_history_creates_is_not_doubled(project: Project) -> None:
    project.source("001_f", F.format(1))
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    project.query("CREATE VIEW v AS SELECT f(1)")
    result = project.ok("pgpipe", "pull", "--all")
    assert "left out: public.f(integer): alembic/sql/001_f.sql creates it\n" in result.output
    assert files(project.folder / "alembic/routines") == ["public/v.sql"]


@pytest.mark.parametrize("moved_to", ["core/f.sql", None])
def test_a_baseline_leaves_the_snapshots_of_files_that_are_gone(
    project: Project, moved_to: str | None
) -> None:
    shipped(project, "public/f.sql", F.format(1))
    (project.folder / "alembic/routines/public/f.sql").unlink()
    if moved_to is not None:
        project.write(f"alembic/routines/{moved_to}", F.format(1))
    project.ok("pgpipe", "wrap", "--drop")
    project.ok("upgrade", "head")
    project.query(F.format(2).replace("integer)", "text)"))
    project.ok("pgpipe", "pull", "--all")
    assert (project.folder / "alembic/sql/public.f.v001.sql").read_text("utf-8") == F.format(1)
    assert routine(project, "public/f-text.sql").startswith("CREATE OR REPLACE FUNCTION")
    project.ok("stamp", "head")
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


def test_a_baseline_that_would_write_over_a_file_writes_nothing(project: Project) -> None:
    project.query(F.format(1) + F.format(1).replace("public.f", "public.g"))
    project.write("alembic/sql/public.g.v001.down.sql", "SELECT 1;\n")
    result = project.alembic("pgpipe", "pull", "--all")
    assert result.code == 1
    assert "alembic/sql/public.g.v001.down.sql: there already" in result.errors
    assert files(project.folder / "alembic/routines") == []
    assert snapshots(project) == ["public.g.v001.down.sql"]
    assert list((project.folder / "alembic/versions").glob("*.py")) == []


def test_a_schema_limits_the_baseline(project: Project) -> None:
    project.query(f"{F.format(1)} CREATE SCHEMA app; CREATE VIEW app.v AS SELECT f(1)")
    project.ok("pgpipe", "pull", "--all", "--schema", "app")
    assert files(project.folder / "alembic/routines") == ["app/v.sql"]
    result = project.alembic("pgpipe", "pull", "--all", "--schema", "publc")
    assert result.code == 1
    assert "Did you mean public?" in result.errors


def test_what_another_schema_needs_is_not_dropped(project: Project) -> None:
    project.query(
        "CREATE SCHEMA app; CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE VIEW app.v AS SELECT 1 AS one; CREATE VIEW other AS SELECT app.f()"
    )
    project.ok("pgpipe", "pull", "--all", "--schema", "app")
    project.ok("stamp", "head")
    project.ok("downgrade", "base")
    assert project.query("SELECT * FROM other") == [(1,)]
    assert project.scalar("SELECT to_regclass('app.v')") is None


def test_a_database_behind_the_head_gives_no_baseline(project: Project) -> None:
    project.wrapped(first=T)
    project.query(F.format(1))
    result = project.alembic("pgpipe", "pull", "--all")
    assert result.code == 1
    assert "not at the head: 1 pending, from first on" in result.errors
    assert files(project.folder / "alembic/routines") == []


def test_nothing_is_run_on_the_database(project: Project) -> None:
    project.query(F.format(1))
    count = "SELECT count(*) FROM pg_catalog.pg_class"
    before = project.scalar(count)
    project.ok("pgpipe", "pull", "--all")
    assert project.scalar(count) == before


def test_pagila_moves_into_an_empty_copy_of_its_tables(
    project: Project, second_database: URL, dump: Dump
) -> None:
    truth = history("pagila")
    project.query((truth.folder / "stub.sql").read_text("utf-8"))
    project.query((truth.folder / "src/pagila-schema.sql").read_text("utf-8"))
    assert isinstance(project.url, URL)
    project.ok("pgpipe", "pull", "--all")
    assert len(files(project.folder / "alembic/routines")) > 30

    copy = Project(project.folder, second_database, project.options)
    copy.query(RESTRICT.sub("", "\n".join(tables_only(dump.text(project.url)))))
    assert schema(second_database, dump) != truth.schema()
    copy.ok("upgrade", "head")
    assert schema(second_database, dump) == truth.schema()
    copy.ok("downgrade", "base")
    assert "CREATE VIEW" not in "\n".join(schema(second_database, dump))
    project.ok("stamp", "head")
    project.ok("upgrade", "head")
    assert schema(project.url, dump) == truth.schema()


@dataclass(frozen=True)
class Entry:
    """One object in a dump."""

    name: str
    type: str
    text: str


def tables_only(text: str) -> Iterator[str]:
    """Yield a dump's entries but for routines, views and triggers, and what is on these."""
    for entry in entries(text):
        if entry.type not in NOT_TABLES and entry.name not in NOT_OF_TABLES:
            yield entry.text


def entries(text: str) -> Iterator[Entry]:
    starts = [*ENTRY.finditer(text)]
    yield Entry("", "", text[: starts[0].start()])
    for start, end in zip(starts, [*(s.start() for s in starts[1:]), len(text)], strict=True):
        yield Entry(start[1], start[2], text[start.start() : end])
