"""``check`` where the database has what its history does not make: no file is at fault."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from alembic_pgpipe.shipping.trial import MAKE
from tests.project import Project, Result

pytestmark = pytest.mark.usefixtures("shared_rehearsal")

NOT_MADE = "the history does not make {}, which the database has"
BY_HAND = """
    CREATE SCHEMA app;
    CREATE TABLE by_hand (id int);
    CREATE TABLE app."By.Hand" (id int);
    CREATE TYPE app.mood AS ENUM ('good');
    CREATE FUNCTION app.twice(n bigint, mark text) RETURNS bigint
        LANGUAGE sql AS 'SELECT n * 2';
    CREATE PROCEDURE work(n int) LANGUAGE sql AS 'SELECT 1';
    """


def lines(result: Result) -> list[str]:
    """Return what was said, without excerpts and the list of what is pending."""
    left_out = ("  ", "pending: ")
    return [line for line in result.output.splitlines() if not line.startswith(left_out)]


def test_a_database_that_was_adopted_can_be_built_on(project: Project) -> None:
    """As the README tells it: pull --all, stamp head, and a file that alters a table."""
    project.query(
        "CREATE TABLE a (id int); CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN (SELECT count(*) FROM a); END $$"
    )
    project.ok("pgpipe", "pull", "--all")
    project.ok("stamp", "head")
    project.wrapped(
        later1="SELECT 1;\n", later2="ALTER TABLE a ADD z int;\n", later3="SELECT z FROM a;\n"
    )
    assert lines(project.ok("pgpipe", "check")) == [
        "note: alembic/sql/later2.sql:1:1: not tried on a scratch server, nor is what follows: "
        + NOT_MADE.format("relation a"),
        f"note: {MAKE}",
        "1 of 3 pending revisions run on a scratch server: no problems",
    ]
    project.ok("upgrade", "head")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ALTER TABLE by_hand ADD z int;\n", "relation by_hand"),
        ('SELECT * FROM app."By.Hand";\n', "relation app.By.Hand"),
        ("DROP TABLE by_hand;\n", "table by_hand"),
        ("CREATE TABLE n (m app.mood);\n", "schema app"),
        ("CREATE TABLE n (m mood[]);\n", "type mood[]"),
        ("SELECT app.twice(1, 'x');\n", "schema app"),
        ("SET search_path = app; SELECT twice(1, 'x');\n", "function twice(integer, unknown)"),
        ("CALL work(1);\n", "procedure work(integer)"),
        ("COMMENT ON COLUMN made.added IS 'x';\n", "column added of made"),
    ],
)
def test_what_the_database_has_and_its_history_does_not_make_is_a_note(
    project: Project, text: str, what: str
) -> None:
    project.wrapped(a1="CREATE TABLE made (id int);\n")
    project.ok("upgrade", "head")
    project.query(f"{BY_HAND} ALTER TABLE made ADD added int;")
    name = project.url.database  # type: ignore[union-attr]
    project.query(f"ALTER DATABASE {name} SET search_path = public, app")
    project.wrapped(a2=text)
    note, advice, last = lines(project.ok("pgpipe", "check"))
    assert note.startswith("note: alembic/sql/a2.sql:1:")
    assert note.endswith(NOT_MADE.format(what))
    assert (advice, last) == (
        f"note: {MAKE}",
        "1 pending revision read, not run: no problems",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ALTER TABLE nowhere ADD z int;\n", 'relation "nowhere" does not exist'),
        ("CREATE TABLE n (m nothing);\n", 'type "nothing" does not exist'),
        ("CREATE TABLE nowhere.n ();\n", 'schema "nowhere" does not exist'),
        # One of that name is there; it is not meant.
        ("SELECT made('2026-01-01'::date);\n", "function made(date) does not exist"),
        ("SELECT other('2026-01-01'::date);\n", "function other(date) does not exist"),
        ("ALTER TABLE t DROP COLUMN nope;\n", 'column "nope" of relation "t" does not exist'),
        # It is there now, and will be gone.
        (
            "DROP TABLE IF EXISTS by_hand;\nALTER TABLE by_hand ADD z int;\n",
            'relation "by_hand" does not exist',
        ),
    ],
)
def test_what_the_database_misses_as_well_stays_a_problem(
    project: Project, text: str, said: str
) -> None:
    function = "CREATE FUNCTION {}(int) RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    project.wrapped(a1=function.format("made") + "CREATE TABLE t (id int);\n")
    project.ok("upgrade", "head")
    project.query(BY_HAND + function.format("other"))
    project.wrapped(a2=text)
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    assert f"fails on a scratch server: {said}" in lines(result)[0]


def test_what_a_file_ahead_of_it_takes_away_stays_a_problem(project: Project) -> None:
    project.query(BY_HAND)
    project.wrapped(
        a1="DROP TABLE IF EXISTS by_hand;\n", a2="SELECT 1;\n", a3="SELECT * FROM by_hand;\n"
    )
    first, last = lines(project.alembic("pgpipe", "check"))
    assert first.startswith(
        'alembic/sql/a3.sql:1:15: fails on a scratch server: relation "by_h'
    )
    assert last == "3 pending revisions run on a scratch server: 1 problem"
    project.source("a1", "--skip\nDROP TABLE IF EXISTS by_hand;\n")
    assert lines(project.ok("pgpipe", "check"))[0].endswith(NOT_MADE.format("relation by_hand"))


def test_a_routine_file_is_forgiven_as_well_and_the_others_are_not(project: Project) -> None:
    project.query(BY_HAND)
    for name, table in (("v", "by_hand"), ("w", "nowhere"), ("x", "pg_class")):
        text = f"CREATE VIEW public.{name} AS SELECT 1 AS one FROM {table};\n"
        project.write(f"alembic/routines/{name}.sql", text)
    result = project.alembic("pgpipe", "check")
    assert result.code == 6
    problem, note, advice, last = lines(result)
    assert problem == 'alembic/routines/w.sql:1:46: relation "nowhere" does not exist (42P01)'
    assert note == (
        "note: alembic/routines/v.sql:1:46: not tried on a scratch server: "
        + NOT_MADE.format("relation by_hand")
    )
    assert advice == f"note: {MAKE}"
    both = "2 of 3 changed routine files"
    assert last == f"{both} run on a scratch server: 1 problem"


def test_the_database_that_a_file_names_is_asked(
    project: Project, second_database: URL
) -> None:
    project.wrapped(
        a1=f"ALTER TABLE by_hand ADD z int;\n--MSSDATABASE={second_database.database}\n"
    )
    project.query(BY_HAND)
    assert project.alembic("pgpipe", "check").code == 6
    Project(project.folder, second_database).query(BY_HAND)
    project.configure()
    found = lines(project.ok("pgpipe", "check"))
    assert found[0].endswith(NOT_MADE.format("relation by_hand"))
