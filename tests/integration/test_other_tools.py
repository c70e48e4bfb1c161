"""Files and a database that come from another tool: nothing runs twice, and no undo runs."""

from __future__ import annotations

import pytest

from tests.project import Project
from tests.refusal import applied, refused

TABLES = ("users", "orders", "totals")
BY_FLYWAY = ("V1__users", "V2__orders", "V3__totals")
DATED = ("20260101120000_users", "20260102120000_orders", "20260103120000_totals")
HYPHENS = ("2026-01-01-120000_users", "2026-01-02-120000_orders", "2026-01-03-120000_totals")
COUNTED = ("001_users", "002_orders", "010_totals")
FLYWAY = """
    CREATE TABLE flyway_schema_history (
        installed_rank int PRIMARY KEY, version text, script text, success boolean);
    INSERT INTO flyway_schema_history VALUES
        (1, '1', 'V1__users.sql', true), (2, '2', 'V2__orders.sql', true),
        (3, '3', 'V3__totals.sql', false);
    """
# Each has applied the first two of three files.
HISTORIES = {
    "flyway": (BY_FLYWAY, FLYWAY),
    "flyway 4": (BY_FLYWAY, FLYWAY.replace("flyway_schema_history", "schema_version")),
    "liquibase": (
        DATED,
        """
        CREATE TABLE databasechangelog (id text, filename text, orderexecuted int);
        INSERT INTO databasechangelog VALUES
            ('1', 'db/20260101120000_users.sql', 1), ('2', 'db/20260102120000_orders.sql', 2);
        """,
    ),
    "dbmate": (
        DATED,
        """
        CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
        INSERT INTO schema_migrations VALUES ('20260101120000'), ('20260102120000');
        """,
    ),
    "dbmate, whose first file is gone": (
        DATED,
        """
        CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
        INSERT INTO schema_migrations
            VALUES ('20250101120000'), ('20260101120000'), ('20260102120000');
        """,
    ),
    "golang-migrate": (
        COUNTED,
        """
        CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
        INSERT INTO schema_migrations VALUES (2, false);
        """,
    ),
    "goose": (
        COUNTED,
        """
        CREATE TABLE goose_db_version (
            id serial, version_id bigint, is_applied boolean, tstamp timestamp);
        INSERT INTO goose_db_version (version_id, is_applied)
            VALUES (0, true), (1, true), (2, true);
        """,
    ),
    "sql-migrate": (
        COUNTED,
        """
        CREATE TABLE gorp_migrations (id text PRIMARY KEY, applied_at timestamptz);
        INSERT INTO gorp_migrations VALUES ('001_users.sql'), ('002_orders.sql');
        """,
    ),
    "node-pg-migrate": (
        DATED,
        """
        CREATE TABLE pgmigrations (id serial, name varchar, run_on timestamp);
        INSERT INTO pgmigrations (name)
            VALUES ('20260101120000_users'), ('20260102120000_orders');
        """,
    ),
    "yoyo": (
        COUNTED,
        """
        CREATE TABLE _yoyo_migration (migration_hash text, migration_id text);
        INSERT INTO _yoyo_migration (migration_id) VALUES ('001_users'), ('002_orders');
        """,
    ),
    "sqitch": (
        COUNTED,
        """
        CREATE SCHEMA sqitch;
        CREATE TABLE sqitch.changes (change text, planner_name text);
        INSERT INTO sqitch.changes VALUES ('001_users'), ('002_orders');
        """,
    ),
    "atlas": (
        DATED,
        """
        CREATE SCHEMA atlas_schema_revisions;
        CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (
            version text, executed_at timestamptz);
        INSERT INTO atlas_schema_revisions.atlas_schema_revisions
            VALUES ('20260101120000'), ('20260102120000');
        """,
    ),
    "prisma": (
        DATED,
        """
        CREATE TABLE _prisma_migrations (
            migration_name text, finished_at timestamptz, applied_steps_count int);
        INSERT INTO _prisma_migrations VALUES ('20260101120000_users', now()),
            ('20260102120000_orders', now()), ('20260103120000_totals', NULL);
        """,
    ),
    "sqlx": (
        DATED,
        """
        CREATE TABLE _sqlx_migrations (
            version bigint, installed_on timestamptz, success boolean);
        INSERT INTO _sqlx_migrations
            VALUES (20260101120000, now(), true), (20260102120000, now(), true);
        """,
    ),
    "diesel": (
        HYPHENS,
        """
        CREATE TABLE __diesel_schema_migrations (version varchar(50), run_on timestamp);
        INSERT INTO __diesel_schema_migrations VALUES ('20260101120000'), ('20260102120000');
        """,
    ),
    "graphile-migrate": (
        COUNTED,
        """
        CREATE SCHEMA graphile_migrate;
        CREATE TABLE graphile_migrate.migrations (previous_hash text, filename text);
        INSERT INTO graphile_migrate.migrations (filename)
            VALUES ('001_users.sql'), ('002_orders.sql');
        """,
    ),
}
UNDO_BELOW = """\
-- migrate:up
CREATE TABLE public.users (id int);

-- migrate:down
DROP TABLE public.users;
"""


def moved(project: Project, names: tuple[str, ...]) -> dict[str, str]:
    """Wrap a source for each table; return the revisions' ids by the sources' names."""
    texts = [f"CREATE TABLE public.{table} (id int);\n" for table in TABLES]
    project.wrapped(**dict(zip(names, texts, strict=True)))
    files = (project.folder / "alembic/versions").glob("*.py")
    ids = {file.stem.partition("_")[2]: file.stem.partition("_")[0] for file in files}
    return {name: ids[name.rpartition("_")[2]] for name in names}


@pytest.mark.parametrize("tool", HISTORIES)
def test_what_another_tool_has_applied_is_not_run_again(project: Project, tool: str) -> None:
    names, history = HISTORIES[tool]
    project.query(history)
    project.query("CREATE TABLE users (id int); CREATE TABLE orders (id int)")
    ids = moved(project, names)
    said = ("another tool has applied 2 of this project's 3 revisions", f"up to {names[1]}")
    for _ in range(2):
        refused(project.upgrade(), *said, f"alembic stamp {ids[names[1]]}", "stamp base")
    assert set(project.ledger().values()) <= {"WAITING"}
    assert said[0] in project.alembic("pgpipe", "check").text
    project.ok("stamp", ids[names[1]])
    project.ok("upgrade", "head")
    assert project.ledger() == dict.fromkeys(names, "SUCCESS")
    assert project.outcomes(names[1]) == [("upgrade", "STAMPED")]
    assert project.outcomes(names[2]) == [("upgrade", "SUCCESS")]


def test_a_ledger_that_was_there_before_makes_no_difference(project: Project) -> None:
    names, history = HISTORIES["flyway"]
    moved(project, names)
    project.ok("pgpipe", "skip", names[0], "--reason", "not here")
    project.query(history)
    refused(project.upgrade(), "another tool has applied 2 of", f"up to {names[1]}")
    project.ok("pgpipe", "skip", names[1], "--reason", "nor this")
    project.ok("upgrade", "head")
    assert applied(project) == ["flyway_schema_history", "totals"]


def test_numbers_that_no_file_has_are_passed_over(project: Project) -> None:
    names, history = HISTORIES["dbmate"]
    project.query(history)
    project.query("INSERT INTO schema_migrations VALUES (%s), ('x')", "1" * 5000)
    moved(project, names)
    refused(project.upgrade(), "another tool has applied 2 of")


def test_what_it_has_left_out_is_named(project: Project) -> None:
    project.query(FLYWAY)
    project.query("DELETE FROM flyway_schema_history WHERE installed_rank = 1")
    moved(project, BY_FLYWAY)
    refused(project.upgrade(), "applied 1 of", "Let that tool apply V1__users first")


def test_who_says_that_none_of_it_is_applied_here_is_believed(project: Project) -> None:
    project.query(FLYWAY)
    moved(project, BY_FLYWAY)
    project.ok("stamp", "base")
    project.ok("upgrade", "head")
    assert applied(project) == ["flyway_schema_history", *sorted(TABLES)]
    assert project.ok("pgpipe", "check").code == 0


@pytest.mark.parametrize(
    ("names", "history"),
    [
        (DATED, FLYWAY),
        (HYPHENS, HISTORIES["goose"][1]),
        (COUNTED, HISTORIES["dbmate"][1]),
        (COUNTED, HISTORIES["golang-migrate"][1].replace("(2,", "(57,")),
        (COUNTED, HISTORIES["goose"][1].replace("(2, true)", "(2, true), (3, true)")),
        (DATED, "CREATE TABLE schema_migrations (version text); CREATE TABLE changes (c int)"),
    ],
)
def test_the_history_of_others_keeps_nobody_from_beginning(
    project: Project, names: tuple[str, ...], history: str
) -> None:
    project.query(history)
    moved(project, names)
    project.ok("upgrade", "head")
    assert project.ledger() == dict.fromkeys(names, "SUCCESS")


def test_where_alembic_has_begun_its_versions_count(project: Project) -> None:
    project.query(FLYWAY)
    ids = moved(project, BY_FLYWAY)
    project.query(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); "
        f"INSERT INTO alembic_version VALUES ('{ids['V1__users']}')"
    )
    project.ok("upgrade", "head")
    assert applied(project) == ["flyway_schema_history", "orders", "totals"]


def test_no_undo_runs_that_stands_below_its_source(project: Project) -> None:
    project.wrapped(users=UNDO_BELOW, orders="CREATE TABLE public.orders (id int);\n")
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/sql/users.sql:4:1" in result.output
    assert "Move what is below into alembic/sql/users.down.sql" in result.output
    assert applied(project) == []
    up, mark, down = UNDO_BELOW.partition("-- migrate:down\n")
    project.source("users", up, mark + down)
    project.ok("upgrade", "head")
    assert applied(project) == ["orders", "users"]
    project.ok("downgrade", "-1")
    assert applied(project) == ["orders"]


def test_a_mark_with_nothing_below_it_keeps_nobody_from_running(project: Project) -> None:
    project.wrapped(users=UNDO_BELOW.partition("DROP")[0])
    project.ok("upgrade", "head")
    assert applied(project) == ["users"]


@pytest.mark.parametrize(
    ("name", "undo"), [("V1__users", "U1__users"), ("users", "users.rollback")]
)
def test_no_undo_is_wrapped_as_a_source(project: Project, name: str, undo: str) -> None:
    project.source(name, "CREATE TABLE public.users (id int);\n")
    project.source(undo, "DROP TABLE public.users;\n")
    refused(
        project.alembic("pgpipe", "wrap"),
        f"alembic/sql/{undo}.sql",
        f"undoes {name}.sql",
        f"Call it {name}.down.sql",
    )
    assert not list((project.folder / "alembic/versions").glob("*.py"))
    (project.folder / f"alembic/sql/{undo}.sql").rename(
        project.folder / f"alembic/sql/{name}.down.sql"
    )
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert applied(project) == ["users"]
