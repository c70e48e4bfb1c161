"""Statements, and what a real server says to each inside a transaction block."""

from __future__ import annotations

from dataclasses import dataclass

# What the server says to a statement that needs to be alone, and to a routine that
# commits.
ACTIVE_TRANSACTION = "25001"
COMMITS_ITSELF = "2D000"

# Run once in the database in which the forms are tried.
SCENERY = """
CREATE SCHEMA s;
CREATE TABLE t (a int PRIMARY KEY, b int);
CREATE INDEX i ON t (b);
CREATE TABLE parted (a int NOT NULL) PARTITION BY RANGE (a);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE INDEX parted_i ON parted (a);
CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
CREATE UNIQUE INDEX m_i ON m (a);
CREATE TYPE mood AS ENUM ('sad');
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
CREATE PROCEDURE quiet() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE ROLE somebody;
CREATE SUBSCRIPTION sub CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false);
"""


@dataclass(frozen=True, slots=True)
class Form:
    """One statement; ``code`` is the SQLSTATE inside a block, empty where it runs."""

    text: str
    code: str = ""
    since: int = 14
    until: int = 99
    before: tuple[str, ...] = ()
    # The text looks like one that may run; only the server can know better.
    unknowable: bool = False

    def __str__(self) -> str:
        """Return the name of the form in a test's report."""
        return self.text


def refused(text: str, since: int = 14, until: int = 99, *before: str) -> Form:
    """Return a form that the server refuses inside a block."""
    return Form(text, ACTIVE_TRANSACTION, since, until, before)


def runs(text: str, since: int = 14, *before: str) -> Form:
    """Return a form that runs inside a block."""
    return Form(text, since=since, before=before)


NEW_TYPE = ("CREATE TYPE mine AS ENUM ('x')", "ALTER TYPE mine ADD VALUE 'ok'")
NEW_SUBSCRIPTION = "CREATE SUBSCRIPTION x CONNECTION 'host=/nowhere' PUBLICATION p"
ENABLED = "ALTER SUBSCRIPTION sub ENABLE"

FORMS: tuple[Form, ...] = (
    # VACUUM
    refused("VACUUM"),
    refused("vacuum t"),
    refused("VaCuUm /* all of it */ (FULL, ANALYZE) t"),
    refused("VACUUM (ANALYZE)"),
    refused("VACUUM ANALYZE t (a)"),
    refused("VACUUM FREEZE VERBOSE t, parted"),
    refused("VACUUM (SKIP_DATABASE_STATS) t", 16),
    refused("VACUUM (ONLY_DATABASE_STATS)", 16),
    refused("VACUUM ONLY parted", 18),
    runs("ANALYZE"),
    runs("ANALYZE (VERBOSE) t (a)"),
    runs("ANALYZE ONLY parted", 18),
    # CLUSTER
    refused("CLUSTER"),
    refused("CLUSTER VERBOSE"),
    refused("CLUSTER /* all */ -- of it\n;"),
    refused("CLUSTER (VERBOSE)", 17),
    refused("CLUSTER (VERBOSE /* ) */) -- t\n", 17),
    runs("CLUSTER t USING i"),
    runs("CLUSTER (VERBOSE) t USING i"),
    runs("CLUSTER VERBOSE t USING i"),
    runs("CLUSTER i ON t"),
    runs(
        'CLUSTER "verbose"',
        14,
        'CREATE TABLE "verbose" (a int PRIMARY KEY)',
        'ALTER TABLE "verbose" CLUSTER ON verbose_pkey',
    ),
    Form("CLUSTER parted USING parted_i", ACTIVE_TRANSACTION, 15, unknowable=True),
    # databases and tablespaces
    refused("CREATE DATABASE d"),
    refused("create database d template template0"),
    refused("CREATE DATABASE d STRATEGY wal_log", 15),
    refused("DROP DATABASE template1"),
    refused("DROP DATABASE IF EXISTS d"),
    refused("DROP DATABASE d WITH (FORCE)"),
    refused("ALTER DATABASE template1 SET TABLESPACE pg_default"),
    refused("ALTER DATABASE template1 TABLESPACE pg_default"),
    refused("ALTER DATABASE template1 WITH TABLESPACE = pg_default"),
    refused('ALTER DATABASE "template1" SET TABLESPACE "pg_default"'),
    runs("ALTER DATABASE template1 SET work_mem = '4MB'"),
    runs("ALTER DATABASE template1 RESET ALL"),
    runs("ALTER DATABASE template1 WITH CONNECTION LIMIT 5"),
    runs("ALTER DATABASE template1 REFRESH COLLATION VERSION", 15),
    refused("CREATE TABLESPACE ts LOCATION '/x'"),
    refused("DROP TABLESPACE ts"),
    refused("DROP TABLESPACE IF EXISTS ts"),
    runs("ALTER TABLESPACE pg_default RESET (random_page_cost)"),
    # ALTER SYSTEM
    refused("ALTER SYSTEM SET work_mem = '4MB'"),
    refused("ALTER SYSTEM RESET ALL"),
    # indexes
    refused("CREATE INDEX CONCURRENTLY x ON t (b)"),
    refused("CREATE INDEX CONCURRENTLY ON t (b)"),
    refused("create unique index concurrently if not exists x on t (b)"),
    refused("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (b)"),
    refused("CREATE INDEX /* x */ CONCURRENTLY -- y\n ON ONLY t USING btree (b)"),
    refused("CREATE INDEX CONCURRENTLY x ON parted (a)"),
    runs("CREATE INDEX x ON t (b)"),
    runs("CREATE UNIQUE INDEX IF NOT EXISTS x ON t (b)"),
    runs('CREATE INDEX "concurrently" ON t (b)'),
    runs("CREATE INDEX IF NOT EXISTS x ON parted (a)"),
    refused("DROP INDEX CONCURRENTLY i"),
    refused("drop index concurrently if exists s.nothing, s.nothing_either"),
    runs("DROP INDEX i"),
    runs("DROP INDEX IF EXISTS concurrently_not"),
    # REINDEX
    refused("REINDEX TABLE CONCURRENTLY t"),
    refused("REINDEX INDEX CONCURRENTLY i"),
    refused("REINDEX (CONCURRENTLY) TABLE t"),
    refused("REINDEX(CONCURRENTLY)TABLE t"),
    refused("REINDEX (VERBOSE, CONCURRENTLY true) INDEX i"),
    refused("REINDEX (CONCURRENTLY 'on') INDEX i"),
    refused("REINDEX (CONCURRENTLY 1) INDEX i"),
    refused("REINDEX (VERBOSE) INDEX CONCURRENTLY i"),
    refused("REINDEX (CONCURRENTLY FALSE, CONCURRENTLY) TABLE t"),
    refused("REINDEX SCHEMA s"),
    refused("REINDEX SCHEMA CONCURRENTLY s"),
    refused("REINDEX (VERBOSE /* ) */) SCHEMA s"),
    refused("REINDEX DATABASE forms"),
    refused("REINDEX DATABASE CONCURRENTLY forms"),
    refused("REINDEX DATABASE", 16),
    refused("REINDEX SYSTEM forms"),
    refused("REINDEX SYSTEM", 16),
    runs("REINDEX TABLE t"),
    runs("REINDEX INDEX i"),
    runs("REINDEX (VERBOSE) INDEX i"),
    runs("REINDEX (TABLESPACE pg_default) INDEX i"),
    runs("REINDEX (CONCURRENTLY false, VERBOSE) TABLE t"),
    runs("REINDEX (CONCURRENTLY off) TABLE t"),
    runs("REINDEX (CONCURRENTLY 'off') TABLE t"),
    runs('REINDEX (CONCURRENTLY "false") TABLE t'),
    runs("REINDEX (CONCURRENTLY 0) TABLE t"),
    runs("REINDEX (CONCURRENTLY, CONCURRENTLY 0) TABLE t"),
    Form("REINDEX TABLE parted", ACTIVE_TRANSACTION, unknowable=True),
    Form("REINDEX INDEX parted_i", ACTIVE_TRANSACTION, unknowable=True),
    # partitions
    refused("ALTER TABLE parted DETACH PARTITION part CONCURRENTLY"),
    refused(
        'ALTER TABLE IF EXISTS ONLY public."parted" DETACH PARTITION public.part concurrently'
    ),
    refused("ALTER TABLE parted * DETACH PARTITION part CONCURRENTLY"),
    refused("ALTER TABLE parted DETACH PARTITION public . part /* x */ CONCURRENTLY"),
    runs("ALTER TABLE parted DETACH PARTITION part"),
    runs(
        'ALTER TABLE parted DETACH PARTITION "CONCURRENTLY"',
        14,
        'CREATE TABLE "CONCURRENTLY" PARTITION OF parted DEFAULT',
    ),
    Form("ALTER TABLE parted DETACH PARTITION part FINALIZE", "55000"),
    runs("CREATE TABLE p2 PARTITION OF parted FOR VALUES FROM (10) TO (20)"),
    # types
    runs("ALTER TYPE mood ADD VALUE 'ok'"),
    runs("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'ok' BEFORE 'sad'"),
    Form("SELECT 'ok'::mood", "55P04", before=("ALTER TYPE mood ADD VALUE 'ok'",)),
    runs("SELECT 'sad'::mood", 14, "ALTER TYPE mood ADD VALUE 'ok'"),
    # The type is of this transaction too; until 16 that made no difference.
    Form("SELECT 'ok'::mine", "55P04", 14, 16, NEW_TYPE),
    runs("SELECT 'ok'::mine", 17, *NEW_TYPE),
    runs("ALTER TYPE mood RENAME VALUE 'sad' TO 'bad'"),
    # subscriptions
    refused(NEW_SUBSCRIPTION),
    refused(f"{NEW_SUBSCRIPTION} WITH (enabled = false)"),
    refused(
        f"{NEW_SUBSCRIPTION} WITH (copy_data = off, two_phase)",
        15,
    ),
    refused(
        f"{NEW_SUBSCRIPTION} WITH (failover = true)",
        17,
    ),
    refused(
        "CREATE SUBSCRIPTION x CONNECTION 'connect=false' PUBLICATION p WITH (enabled = false)"
    ),
    runs(f"{NEW_SUBSCRIPTION} WITH (connect = false)"),
    runs(f"{NEW_SUBSCRIPTION} WITH (connect = 0, slot_name = NONE)"),
    runs(f"{NEW_SUBSCRIPTION} WITH (connect = 'FALSE')"),
    Form(
        f"{NEW_SUBSCRIPTION} WITH (create_slot = off)",
        "08006",
    ),
    refused("ALTER SUBSCRIPTION sub REFRESH PUBLICATION", 14, 99, ENABLED),
    refused(
        "ALTER SUBSCRIPTION sub REFRESH PUBLICATION WITH (copy_data = false)", 14, 99, ENABLED
    ),
    refused("ALTER SUBSCRIPTION sub SET PUBLICATION q", 14, 99, ENABLED),
    refused("ALTER SUBSCRIPTION sub ADD PUBLICATION q WITH (refresh = true)", 14, 99, ENABLED),
    refused(
        "ALTER SUBSCRIPTION sub DROP PUBLICATION q",
        14,
        99,
        ENABLED,
        "ALTER SUBSCRIPTION sub SET PUBLICATION p, q WITH (refresh = false)",
    ),
    runs("ALTER SUBSCRIPTION sub SET PUBLICATION q WITH (refresh = false)", 14, ENABLED),
    runs("ALTER SUBSCRIPTION sub ADD PUBLICATION q WITH (REFRESH = 'off')", 14, ENABLED),
    runs("ALTER SUBSCRIPTION sub ENABLE"),
    runs("ALTER SUBSCRIPTION sub DISABLE"),
    runs("ALTER SUBSCRIPTION sub SET (slot_name = NONE)"),
    runs("ALTER SUBSCRIPTION sub SET (binary = true)"),
    runs("ALTER SUBSCRIPTION sub SET (streaming = on)"),
    runs("ALTER SUBSCRIPTION sub SET (origin = none)", 16),
    runs("ALTER SUBSCRIPTION sub SKIP (lsn = '0/12345')", 15),
    runs("ALTER SUBSCRIPTION sub CONNECTION 'host=/elsewhere'"),
    runs("ALTER SUBSCRIPTION sub RENAME TO failover"),
    refused("ALTER SUBSCRIPTION sub SET (failover = true)", 17),
    refused("ALTER SUBSCRIPTION sub SET (binary, failover)", 17),
    refused("ALTER SUBSCRIPTION sub SET (two_phase = false)", 18),
    runs("ALTER SUBSCRIPTION sub SET (two_phase = true)", 18),
    refused("DROP SUBSCRIPTION sub"),
    refused("DROP SUBSCRIPTION IF EXISTS sub"),
    # sessions
    refused("DISCARD ALL"),
    runs("DISCARD PLANS"),
    runs("DISCARD SEQUENCES"),
    runs("DISCARD TEMP"),
    # routines
    Form("CALL commits()", COMMITS_ITSELF, unknowable=True),
    Form("DO $$ BEGIN COMMIT; END $$", COMMITS_ITSELF, unknowable=True),
    Form("DO $$ BEGIN EXECUTE 'VACUUM'; END $$", ACTIVE_TRANSACTION, unknowable=True),
    runs("CALL quiet()"),
    runs("DO $$ BEGIN NULL; END $$"),
    # what needs a block, or does not mind one
    runs("LOCK TABLE t IN SHARE MODE"),
    runs("DECLARE c CURSOR FOR SELECT 1"),
    runs("DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
    runs("LISTEN vacuum"),
    runs("NOTIFY vacuum, 'x'"),
    runs("UNLISTEN *"),
    runs("CHECKPOINT"),
    runs("LOAD 'plpgsql'"),
    runs("SET CONSTRAINTS ALL DEFERRED"),
    runs("SET TRANSACTION READ WRITE"),
    runs("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"),
    runs("SET LOCAL work_mem = '4MB'"),
    runs("PREPARE discard AS SELECT 1"),
    runs("EXECUTE vacuum", 14, "PREPARE vacuum AS SELECT 1"),
    runs("DEALLOCATE ALL"),
    runs("EXPLAIN ANALYZE UPDATE t SET b = 1"),
    runs("EXPLAIN (ANALYZE) CREATE TABLE x AS SELECT 1"),
    runs("CREATE TABLE x AS EXECUTE p", 14, "PREPARE p AS SELECT 1 AS a"),
    runs("CREATE TABLE x AS SELECT 1"),
    runs("SELECT 1 AS a INTO x"),
    runs("REFRESH MATERIALIZED VIEW m"),
    runs("REFRESH MATERIALIZED VIEW CONCURRENTLY m"),
    runs("TRUNCATE t"),
    runs("CREATE ROLE x"),
    runs("DROP ROLE somebody"),
    runs("CREATE PUBLICATION x FOR ALL TABLES"),
    runs("CREATE EXTENSION hstore"),
    runs("ALTER TABLE t SET UNLOGGED"),
    runs("ALTER TABLE t CLUSTER ON i"),
    runs("ALTER INDEX i RENAME TO concurrently_built"),
    runs("ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default"),
    runs("COMMENT ON INDEX i IS 'CREATE INDEX CONCURRENTLY'"),
    Form("IMPORT FOREIGN SCHEMA s FROM SERVER nowhere INTO s", "55000"),
    Form("SECURITY LABEL ON TABLE t IS 'x'", "22023"),
    runs("SELECT 'VACUUM'"),
    runs("(SELECT 1)"),
    runs("VALUES (1)"),
    runs("TABLE t"),
    runs("MERGE INTO t USING (VALUES (1)) v (a) ON t.a = v.a WHEN MATCHED THEN DELETE", 15),
    runs(
        "MERGE INTO t USING (VALUES (1)) v (a) ON t.a = v.a WHEN NOT MATCHED THEN "
        "INSERT VALUES (1, 1) RETURNING merge_action(), t.*",
        17,
    ),
    runs("UPDATE t SET b = 1 RETURNING old.b, new.b", 18),
    runs("ALTER TABLE t ADD CONSTRAINT c CHECK (b > 0) NOT ENFORCED", 18),
    runs("ALTER TABLE t ADD COLUMN c int GENERATED ALWAYS AS (b * 2) VIRTUAL", 18),
    runs("ALTER TABLE t ADD CONSTRAINT c NOT NULL b NOT VALID", 18),
)

# Sent inside a block behind SAVEPOINT s: is it the same transaction afterwards?
STAYS = (
    "SAVEPOINT s2",
    "RELEASE s",
    "RELEASE SAVEPOINT s",
    "ROLLBACK TO s",
    "rollback work to savepoint s",
    "ROLLBACK TRANSACTION TO SAVEPOINT s",
    "ROLLBACK /* x */ TO -- y\n s",
    "PREPARE transaction AS SELECT 1",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
)
ENDS = (
    "COMMIT",
    "commit work",
    "COMMIT TRANSACTION AND NO CHAIN",
    "COMMIT AND CHAIN",
    "END",
    "END /* x */ TRANSACTION",
    "end and chain",
    "ROLLBACK",
    "ROLLBACK -- x\n WORK",
    "ROLLBACK AND CHAIN",
    "ROLLBACK AND NO CHAIN",
    "ABORT",
    "abort transaction",
    "ABORT AND CHAIN",
    "PREPARE TRANSACTION 'x'",
    "prepare /* x */ transaction 'x'",
)
# These belong to another transaction; the server wants them outside of any.
FOREIGN = ("COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'")

BEGINS = (
    "BEGIN",
    "begin work",
    "Begin Transaction",
    "START TRANSACTION",
    "START /* a */ TRANSACTION -- b\n",
    "BEGIN /* a /* b */ */ ISOLATION LEVEL SERIALIZABLE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE",
    "BEGIN WORK ISOLATION LEVEL READ UNCOMMITTED READ WRITE NOT DEFERRABLE",
    "START TRANSACTION DEFERRABLE , ISOLATION /* x */ LEVEL\nSERIALIZABLE",
    "BEGIN READ WRITE, DEFERRABLE",
)
NO_BEGINS = (
    "BEGIN SERIALIZABLE",
    "BEGIN ISOLATION LEVEL SNAPSHOT",
    "BEGIN READ SOMETHING",
    "BEGIN, READ WRITE",
    "BEGIN READ WRITE,",
    "START TRANSACTION WORK",
)
