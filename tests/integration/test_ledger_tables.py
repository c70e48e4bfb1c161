"""The ledger's tables: made by hand, owned by others, foreign, elsewhere, under attack."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import eventually, in_background
from tests.conftest import Connect
from tests.handmade import BUILDS, MIGRATIONS
from tests.project import Project, Result
from tests.roles import new_role

TABLE = "CREATE TABLE app.{0} (id int);\n"
NAMES = ("migrations", "migration_logs", "migration_attempts")


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that may do nothing but log in and make things in a schema of its own."""
    with new_role(project, "shipper_", "LOGIN") as name:
        project.query(f"CREATE SCHEMA app AUTHORIZATION {name}")
        yield name


def shipped(project: Project, **sources: str) -> Result:
    project.wrapped(**sources)
    result = project.upgrade()
    assert result.code == 0, result.text
    return result


# -- made by hand, owned by somebody else --------------------------------------------------


def test_tables_made_by_hand_are_used_with_the_privileges_a_run_needs(
    project: Project, shipper: Project, role: str
) -> None:
    project.query(MIGRATIONS)
    project.query(BUILDS)
    shipper.wrapped(a1=TABLE.format("a"), a2="SELECT 1/0;")
    project.query(f"GRANT CREATE ON SCHEMA public TO {role}")
    project.query(f"GRANT SELECT, INSERT, UPDATE ON migrations, migration_logs TO {role}")
    project.query(f"GRANT USAGE ON SEQUENCE migration_logs_id_seq TO {role}")
    assert shipper.upgrade().code == 1
    shipper.ok("pgpipe", "skip", "a2", "--reason", "not needed")
    assert shipper.upgrade().code == 0
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SKIPPED"}
    assert owners(project) == {
        "migrations": "postgres",
        "migration_logs": "postgres",
        "migration_attempts": role,
    }


def test_a_run_creates_nothing_where_all_tables_are_there(
    project: Project, shipper: Project, role: str
) -> None:
    shipped(project, a0="SELECT 1;")
    project.query("TRUNCATE migrations, migration_logs, migration_attempts, alembic_version")
    all_names = ", ".join(NAMES)
    project.query(f"GRANT SELECT, INSERT, UPDATE ON {all_names} TO {role}")
    project.query(f"GRANT SELECT, INSERT, UPDATE, DELETE ON alembic_version TO {role}")
    project.query(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
    shipped(shipper, a1=TABLE.format("a"), a2=TABLE.format("b"))
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}


def owners(project: Project) -> dict[str, str]:
    return dict(
        project.query(
            "SELECT tablename, tableowner FROM pg_tables WHERE tablename = ANY(%s)",
            list(NAMES),
        )
    )


def test_a_privilege_that_is_missing_is_named_with_the_grant(
    project: Project, shipper: Project, role: str
) -> None:
    project.query(MIGRATIONS)
    project.query(BUILDS)
    project.query(f"GRANT CREATE ON SCHEMA public TO {role}")
    shipper.wrapped(a1=TABLE.format("a"))
    result = shipper.upgrade()
    assert result.code == 1
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}" in (
        result.text
    )


def test_further_columns_of_a_hand_made_table_are_left_alone(project: Project) -> None:
    project.query(MIGRATIONS)
    project.query(BUILDS)
    project.query("ALTER TABLE migrations ADD team text DEFAULT 'shop', ADD note text")
    project.query("ALTER TABLE migration_logs ADD colour text NOT NULL DEFAULT 'green'")
    shipped(project, a1="SELECT 1;")
    assert project.query("SELECT applied_status, team, note FROM migrations") == [
        ("SUCCESS", "shop", None)
    ]
    assert project.query("SELECT status, colour FROM migration_logs") == [("SUCCESS", "green")]


# -- foreign tables under our names --------------------------------------------------------

FOREIGN = {
    "a table": "CREATE TABLE {0} (legs int)",
    "a table without columns": "CREATE TABLE {0} ()",
    "a view": "CREATE VIEW {0} AS SELECT * FROM made.{0}",
    "a materialized view": "CREATE MATERIALIZED VIEW {0} AS SELECT * FROM made.{0}",
    "a partitioned table": "CREATE TABLE {0} (LIKE made.{0}) PARTITION BY LIST (id)",
    "a sequence": "CREATE SEQUENCE {0}",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_foreign_under_our_names_is_refused_with_the_setting(
    project: Project, kind: str, name: str
) -> None:
    project.configure(schema="made")
    shipped(project, a1="SELECT 1;")
    project.query(FOREIGN[kind].format(name))
    project.options.clear()
    project.configure(log_file="")
    result = project.upgrade()
    assert result.code == 1
    assert f"public.{name} belongs to something else" in result.text
    assert "set pgpipe.schema = pgpipe" in result.text
    assert "without" in kind or kind == "a table" or f"it is {kind}" in result.text
    others = project.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relname = ANY(%s)",
        list(NAMES),
    )
    assert others == [(name,)]


def test_the_setting_that_the_refusal_names_helps(project: Project) -> None:
    project.query("CREATE TABLE public.migrations (legs int)")
    project.configure(schema="pgpipe")
    shipped(project, a1="SELECT 1;")
    assert project.ledger("pgpipe") == {"a1": "SUCCESS"}
    assert project.query("SELECT * FROM public.migrations") == []
    assert project.scalar("SELECT count(*) FROM pgpipe.alembic_version") == 1


# -- a table of ours that has lost a column -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("migrations", "rolled_back_at"),
        ("migration_logs", "timestamp"),
        ("migration_attempts", "session"),
        ("migration_attempts", "statements_done"),
        ("migration_attempts", "who"),
        ("migration_attempts", "id"),
    ],
)
def test_a_column_that_a_table_of_ours_lacks_can_be_added_as_it_is_said(
    project: Project, name: str, column: str
) -> None:
    shipped(project, a1="SELECT 1;")
    project.query(f"ALTER TABLE {name} DROP COLUMN {column}")
    project.wrapped(a2="SELECT 1;")
    for command in (("upgrade", "head"), ("pgpipe", "status")):
        result = project.alembic(*command)
        assert result.code == 1
        assert f"public.{name} lacks the column {column}, which" in result.text
    [said] = re.findall(r"ALTER TABLE .*?;", result.text)
    project.query(said)
    assert project.upgrade().code == 0
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}


# -- created once, and only where it is missing --------------------------------------------


CREATING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event = 'advisory' AND query LIKE '%%pg_advisory_xact_lock(%%'"
)


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_copy_of_a_table_that_takes_a_row_twice_is_refused_with_what_mends_it(
    project: Project, name: str
) -> None:
    shipped(project, a1="SELECT 1;\n")
    project.query(f"CREATE TABLE kept AS TABLE public.{name}; DROP TABLE public.{name};")
    project.query(f"ALTER TABLE kept RENAME TO {name}")
    for command in ("upgrade head", "pgpipe status", "pgpipe check"):
        result = project.alembic(*command.split())
        assert result.code == 1, command
        assert f"public.{name} has no unique key on " in result.text
    project.query(result.text[result.text.index("ALTER TABLE") :])
    project.ok("pgpipe", "status")


def test_a_partial_index_is_no_key(project: Project) -> None:
    project.query(MIGRATIONS.replace("PRIMARY KEY (id)", "CHECK (true)"))
    project.query("CREATE UNIQUE INDEX ON migrations (id) WHERE finished_at IS NULL")
    project.wrapped(a1="SELECT 1;\n")
    assert "no unique key on id" in project.upgrade().text
    project.query("CREATE UNIQUE INDEX ON migrations (id)")
    project.ok("upgrade", "head")


def test_two_first_runs_at_once_create_the_ledger_once(
    project: Project, connect: Connect
) -> None:
    assert isinstance(project.url, URL)
    project.wrapped(a1="CREATE TABLE public.ran (id int);")
    project.configure(schema="pgpipe")
    gate = connect(project.url)
    gate.cursor().execute("SELECT pg_advisory_lock(hashtext('alembic-pgpipe pgpipe'))")
    with (
        in_background(project, "upgrade", "head") as first,
        in_background(project, "upgrade", "head") as second,
    ):
        eventually(lambda: project.scalar(CREATING) == 2)
        gate.close()
        assert [first.wait(60), second.wait(60)] == [0, 0]
    assert project.ledger("pgpipe") == {"a1": "SUCCESS"}
    assert project.outcomes("a1", "pgpipe") == [("upgrade", "SUCCESS")]


def test_only_what_is_missing_is_created(project: Project) -> None:
    project.query(MIGRATIONS)
    before = project.scalar("SELECT 'migrations'::regclass::oid")
    shipped(project, a1="SELECT 1;")
    assert project.scalar("SELECT 'migrations'::regclass::oid") == before
    assert project.scalar("SELECT status FROM migration_logs") == "SUCCESS"


def test_what_is_created_is_what_people_make_by_hand(project: Project) -> None:
    project.configure(schema="ours")
    shipped(project, a1="SELECT 1;")
    project.query(MIGRATIONS)
    project.query(BUILDS)
    for name in ("migrations", "migration_logs"):
        assert columns(project, "ours", name) == columns(project, "public", name)
        assert constraints(project, "ours", name) == constraints(project, "public", name)


def columns(project: Project, schema: str, name: str) -> list[tuple[str, ...]]:
    return project.query(
        "SELECT column_name, data_type, character_maximum_length, is_nullable, "
        "replace(column_default, %s, '') FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        f"{schema}.",
        schema,
        name,
    )


def constraints(project: Project, schema: str, name: str) -> list[tuple[str, ...]]:
    return project.query(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = %s::regclass ORDER BY 1",
        f"{schema}.{name}",
    )


# -- the search path -----------------------------------------------------------------------

EVIL = (
    "CREATE SCHEMA evil",
    "CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz RETURN 'epoch'::timestamptz",
    "CREATE FUNCTION evil.now() RETURNS timestamptz RETURN 'epoch'::timestamptz",
    "CREATE FUNCTION evil.floor(float8) RETURNS float8 RETURN -1::float8",
    "CREATE FUNCTION evil.floor(numeric) RETURNS numeric RETURN -1::numeric",
    "CREATE FUNCTION evil.array_append(text[], text) RETURNS text[] RETURN NULL::text[]",
    "CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false)",
    *(f"CREATE TABLE evil.{name} (legs int)" for name in (*NAMES, "alembic_version")),
)


def poisoned(project: Project, role: str) -> None:
    """Put objects called like ours, and like PostgreSQL's own, ahead of the real ones."""
    for statement in EVIL:
        project.query(statement)
    project.query(f"GRANT USAGE ON SCHEMA evil TO {role}")
    project.query(f"GRANT ALL ON ALL TABLES IN SCHEMA evil TO {role}")
    project.query(f"GRANT CREATE ON SCHEMA public TO {role}")
    project.query(f"ALTER ROLE {role} SET search_path = evil, pg_catalog, app, public")


def test_objects_ahead_in_the_search_path_change_nothing(
    project: Project, shipper: Project, role: str
) -> None:
    poisoned(project, role)
    shipper.wrapped(
        a1=TABLE.format("a"),
        a2="CREATE INDEX CONCURRENTLY a_idx ON app.a (id);",
        a3="SELECT 1/0;",
    )
    assert shipper.upgrade().code == 1
    shipper.ok("pgpipe", "skip", "a3", "--reason", "not needed")
    assert shipper.upgrade().code == 0
    shipper.ok("stamp", revision_id("a1"))
    assert project.ledger() == {"a1": "SUCCESS", "a2": "WAITING", "a3": "WAITING"}
    old = "SELECT count(*) FROM migration_attempts WHERE started_at < '2020-01-01' "
    assert project.scalar(old + "OR finished_at < '2020-01-01' OR duration_ms < 0") == 0
    assert (
        project.scalar("SELECT count(*) FROM migrations WHERE finished_at < '2020-01-01'") == 0
    )
    for name in (*NAMES, "alembic_version"):
        assert project.query(f"SELECT * FROM evil.{name}") == []


def test_a_source_runs_with_the_search_path_of_its_role(
    project: Project, shipper: Project, role: str
) -> None:
    project.query(f"GRANT CREATE ON SCHEMA public TO {role}")
    project.query(f"ALTER ROLE {role} SET search_path = app")
    shipped(shipper, a1="CREATE TABLE here (id int);", a2="ALTER TABLE here ADD n int;")
    assert project.scalar("SELECT to_regclass('app.here')") == "app.here"


def test_a_search_path_that_a_source_sets_changes_nothing(project: Project) -> None:
    for statement in EVIL:
        project.query(statement)
    text = "SET search_path = evil, pg_catalog; SELECT 1;"
    shipped(project, a1=text, a2=f"-- pgpipe: transaction = off\n{text}")
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}
    for name in (*NAMES, "alembic_version"):
        assert project.query(f"SELECT * FROM evil.{name}") == []


# -- values are bound ----------------------------------------------------------------------

NASTY = "it's \\ 100%s %(x)s :x {0} \"é\" '); DROP TABLE migrations; --"


@pytest.mark.parametrize("name", [NASTY, "é" * 120, "x" * 240])
def test_any_name_is_kept_as_it_is(project: Project, name: str) -> None:
    project.source(name, "SELECT 1;", "SELECT 2;")
    shipped(project)
    assert project.ledger() == {name: "SUCCESS"}
    assert project.status() == {name: "SUCCESS"}
    project.ok("downgrade", "base")
    assert project.outcomes(name) == [("upgrade", "SUCCESS"), ("downgrade", "SUCCESS")]


@pytest.mark.parametrize("said", [NASTY, "long " * 4_000])
def test_any_error_is_kept_as_it_is(project: Project, said: str) -> None:
    quoted = said.replace("'", "''")
    project.wrapped(a1=f"DO $$ BEGIN RAISE EXCEPTION USING MESSAGE = '{quoted}'; END $$;")
    assert project.upgrade().code == 1
    for query in (
        "SELECT logs FROM migrations",
        "SELECT message FROM migration_attempts",
        "SELECT logs FROM migration_logs",
    ):
        assert said.strip() in project.scalar(query)


@pytest.mark.parametrize("reason", [NASTY, "long " * 20_000])
def test_any_reason_and_any_person_are_kept_as_they_are(project: Project, reason: str) -> None:
    project.wrapped(a1="SELECT 1/0;")
    build = {
        "CODEBUILD_BUILD_NUMBER": NASTY,
        "CODEBUILD_BUILD_ID": f"{NASTY}:1",
        "CODEBUILD_INITIATOR": NASTY,
    }
    project.ok("pgpipe", "skip", "a1", "--reason", reason, env=build)
    project.ok("upgrade", "head", env=build)
    kept = "SELECT who, reason FROM migration_attempts WHERE outcome = 'SKIPPED'"
    assert project.query(kept) == [(NASTY, reason)]
    assert project.query("SELECT build_number FROM migration_logs") == [(NASTY,)]


def test_a_revision_id_that_the_ledger_cannot_hold_is_refused_by_name(
    project: Project,
) -> None:
    long = "a_revision_with_an_id_that_says_everything"
    project.write(
        f"alembic/versions/{long}.py",
        f"revision = {long!r}\ndown_revision = None\n\n\ndef upgrade() -> None:\n    pass\n",
    )
    result = project.upgrade()
    assert result.code == 1
    assert f"alembic/versions/{long}.py" in result.text and "36 characters" in result.text
