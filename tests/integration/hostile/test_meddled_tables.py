"""Triggers, rules, policies and operators in our way: refused or recorded, never both."""

from __future__ import annotations

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.run.build_log import NOT_CLOSED
from tests.project import Project
from tests.refusal import applied, refused

A, B, C = (revision_id(name) for name in "abc")
TABLE = "CREATE TABLE public.{0} (id int);\n"
NAMES = ("migrations", "migration_logs", "migration_attempts", "alembic_version")


@pytest.fixture
def half(project: Project) -> Project:
    """Give a project with one revision applied and one to come."""
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(b=TABLE.format("b"))
    return project


def recorded_or_nothing(project: Project) -> None:
    """Expect that the table, the version and the row of b are there together or not."""
    there = "b" in applied(project)
    assert project.scalar("SELECT version_num FROM alembic_version") == (B if there else A)
    assert (project.ledger().get("b") == "SUCCESS") is there
    assert (("upgrade", "SUCCESS") in project.outcomes("b")) is there


def goes_on(project: Project) -> None:
    """Expect that a retry, where one is needed, and one more run finish the work."""
    project.ok("pgpipe", "check", "--no-rehearsal")
    project.ok("pgpipe", "retry")
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b"]
    recorded_or_nothing(project)
    assert project.outcomes("b").count(("upgrade", "SUCCESS")) == 1
    project.ok("pgpipe", "check", "--no-rehearsal")


# -- triggers -------------------------------------------------------------------------------

TRIGGER = """
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
CREATE TRIGGER meddle BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION meddle();
"""
TAKEN_AWAY = {
    ("INSERT", "migrations"): f"does not keep the rows of {B}: a trigger",
    ("UPDATE", "migrations"): f"The status of b (id {B}) was WAITING and has been changed",
    ("INSERT", "migration_attempts"): f"does not keep an attempt at {B}: a trigger",
    ("UPDATE", "migration_attempts"): "does not keep how attempt 2 ended: a trigger",
    ("UPDATE", "alembic_version"): "expected to match one row when updating",
}


@pytest.mark.parametrize(("event", "table"), TAKEN_AWAY)
def test_a_trigger_that_takes_a_row_away_is_noticed(
    half: Project, event: str, table: str
) -> None:
    half.query(TRIGGER.format(body="RETURN NULL;", event=event, table=table))
    line = refused(half.upgrade(), TAKEN_AWAY[event, table])
    assert "alembic upgrade head" in line or "alembic pgpipe retry" in line
    assert applied(half) == ["a"]
    recorded_or_nothing(half)
    half.query(f"DROP TRIGGER meddle ON {table}")
    goes_on(half)


def test_a_trigger_that_takes_the_builds_row_away_is_noticed(half: Project) -> None:
    half.query(TRIGGER.format(body="RETURN NULL;", event="INSERT", table="migration_logs"))
    other = {"CODEBUILD_BUILD_NUMBER": "7"}
    refused(half.upgrade(env=other), "does not keep the row of build 7: a trigger on it")
    half.query("DROP TRIGGER meddle ON migration_logs")
    goes_on(half)


def test_a_trigger_that_takes_a_builds_outcome_away_is_told(half: Project) -> None:
    half.query(TRIGGER.format(body="RETURN NULL;", event="UPDATE", table="migration_logs"))
    result = half.upgrade(env={"CODEBUILD_BUILD_NUMBER": "7"})
    assert result.code == 0
    assert NOT_CLOSED in result.text
    half.query("DROP TRIGGER meddle ON migration_logs")
    half.ok("upgrade", "head")
    outcome = "SELECT status FROM migration_logs WHERE build_number = '7'"
    assert half.scalar(outcome) == "FAILURE"


RAISES = (
    ("INSERT", "migrations"),
    ("UPDATE", "migrations"),
    ("INSERT", "migration_attempts"),
    ("UPDATE", "migration_attempts"),
    ("UPDATE", "alembic_version"),
    ("INSERT", "migration_logs"),
)


@pytest.mark.parametrize(("event", "table"), RAISES)
def test_a_trigger_that_raises_is_named_and_nothing_is_half_done(
    half: Project, event: str, table: str
) -> None:
    half.query(TRIGGER.format(body="RAISE EXCEPTION 'not today';", event=event, table=table))
    line = refused(half.upgrade(), "not today")
    assert "alembic upgrade head" in line or "alembic pgpipe retry" in line
    assert applied(half) == ["a"]
    recorded_or_nothing(half)
    half.query(f"DROP TRIGGER meddle ON {table}")
    goes_on(half)


def test_a_trigger_that_raises_while_it_is_recorded_is_not_taken_for_the_source(
    half: Project,
) -> None:
    body = "RAISE EXCEPTION 'not today';"
    half.query(TRIGGER.format(body=body, event="UPDATE", table="alembic_version"))
    result = half.upgrade()
    assert "Its own statements were done; this came while its version" in result.output
    assert "deferred" not in result.text
    assert "not today (while its version and status were written)" in result.text


RAISE = "RAISE EXCEPTION 'not today';"
STAMP = ("stamp", "head")
PURGE = ("stamp", "--purge", "heads")
STAMP_MEETS = (
    (STAMP, "INSERT", "migrations", "RETURN NULL;"),
    (STAMP, "UPDATE", "migrations", "RETURN NULL;"),
    (STAMP, "INSERT", "migrations", RAISE),
    (PURGE, "UPDATE", "migrations", RAISE),
    (STAMP, "INSERT", "migration_attempts", RAISE),
    (STAMP, "UPDATE", "alembic_version", RAISE),
    (PURGE, "INSERT", "alembic_version", RAISE),
    (STAMP, "INSERT", "migration_logs", RAISE),
)


@pytest.mark.parametrize(("stamp", "event", "table", "body"), STAMP_MEETS)
def test_a_stamp_that_a_trigger_refuses_is_what_to_type_again(
    half: Project, stamp: tuple[str, ...], event: str, table: str, body: str
) -> None:
    half.query(TRIGGER.format(body=body, event=event, table=table))
    assert refused(half.alembic(*stamp)).endswith(f": alembic {' '.join(stamp)}")
    recorded_or_nothing(half)
    half.query(f"DROP TRIGGER meddle ON {table}")
    half.ok(*stamp)
    assert half.scalar("SELECT version_num FROM alembic_version") == B


def test_a_trigger_that_only_watches_is_left_alone(half: Project) -> None:
    half.query("CREATE TABLE watched (n int)")
    half.query(
        TRIGGER.format(
            body="INSERT INTO public.watched VALUES (1); RETURN NEW;",
            event="INSERT OR UPDATE",
            table="migrations",
        )
    )
    half.ok("upgrade", "head")
    assert half.scalar("SELECT count(*) FROM watched") == 3


# -- rules, policies ------------------------------------------------------------------------


@pytest.mark.parametrize("table", NAMES[:3])
def test_a_rule_on_a_table_of_ours_is_refused(half: Project, table: str) -> None:
    half.query(f"CREATE RULE meddle AS ON INSERT TO {table} DO INSTEAD NOTHING")
    for command in (("upgrade", "head"), ("pgpipe", "repair", "--yes"), ("pgpipe", "check")):
        refused(half.alembic(*command), f"DROP RULE … ON public.{table}")
    half.query(f"DROP RULE meddle ON {table}")
    goes_on(half)


@pytest.mark.parametrize("table", NAMES)
def test_a_policy_that_may_hide_rows_is_refused_with_what_its_owner_can_do(
    project: Project, shipper: Project, role: str, table: str
) -> None:
    shipper.wrapped(a=TABLE.format("a"))
    shipper.ok("upgrade", "head")
    project.query(
        f"ALTER TABLE {table} OWNER TO postgres; GRANT ALL ON {table} TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role};"
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY p ON {table} FOR INSERT TO {role} WITH CHECK (true)"
    )
    line = refused(shipper.upgrade(), f"public.{table} has row-level security")
    refused(shipper.alembic("pgpipe", "status"), f"public.{table} has row-level security")
    project.query(line[line.index("ALTER TABLE") : line.index(";")])
    assert "nothing to do" in shipper.ok("upgrade", "head").output
    assert shipper.outcomes("a") == [("upgrade", "SUCCESS")]


def test_a_policy_that_hides_nothing_from_us_is_left_alone(half: Project) -> None:
    for table in NAMES:
        half.query(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    half.ok("upgrade", "head")


# -- names in our way -----------------------------------------------------------------------


# Fails once, so that Alembic looks at its version table again in the middle of a run.
TRIED_TWICE = """
DO $$ BEGIN
    IF nextval('public.tries') = 1 THEN RAISE serialization_failure; END IF;
END $$;
"""


@pytest.mark.parametrize("answer", ["true", "false"])
def test_operators_ahead_in_the_search_path_change_nothing(
    project: Project, shipper: Project, role: str, answer: str
) -> None:
    project.query("CREATE SCHEMA evil")
    types = ("varchar", "text", "name")
    for left, right in ((one, other) for one in types for other in types):
        project.query(
            f"CREATE FUNCTION evil.yes({left}, {right}) RETURNS boolean RETURN {answer};"
            f"CREATE OPERATOR evil.= (LEFTARG = {left}, RIGHTARG = {right},"
            " FUNCTION = evil.yes)"
        )
    project.query(f"GRANT USAGE ON SCHEMA evil TO {role}")
    project.query(f"ALTER ROLE {role} SET search_path = evil, pg_catalog, public")
    project.query(f"CREATE SEQUENCE tries; GRANT ALL ON SEQUENCE tries TO {role}")
    index = "CREATE INDEX CONCURRENTLY i ON public.a (id);\n"
    shipper.wrapped(a=TABLE.format("a"), b=index, c=TABLE.format("c") + TRIED_TWICE)
    shipper.ok("upgrade", "+1")
    shipper.ok("upgrade", "head")
    assert shipper.ledger() == dict.fromkeys("abc", "SUCCESS")
    shipper.ok("stamp", B)
    assert shipper.ledger() == {"a": "SUCCESS", "b": "SUCCESS", "c": "WAITING"}
    assert project.query("SELECT version_num FROM alembic_version") == [(B,)]


TEMPORARY = "".join(
    f"CREATE TEMP TABLE {name} (id int);\n" for name in (*NAMES, "pg_class", "pg_attribute")
)


def test_temporary_objects_that_are_called_like_ours_change_nothing(project: Project) -> None:
    types = "CREATE TYPE pg_temp.text AS (a int); CREATE DOMAIN pg_temp.varchar AS int;\n"
    project.wrapped(
        a=TEMPORARY + types + TABLE.format("a"),
        b=f"-- pgpipe: transaction = off\n{TEMPORARY}{types}{TABLE.format('b')}",
        c=TABLE.format("c"),
    )
    project.ok("upgrade", "head")
    assert project.ledger() == dict.fromkeys("abc", "SUCCESS")
    assert applied(project) == ["a", "b", "c"]


# -- an event trigger -----------------------------------------------------------------------

NO_DDL = """
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'no DDL today'; END $$;
CREATE EVENT TRIGGER no_ddl ON ddl_command_end EXECUTE FUNCTION no_ddl();
"""


def test_an_event_trigger_that_refuses_the_ledger_is_named(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.query(NO_DDL)
    refused(project.upgrade(), "no DDL today", "then: alembic upgrade head")
    assert project.scalar("SELECT to_regclass('migrations')") is None
    project.query("DROP EVENT TRIGGER no_ddl")
    project.ok("upgrade", "head")


def test_an_event_trigger_that_refuses_a_source_is_its_error(half: Project) -> None:
    half.query(NO_DDL)
    refused(half.upgrade(), "b.sql:1:1: no DDL today", f"alembic pgpipe retry {B}")
    recorded_or_nothing(half)
    half.query("DROP EVENT TRIGGER no_ddl")
    goes_on(half)
