"""``alembic pgpipe status --tables``: which tables are not as the project made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import URL

from alembic_pgpipe.commands import drift
from alembic_pgpipe.drift import wording
from tests.integration.commands.shipped import Shipped
from tests.project import Project

TABLES = """
CREATE TYPE public.mood AS ENUM ('sad', 'ok');
CREATE TYPE public.pair AS (a integer, b text);
CREATE SEQUENCE public.numbers INCREMENT BY 5;
CREATE TABLE public.people (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood public.mood);
CREATE INDEX people_by_name ON public.people (name);
CREATE TABLE public.notes (
    id serial, of bigint REFERENCES public.people, said text CHECK (length(said) < 99),
    length integer GENERATED ALWAYS AS (length(said)) STORED);
CREATE TABLE public.loud () INHERITS (public.notes);
CREATE UNLOGGED TABLE public.cache (key text) WITH (fillfactor = 50);
ALTER TABLE public.cache ENABLE ROW LEVEL SECURITY;
CREATE TABLE public.days (day date, id integer, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
CREATE TABLE public.days_1 PARTITION OF public.days
    FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE public.days_2 PARTITION OF public.days
    FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
"""
COUNTED = "7 tables, 1 sequence, 2 types compared"
NEXT = (
    "next: what is to stay belongs in a new source, written so that it runs here as well (ADD "
    "COLUMN IF NOT EXISTS …); take back the rest by hand"
)
MISSING = "to have a missing one again, ship it in a new source (CREATE … IF NOT EXISTS)"
NEXT_OF_ROUTINES = (
    "next: alembic pgpipe pull NAME keeps what the database holds; to have the project's "
    "again, ship it in a new source"
)
VERSIONS = (
    "note: the database is on PostgreSQL 14, the rehearsal on 15: they may word one "
    "expression in two ways"
)
# What a server reads of these it words otherwise than what it read of a person's text.
WORDED = """
CREATE TABLE public."Odd % ""names" (
    s varchar(9) CHECK (s IN ('x', 'y')), n integer,
    "Is %% DEFAULT ""it" boolean NOT NULL DEFAULT (current_user::varchar IN ('x', 'y')),
    CONSTRAINT "one % s" EXCLUDE (s WITH =) WHERE (s IN ('x', 'y')));
CREATE STATISTICS "of % s" ON n, (s IN ('x', 'y')) FROM public."Odd % ""names";
CREATE INDEX "by % s" ON public."Odd % ""names" (lower(s)) WHERE s IN ('x', 'y');
CREATE TABLE public.parts (s varchar(9) CHECK (s IN ('x', 'y'))) PARTITION BY LIST (s);
CREATE TABLE public.parts_x PARTITION OF public.parts FOR VALUES IN ('x');
CREATE UNIQUE INDEX parts_by_s ON public.parts (s) WHERE s IN ('x', 'y');
"""
# As a dump and its restore do.
AGAIN = """
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT conname, conrelid::regclass AS of, pg_get_constraintdef(oid) AS def
        FROM pg_constraint WHERE contype IN ('c', 'x') AND conislocal AND conrelid > 16384
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.of, one.conname);
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', one.of, one.conname, one.def);
    END LOOP;
    FOR one IN SELECT indexrelid::regclass AS name, pg_get_indexdef(indexrelid) AS def
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE indpred IS NOT NULL AND NOT indisexclusion AND NOT relispartition
    LOOP
        EXECUTE format('DROP INDEX %s', one.name);
        EXECUTE replace(one.def, ' ON ONLY ', ' ON ');
    END LOOP;
    FOR one IN SELECT adrelid::regclass AS of, attname, pg_get_expr(adbin, adrelid) AS def
        FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE attgenerated = ''
    LOOP
        EXECUTE format('ALTER TABLE ONLY %s ALTER %I SET DEFAULT %s',
            one.of, one.attname, one.def);
    END LOOP;
    FOR one IN SELECT stxname, pg_get_statisticsobjdef(oid) AS def FROM pg_statistic_ext
    LOOP
        EXECUTE format('DROP STATISTICS %I', one.stxname);
        EXECUTE one.def;
    END LOOP;
END $$
"""
HUNG = """
CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE INSERT ON public.people FOR EACH ROW
    EXECUTE FUNCTION public.stamp();
CREATE TRIGGER by_day BEFORE INSERT ON public.days FOR EACH ROW
    EXECUTE FUNCTION public.stamp();
CREATE POLICY mine ON public.cache USING (key = current_user);
"""
TRIGGER_FILE = """CREATE TRIGGER noted BEFORE UPDATE ON public.notes FOR EACH ROW
    EXECUTE FUNCTION public.stamp();
"""
VIEW = "CREATE VIEW public.names AS SELECT name FROM public.people;\n"


@pytest.fixture
def shipped(tmp_path: Path, database: URL, second_database: URL) -> Shipped:
    """Give a project whose only source makes tables and the like, all shipped."""
    project = Shipped(tmp_path, database)
    project.rehearse_in(second_database)
    project.source("001_tables", TABLES)
    project.ship()
    return project


def lines(project: Project, *options: str) -> list[str]:
    return project.ok("pgpipe", "status", "--tables", *options).output.splitlines()[1:]


def found(project: Project, *options: str) -> dict[str, dict[str, Any]]:
    result = project.ok("pgpipe", "status", "--tables", "--json", *options)
    return {one["object"]: one for one in json.loads(result.output)["objects"]}


def states(project: Project, *options: str) -> dict[str, tuple[str, list[str]]]:
    objects = found(project, *options)
    return {name: (one["state"], one["parts"]) for name, one in objects.items()}


def kept_since(project: Project) -> int:
    """Return the oid of the rehearsal's database: one that was made anew has another."""
    databases = project.folder / ".pgpipe/rehearsal/data/base"
    return max(int(one.name) for one in databases.iterdir() if one.name.isdecimal())


def definitions(project: Project) -> list[Any]:
    return [
        text
        for (text,) in project.query(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype IN ('c', 'x') AND conrelid::regclass::text ~ 'Odd|parts$' "
            "UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE indpred IS NOT NULL AND indrelid::regclass::text ~ 'Odd|parts$' "
            "UNION ALL SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef "
            "WHERE adrelid::regclass::text ~ 'Odd' "
            "UNION ALL SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext"
        )
    ]


def test_what_the_project_made_has_not_drifted(shipped: Shipped) -> None:
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]
    # On a scratch server of its own, which runs the history from the base.
    shipped.configure(rehearsal_url="")
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]
    shipped.query("ALTER TABLE people ADD by_hand text")
    assert states(shipped) == {"public.people": ("changed", ["columns"])}


def test_each_change_by_hand_is_named(shipped: Shipped) -> None:
    shipped.query(
        "ALTER TABLE people ADD by_hand text, ALTER name DROP NOT NULL;"
        "DROP INDEX people_by_name; CREATE INDEX ON people (mood);"
        "ALTER TABLE notes ADD CHECK (id > 0) NOT VALID; ALTER TABLE cache RENAME TO kept;"
        "ALTER TYPE mood ADD VALUE 'new'; ALTER SEQUENCE numbers CYCLE; DROP TYPE pair;"
        "CREATE TABLE more (id integer); CREATE SEQUENCE besides;"
        "CREATE TYPE others AS ENUM (); CREATE TYPE trio AS (a integer)"
    )
    assert states(shipped) == {
        "public.people": ("changed", ["columns", "indexes"]),
        "public.notes": ("changed", ["constraints"]),
        "public.cache": ("missing", []),
        "public.kept": ("extra", []),
        "public.mood": ("changed", ["labels"]),
        "public.numbers": ("changed", ["options"]),
        "public.pair": ("missing", []),
        "public.more": ("extra", []),
        "public.besides": ("extra", []),
        "public.others": ("extra", []),
        "public.trio": ("extra", []),
    }
    assert f"{COUNTED}: 4 changed, 2 missing, 5 extra" in lines(shipped)


def test_a_diff_leads_from_the_project_to_the_database(shipped: Shipped) -> None:
    shipped.query(
        "ALTER TABLE people ADD by_hand text; DROP TYPE pair; CREATE TABLE more (a int)"
    )
    assert lines(shipped, "--diff") == [
        "missing: type public.pair",
        "--- project",
        "+++ database",
        "@@ -1,2 +0,0 @@",
        "-a integer",
        "-b text",
        "changed (columns): table public.people",
        "--- project",
        "+++ database",
        "@@ -1,3 +1,4 @@",
        "+by_hand text",
        " id bigint NOT NULL GENERATED ALWAYS AS IDENTITY",
        " mood public.mood",
        " name text NOT NULL",
        "extra: table public.more",
        "--- project",
        "+++ database",
        "@@ -0,0 +1 @@",
        "+a integer",
        f"{COUNTED}: 1 changed, 1 missing, 1 extra",
        f"{NEXT}; {MISSING}",
    ]


def test_what_is_not_missing_is_kept_or_taken_back(shipped: Shipped) -> None:
    shipped.query("CREATE TABLE more (a int)")
    assert lines(shipped)[-1] == NEXT


def test_a_program_is_told_the_same(shipped: Shipped) -> None:
    shipped.query("ALTER SEQUENCE numbers INCREMENT BY 6")
    told = json.loads(shipped.ok("pgpipe", "status", "--tables", "--json").output)
    del told["database"]
    assert told == {
        "compared": 10,
        "unmade": [],
        "pending": 0,
        "notes": [],
        "objects": [
            {
                "kind": "SEQUENCE",
                "object": "public.numbers",
                "state": "changed",
                "parts": ["options"],
                "file": None,
                "diff": [
                    "--- project",
                    "+++ database",
                    "@@ -1,2 +1,2 @@",
                    " AS bigint",
                    "-INCREMENT BY 5",
                    "+INCREMENT BY 6",
                ],
            }
        ],
    }


def test_a_nightly_job_is_red_where_a_table_was_changed_by_hand(shipped: Shipped) -> None:
    strict = ("pgpipe", "status", "--tables", "--check")
    assert "as the project made them" in shipped.ok(*strict).output
    shipped.query("ALTER TABLE people DROP mood")
    red = shipped.alembic(*strict)
    assert red.code == 6
    assert "changed (columns): table public.people" in red.output
    told = shipped.alembic(*strict, "--json")
    assert told.code == 6
    assert json.loads(told.output)["objects"][0]["object"] == "public.people"
    assert shipped.alembic("pgpipe", "status", "--tables").code == 0


def test_partitions_of_one_side_alone_are_no_drift(shipped: Shipped) -> None:
    shipped.query(
        "DROP TABLE days_1; CREATE TABLE days_3 PARTITION OF days "
        "FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')"
    )
    assert lines(shipped) == [
        "6 tables, 1 sequence, 2 types compared: as the project made them"
    ]
    shipped.query("CREATE INDEX ON days_2 (id); CREATE INDEX ON days_3 (id)")
    assert states(shipped) == {"public.days_2": ("changed", ["indexes"])}
    shipped.query("ALTER TABLE days ADD by_hand text; ALTER TABLE days DETACH PARTITION days_3")
    assert states(shipped) == {
        "public.days": ("changed", ["columns"]),
        "public.days_2": ("changed", ["indexes"]),
        "public.days_3": ("extra", []),
    }


def test_what_a_restore_words_otherwise_is_no_drift(shipped: Shipped) -> None:
    shipped.source("002_worded", WORDED)
    shipped.ship()
    same = ["10 tables, 1 sequence, 2 types compared: as the project made them"]
    before = definitions(shipped)
    shipped.query(AGAIN)
    assert all(one not in definitions(shipped) for one in before)
    assert lines(shipped) == same
    shipped.query(AGAIN)
    assert lines(shipped) == same
    # A copy that was restored is compared with the database that it was made from.
    with shipped.other() as other:
        other.query(AGAIN)
    with mock.patch.object(wording, "read_structures", side_effect=AssertionError):
        assert lines(shipped) == same
    shipped.query('DROP TABLE parts; DROP TABLE "Odd % ""names"')
    shipped.query(WORDED)
    assert lines(shipped) == same


def test_what_differs_beside_other_words_is_drift(shipped: Shipped) -> None:
    shipped.source("002_worded", WORDED)
    shipped.ship()
    shipped.query(AGAIN)
    shipped.query(
        "ALTER TABLE parts DROP CONSTRAINT parts_s_check, ADD CONSTRAINT parts_s_check "
        "CHECK (s IN ('x', 'z')); DROP INDEX \"by % s\";"
        'CREATE INDEX "by % s" ON "Odd % ""names" (lower(s)) WHERE s IN (\'x\', \'z\');'
        'DROP STATISTICS "of % s"; ALTER TABLE "Odd % ""names" DROP CONSTRAINT "one % s",'
        "ADD CONSTRAINT \"one % s\" EXCLUDE (s WITH =) WHERE (s IN ('x', 'z')),"
        "ALTER \"Is %% DEFAULT \"\"it\" SET DEFAULT current_user::varchar(9) IN ('x', 'z');"
        'CREATE STATISTICS "of % s" ON n, (s IN (\'x\', \'z\')) FROM "Odd % ""names"'
    )
    drifted = found(shipped)
    assert {name: one["parts"] for name, one in drifted.items()} == {
        "public.parts": ["constraints"],
        'public."Odd % ""names"': ["columns", "constraints", "indexes", "statistics"],
    }
    # What only is worded otherwise is not in the diff.
    assert len(drifted["public.parts"]["diff"]) == 5


def test_triggers_and_policies_of_sources_are_lines_of_their_tables(shipped: Shipped) -> None:
    shipped.source("002_hung", HUNG)
    shipped.ship()
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]
    shipped.query(
        "ALTER TABLE people DISABLE TRIGGER stamp;"
        "ALTER TABLE days ENABLE ALWAYS TRIGGER by_day;"
        "DROP POLICY mine ON cache; CREATE POLICY theirs ON cache USING (true);"
        "CREATE TRIGGER more BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION stamp()"
    )
    drifted = found(shipped)
    assert {name: one["parts"] for name, one in drifted.items()} == {
        "public.people": ["triggers"],
        "public.days": ["triggers"],
        "public.cache": ["policies"],
        "public.notes": ["triggers"],
    }
    created = "BEFORE INSERT ON public.people FOR EACH ROW EXECUTE FUNCTION public.stamp();"
    assert drifted["public.people"]["diff"][3:] == [
        f" CREATE OR REPLACE TRIGGER stamp {created}",
        "+ALTER TABLE public.people DISABLE TRIGGER stamp;",
    ]


def test_a_trigger_that_somebody_has_switched_off_is_told_once(shipped: Shipped) -> None:
    shipped.source("002_hung", HUNG)
    shipped.write("alembic/routines/noted.sql", TRIGGER_FILE)
    shipped.ship()
    shipped.query(
        "ALTER TABLE people ENABLE REPLICA TRIGGER stamp;"
        "ALTER TABLE notes DISABLE TRIGGER noted;"
        "CREATE TRIGGER more BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION stamp();"
        "CREATE POLICY theirs ON cache USING (true)"
    )
    result = shipped.ok("pgpipe", "status", "--routines", "--tables")
    assert [line for line in result.output.splitlines() if ": " in line][:4] == [
        "changed (definition): trigger noted ON public.notes · alembic/routines/noted.sql",
        "extra: trigger more ON public.notes",
        "extra: policy theirs ON public.cache",
        "changed (triggers): table public.people",
    ]
    # Each is told by the one that tells of it, whatever is asked for beside it.
    assert states(shipped) == {"public.people": ("changed", ["triggers"])}


def test_a_policy_that_a_restore_words_otherwise_is_no_drift(shipped: Shipped) -> None:
    policy = "CREATE POLICY few ON public.people USING ({})"
    shipped.source("002_narrow", "ALTER TABLE public.people ADD s varchar(9);")
    shipped.source("003_policy", policy.format("s IN ('x', 'y')"))
    shipped.ship()
    said = shipped.scalar("SELECT pg_get_expr(polqual, polrelid) FROM pg_policy")
    shipped.query("DROP POLICY few ON people;" + policy.format(said))
    assert shipped.scalar("SELECT pg_get_expr(polqual, polrelid) FROM pg_policy") != said
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]
    shipped.query("DROP POLICY few ON people;" + policy.format("s IN ('x', 'z')"))
    assert states(shipped) == {"public.people": ("changed", ["policies"])}


def test_columns_in_another_order_are_no_drift(shipped: Shipped) -> None:
    shipped.query(
        "ALTER TABLE people DROP name; ALTER TABLE people ADD name text NOT NULL;"
        "CREATE INDEX people_by_name ON people (name)"
    )
    assert states(shipped) == {}


def test_schemas_that_the_project_makes_nothing_in_are_not_looked_at(shipped: Shipped) -> None:
    shipped.query("CREATE SCHEMA app; CREATE TABLE app.theirs (id integer)")
    assert states(shipped) == {}
    shipped.source("002_ours", "CREATE SCHEMA IF NOT EXISTS app; CREATE TABLE app.ours ();")
    shipped.ship()
    assert states(shipped) == {"app.theirs": ("extra", [])}


def test_what_is_pending_is_not_drift(shipped: Shipped) -> None:
    shipped.wrapped(**{"002_more": "ALTER TABLE public.people ADD more text;"})
    assert lines(shipped) == [
        "1 pending revision not run here, and not counted",
        f"{COUNTED}: as the project made them",
    ]
    shipped.ok("upgrade", "head")
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]


def test_what_was_skipped_here_is_said(shipped: Shipped) -> None:
    shipped.query("INSERT INTO people (name) VALUES ('Ada'), ('Ada')")
    shipped.wrapped(
        **{
            "002_one": "CREATE UNIQUE INDEX one_each ON public.people (name);",
            "003_more": "CREATE TABLE public.more ();",
        }
    )
    assert shipped.upgrade().code == 1
    shipped.ok("pgpipe", "skip", "002_one", "--reason", "later")
    shipped.ok("upgrade", "head")
    shipped.rehearse()
    said = "passed over here (1 {}): what such a one makes may be called missing"
    assert lines(shipped)[:2] == [
        "changed (indexes): table public.people",
        f"note: 1 revision {said.format('SKIPPED')}",
    ]
    assert f"note: 1 revision {said.format('SKIPPED')}" in lines(shipped, "--routines")
    shipped.ok("pgpipe", "retry", "002_one")
    assert f"note: 1 revision {said.format('RETRY')}" in lines(shipped)
    shipped.query("DELETE FROM people")
    shipped.ok("upgrade", "head")
    assert lines(shipped) == [
        "8 tables, 1 sequence, 2 types compared: as the project made them"
    ]


def test_what_was_skipped_because_it_cannot_run_is_left_out(shipped: Shipped) -> None:
    shipped.configure(rehearsal_url="")
    shipped.wrapped(
        **{
            "002_bad": "ALTER TABLE public.nowhere ADD more text;",
            "003_more": "CREATE TABLE public.more ();",
        }
    )
    assert shipped.upgrade().code == 1
    shipped.ok("pgpipe", "skip", "002_bad", "--reason", "bad")
    shipped.ok("upgrade", "head")
    said = (
        "note: 1 revision passed over here (1 {}): what such a one makes may be called missing"
    )
    same = "8 tables, 1 sequence, 2 types compared: as the project made them"
    assert lines(shipped) == [said.format("SKIPPED"), same]
    kept = kept_since(shipped)
    assert lines(shipped, "--routines")[-1] == same
    shipped.ok("pgpipe", "retry", "002_bad")
    assert lines(shipped) == [said.format("RETRY"), same]
    assert kept_since(shipped) == kept
    # What can be run again is in the next rehearsal.
    shipped.source("002_bad", "CREATE TABLE public.nowhere ();")
    shipped.ok("upgrade", "head")
    assert lines(shipped) == [
        "9 tables, 1 sequence, 2 types compared: as the project made them"
    ]
    shipped.write("alembic/routines/names.sql", VIEW)
    shipped.ok("pgpipe", "wrap")


def test_an_older_copy_runs_nothing_that_was_skipped_here(shipped: Shipped) -> None:
    shipped.wrapped(**{"002_bad": "ALTER TABLE public.nowhere ADD more text;"})
    assert shipped.upgrade().code == 1
    shipped.ok("pgpipe", "skip", "002_bad", "--reason", "bad")
    shipped.ok("upgrade", "head")
    assert lines(shipped)[-1] == f"{COUNTED}: as the project made them"


def test_what_a_half_done_revision_made_is_said_to_be_its_own(shipped: Shipped) -> None:
    shipped.query("INSERT INTO people (name) VALUES ('Ada'), ('Ada')")
    shipped.wrapped(
        **{
            "002_half": "CREATE INDEX CONCURRENTLY by_mood ON public.people (mood);\n"
            "CREATE UNIQUE INDEX CONCURRENTLY one_each ON public.people (name);"
        }
    )
    assert shipped.upgrade().code == 1
    half = (
        "note: f174712e9295 (002_half) is half done: 1 of 2 statements are done; what it made "
        "may be called changed or extra"
    )
    assert half in lines(shipped)
    assert half in lines(shipped, "--routines")
    shipped.ok("pgpipe", "skip", "002_half", "--reason", "later")
    assert half in lines(shipped)
    shipped.ok("upgrade", "head")
    assert half in lines(shipped)
    shipped.query("DELETE FROM people")
    shipped.ok("pgpipe", "retry", "002_half")
    shipped.ok("upgrade", "head")
    shipped.configure(rehearsal_url="")
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]


def test_settings_that_decide_otherwise_are_said_where_something_drifted(
    shipped: Shipped,
) -> None:
    name = shipped.url.database if isinstance(shipped.url, URL) else None
    shipped.query(
        f"ALTER DATABASE {name} SET search_path = app, public; CREATE SCHEMA app;"
        f"ALTER DATABASE {name} SET timezone = 'Europe/Zurich';"
        f"ALTER DATABASE {name} SET datestyle = 'ISO, DMY';"
        f"ALTER DATABASE {name} SET standard_conforming_strings = off"
    )
    assert lines(shipped) == [f"{COUNTED}: as the project made them"]
    there = shipped.scalar("SELECT reset_val FROM pg_settings WHERE name = 'search_path'")
    assert there == "app, public"
    shipped.query("ALTER TABLE public.people ADD by_hand text")
    told = json.loads(shipped.ok("pgpipe", "status", "--tables", "--json").output)
    with shipped.other() as other:
        zone = other.scalar("SELECT current_setting('TimeZone')")
        path = other.scalar("SELECT current_setting('search_path')")
        style = other.scalar("SELECT current_setting('DateStyle')")
    because = "tables may be called missing or changed for it"
    assert told["notes"] == [
        f"TimeZone is Europe/Zurich in the database, {zone} in the rehearsal: {because}",
        f"search_path is app, public in the database, {path} in the rehearsal: {because}",
        f"DateStyle is ISO, DMY in the database, {style} in the rehearsal: {because}",
        f"standard_conforming_strings is off in the database, on in the rehearsal: {because}",
    ]


def test_two_names_of_one_time_zone_are_not_said(shipped: Shipped) -> None:
    here = shipped.url.database if isinstance(shipped.url, URL) else None
    with shipped.other() as other:
        there = other.scalar("SELECT current_database()")
    for name, zone in ((here, "UTC"), (there, "Etc/UTC")):
        shipped.query(f"ALTER DATABASE {name} SET timezone = '{zone}'")
    shipped.query("ALTER TABLE people ADD by_hand text")
    assert not any(line.startswith("note:") for line in lines(shipped))
    shipped.query(f"ALTER DATABASE {there} SET timezone = 'Europe/Lisbon'")
    assert any(line.startswith("note: TimeZone is UTC in") for line in lines(shipped))


def test_servers_of_two_versions_are_said(shipped: Shipped) -> None:
    with mock.patch.object(drift, "_major", side_effect=[14, 15]):
        assert lines(shipped) == [
            VERSIONS,
            f"{COUNTED}: as the project made them",
        ]


def test_routines_and_tables_are_counted_apart(shipped: Shipped) -> None:
    shipped.write("alembic/routines/names.sql", VIEW)
    shipped.ship()
    shipped.query("COMMENT ON VIEW names IS 'changed'; DROP TABLE cache")
    assert lines(shipped, "--routines") == [
        "changed (comment): view public.names · alembic/routines/names.sql",
        "missing: table public.cache",
        "1 object compared: 1 changed",
        f"{COUNTED}: 1 missing",
        NEXT_OF_ROUTINES,
        f"next: {MISSING}",
    ]
    assert found(shipped).keys() == {"public.cache"}
    both = found(shipped, "--routines")
    assert both["public.names"]["file"] == "alembic/routines/names.sql"
    assert both["public.cache"]["file"] is None
    routines = json.loads(shipped.ok("pgpipe", "status", "--routines", "--json").output)
    assert [one["object"] for one in routines["objects"]] == ["public.names"]
    assert routines["compared"] == 1


@pytest.mark.parametrize("schema", ["public", "pgpipe"])
def test_the_tool_s_own_tables_are_left_out(
    tmp_path: Path, database: URL, second_database: URL, schema: str
) -> None:
    project = Shipped(tmp_path, database)
    project.rehearse_in(second_database, schema=schema)
    env = (tmp_path / "alembic/env.py").read_text("utf-8")
    named = env.replace("\nrun(context)", "\nrun(context, version_table='shop_version')")
    project.write("alembic/env.py", named)
    project.source("001_tables", TABLES)
    project.ship()
    assert project.scalar(f"SELECT count(*) FROM {schema}.shop_version") == 1
    assert lines(project) == [f"{COUNTED}: as the project made them"]
    # Whatever becomes of them is for other commands to say.
    project.query(f"ALTER TABLE {schema}.migrations ADD by_hand text")
    assert lines(project) == [f"{COUNTED}: as the project made them"]
    # One of the same name elsewhere is somebody's.
    other = {"public": "pgpipe", "pgpipe": "public"}[schema]
    project.query(f"CREATE SCHEMA IF NOT EXISTS {other}; CREATE TABLE {other}.migrations ()")
    assert states(project).keys() == ({"public.migrations"} if other == "public" else set())


def test_nothing_is_compared_where_no_table_was_made(project: Project) -> None:
    assert lines(project) == ["no table of the project has been made here"]
    assert lines(project, "--routines") == [
        "no routine of the project has been run here",
        "no table of the project has been made here",
    ]


def test_a_project_that_makes_no_table_says_so(
    tmp_path: Path, database: URL, second_database: URL
) -> None:
    project = Shipped(tmp_path, database)
    project.rehearse_in(second_database)
    project.source("001_nothing", "SELECT 1;")
    project.ship()
    project.query("CREATE TABLE theirs ()")
    assert lines(project) == ["no table of the project has been made here"]


def test_the_database_is_only_read(shipped: Shipped) -> None:
    shipped.query("ALTER TABLE people ADD by_hand text")
    before = shipped.scalar("SELECT max(xmin::text::bigint) FROM pg_catalog.pg_class")
    assert len(found(shipped)) == 1
    assert shipped.scalar("SELECT max(xmin::text::bigint) FROM pg_catalog.pg_class") == before
