"""Routines, views and triggers shipped through every change that people make to them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from alembic.config import Config
from sqlalchemy import URL

from alembic_pgpipe.commands.append import Wrapped
from alembic_pgpipe.commands.wrap import wrap
from alembic_pgpipe.errors import RoutineError
from alembic_pgpipe.scratch.server import ScratchServer
from tests.histories import Dump, dump_for
from tests.integration.shipping.lifecycle import CHANGES, FIRST, TABLES
from tests.project import Project
from tests.screen import on_terminal

ROLES = ("lifecycle_app", "lifecycle_owner")
OURS = ("migrations", "migration_logs", "migration_attempts", "alembic_version")


# What a release engineer has done at night, in no file of the project.
BY_HAND = (
    "ALTER FUNCTION billing.vat(numeric) OWNER TO lifecycle_owner",
    "REVOKE EXECUTE ON FUNCTION billing.vat(numeric) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION billing.vat(numeric) TO lifecycle_app WITH GRANT OPTION",
    "COMMENT ON FUNCTION billing.vat(numeric) IS 'it''s by hand'",
    "ALTER VIEW billing.customer_totals OWNER TO lifecycle_owner",
    "GRANT SELECT (vat), UPDATE (vat) ON billing.customer_totals TO lifecycle_app",
    "COMMENT ON COLUMN billing.customer_totals.vat IS 'of a column'",
    "GRANT SELECT ON billing.daily TO lifecycle_app",
    "REVOKE SELECT ON billing.order_totals FROM lifecycle_app",
    "COMMENT ON VIEW billing.order_totals IS 'by hand'",
)


EMPTY = """\
DROP EVENT TRIGGER lifecycle_ddl; DROP SCHEMA billing, ledger CASCADE; CREATE SCHEMA ledger
"""


@pytest.fixture
def dump(scratch: ScratchServer) -> Dump:
    return dump_for(scratch)


@pytest.fixture
def roles(project: Project) -> Iterator[None]:
    """Give two roles to the server; the project's history takes them for given."""
    for role in ROLES:
        project.query(f"CREATE ROLE {role}")
    yield
    for role in ROLES:
        project.query(f"DROP OWNED BY {role} CASCADE")
        project.query(f"DROP ROLE {role}")


def schema(project: Project, dump: Dump) -> Sequence[str]:
    assert isinstance(project.url, URL)
    return dump.schema(project.url, without="ledger")


def write(project: Project, name: str, text: str | None) -> None:
    path = f"alembic/routines/{name}.sql"
    if text is None:
        (project.folder / path).unlink()
    else:
        project.write(path, text)


def heads(project: Project) -> str:
    return str(project.scalar("SELECT version_num FROM ledger.alembic_version"))


def begin_tables(project: Project) -> None:
    project.configure(schema="ledger")
    project.query("CREATE SCHEMA ledger")
    project.source("20260101_tables", TABLES, "DROP SCHEMA billing CASCADE;\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")


def begin(project: Project) -> None:
    """Ship the tables and the first version of all objects."""
    begin_tables(project)
    for name, text in FIRST.items():
        write(project, name, text)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")


def facts(dumped: Sequence[str]) -> Sequence[str]:
    """Return who may use what, and the comments."""
    return sorted(line for line in dumped if line.startswith(("GRANT", "REVOKE", "COMMENT")))


def owners(project: Project) -> list[tuple[str]]:
    """Return what belongs to the other owner."""
    return project.query(
        "SELECT relname FROM pg_class WHERE relowner = 'lifecycle_owner'::regrole UNION "
        "SELECT proname FROM pg_proc WHERE proowner = 'lifecycle_owner'::regrole ORDER BY 1"
    )


@pytest.mark.usefixtures("roles")
def test_seventeen_objects_live_through_every_change(project: Project, dump: Dump) -> None:
    begin_tables(project)
    states = {heads(project): schema(project, dump)}
    for name, first in FIRST.items():
        write(project, name, first)
    changes: list[Mapping[str, str | None]] = [{}, *CHANGES.values()]
    for change in changes:
        for name, text in change.items():
            write(project, name, text)
        project.ok("pgpipe", "wrap", "--drop")
        project.ok("upgrade", "head")
        states[heads(project)] = schema(project, dump)
    for revision, state in reversed(states.items()):
        project.ok("downgrade", revision)
        assert schema(project, dump) == state
    project.ok("downgrade", "base")
    project.ok("upgrade", "head")
    assert schema(project, dump) == list(states.values())[-1]
    project.query(EMPTY)
    project.ok("upgrade", "head")
    assert schema(project, dump) == list(states.values())[-1]


@pytest.mark.usefixtures("roles")
def test_owners_grants_and_comments_of_the_database_outlive_a_new_signature(
    project: Project, dump: Dump
) -> None:
    begin(project)
    for statement in BY_HAND:
        project.query(statement)
    before, owned = facts(schema(project, dump)), owners(project)
    assert owned == [("customer_totals",), ("vat",)]
    for name, text in CHANGES["signature"].items():
        write(project, name, text)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT billing.vat(100, 0.07)") == 7
    after = facts(schema(project, dump))
    assert [line.replace(", rate numeric", "") for line in after] == before
    assert owners(project) == owned
    project.ok("downgrade", "-1")
    # The file's own comment came with its text.
    own = "COMMENT ON FUNCTION billing.vat(gross numeric) IS "
    expected = [f"{own}'as of 2026';" if line.startswith(own) else line for line in before]
    assert facts(schema(project, dump)) == expected
    assert owners(project) == owned


# -- small projects ----------------------------------------------------------------------------

F = "CREATE FUNCTION public.f(a int) RETURNS int LANGUAGE sql AS 'SELECT a';\n"
F_WIDER = "CREATE FUNCTION public.f(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + b';\n"
V = "CREATE VIEW public.v AS SELECT public.f(1) AS one;\n"


def shipped(project: Project, *options: str, **texts: str | None) -> str:
    """Edit working copies, ship them, and return what wrap said."""
    for name, text in texts.items():
        write(project, name, text)
    output = project.ok("pgpipe", "wrap", *options).output
    project.ok("upgrade", "head")
    return output


def signatures(project: Project) -> list[str]:
    found = project.query("SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'f'")
    return sorted(name for (name,) in found)


def sources(project: Project) -> set[str]:
    return {path.name for path in (project.folder / "alembic/sql").iterdir()}


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_new_argument_leaves_no_old_function_behind(project: Project) -> None:
    shipped(project, f=F)
    assert "public.f(integer): dropped" in shipped(project, f=F_WIDER)
    assert signatures(project) == ["f(integer,integer)"]
    project.ok("downgrade", "-1")
    assert signatures(project) == ["f(integer)"]


@pytest.mark.usefixtures("shared_rehearsal")
def test_keep_old_leaves_the_old_function(project: Project) -> None:
    shipped(project, f=F)
    assert "f(integer) stays beside it" in shipped(project, "--keep-old", f=F_WIDER)
    assert signatures(project) == ["f(integer)", "f(integer,integer)"]
    project.ok("downgrade", "-1")
    assert signatures(project) == ["f(integer)"]


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_others_need_is_not_taken_from_them(project: Project) -> None:
    shipped(project, f=F)
    project.wrapped(t="CREATE TABLE public.t (a int DEFAULT public.f(1));\n")
    before = sources(project)
    write(project, "f", F_WIDER)
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "alembic/routines/f.sql: what it created has to go" in result.text
    assert "default value for column a of table public.t" in result.text
    assert sources(project) == before


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_function_and_the_view_that_wants_its_new_form_are_one_revision(
    project: Project,
) -> None:
    shipped(project, f=F, v=V)
    said = shipped(project, f=F_WIDER, v=V.replace("f(1)", "f(1, 2)"))
    assert "alembic/routines/v.sql: shipped with it, for it depends on it" in said
    assert {"f.v002.routines.sql", "f.v002.routines.down.sql"} < sources(project)
    assert project.scalar("SELECT one FROM v") == 3
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT one FROM v") == 1
    project.ok("upgrade", "head")
    shipped(project, f=F_WIDER.replace("a + b", "a * b"))
    assert "f.v003.sql" in sources(project)
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT one FROM v") == 3


@pytest.mark.usefixtures("shared_rehearsal")
def test_together_makes_one_revision_of_all_changes(project: Project) -> None:
    said = shipped(project, "--together", "-m", "The sums", v=V, f=F)
    line = said.splitlines()[-1]
    assert line.split()[1].endswith("_the_sums.routines.sql")
    assert project.ok("history").output.endswith("(head), The sums\n")
    assert project.scalar("SELECT one FROM v") == 1
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    assert "v.v002.sql" in shipped(project, v=V.replace("f(1)", "f(2)"))
    project.ok("downgrade", "base")
    assert signatures(project) == []
    project.ok("upgrade", "head")
    assert project.scalar("SELECT one FROM v") == 2


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_message_names_one_revision(project: Project) -> None:
    for name, text in {"f": F, "v": V}.items():
        write(project, name, text)
    result = project.alembic("pgpipe", "wrap", "-m", "both")
    assert result.code == 1
    assert "wrap --together --message" in result.text
    assert sources(project) == set()
    (project.folder / "alembic/routines/v.sql").unlink()
    shipped(project, "-m", "alone")
    assert project.ok("history").output.endswith("(head), alone\n")


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_gone_file_asks(project: Project) -> None:
    shipped(project, f=F, v=V)
    before = sources(project)
    write(project, "v", None)
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "alembic/routines/v.sql: gone since its last snapshot" in result.text
    assert "alembic pgpipe wrap --drop" in result.text
    assert sources(project) == before
    assert "public.v: dropped, its file is gone" in shipped(project, "--drop")
    assert project.scalar("SELECT to_regclass('public.v')") is None
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT one FROM v") == 1
    project.ok("upgrade", "head")
    assert "v.v003.sql" in shipped(project, v=V.replace("f(1)", "f(5)"))
    assert project.scalar("SELECT one FROM v") == 5


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_is_still_used_is_not_dropped(project: Project) -> None:
    shipped(project, f=F, v=V)
    write(project, "f", None)
    result = project.alembic("pgpipe", "wrap", "--drop")
    assert result.code == 1
    assert "alembic/routines/f.sql: it is still used by view" in result.text


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_was_there_before_the_first_snapshot_outlives_its_downgrade(
    project: Project,
) -> None:
    project.wrapped(a1=F)
    project.ok("upgrade", "head")
    shipped(project, f=F.replace("CREATE", "CREATE OR REPLACE").replace("T a", "T a * 10"))
    assert project.scalar("SELECT f(1)") == 10
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT f(1)") == 1


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_file_that_the_server_refuses_is_named_with_its_place(project: Project) -> None:
    write(project, "f", F.replace("SELECT a", "SELECT nope"))
    write(project, "g", F.replace("public.f", "public.g"))
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "This file cannot be shipped, and no routine was written:" in result.text
    assert '  alembic/routines/f.sql:1:69: column "nope" does not exist' in result.text
    assert sources(project) == set()


@pytest.mark.usefixtures("shared_rehearsal")
def test_indexes_of_a_materialized_view_from_elsewhere_are_made_again(
    project: Project,
) -> None:
    text = "CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS one;\n"
    shipped(project, m=text)
    project.wrapped(i="CREATE INDEX m_one ON public.m (one);\n")
    shipped(project, m=text.replace("1 AS", "2 AS"))
    assert project.scalar("SELECT to_regclass('public.m_one') IS NOT NULL")
    assert project.scalar("SELECT one FROM m") == 2


@pytest.mark.usefixtures("shared_rehearsal")
def test_new_sources_come_ahead_of_the_routines_that_need_them(project: Project) -> None:
    project.source("t", "CREATE TABLE public.t (a int);\n")
    said = shipped(project, v="CREATE VIEW public.v AS SELECT a FROM public.t;\n")
    assert [line.split()[1] for line in said.splitlines()] == ["t.sql", "v.v001.sql"]


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_moved_file_changes_nothing(project: Project) -> None:
    policy = "CREATE POLICY p ON public.t USING (true);\n"
    project.wrapped(a1="CREATE TABLE public.t (a int);\n")
    shipped(project, p=policy)
    write(project, "p", None)
    write(project, "security/p", policy)
    assert "alembic/routines/p.sql: moved to here" in shipped(project)
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    write(project, "security/p", policy.replace("true", "false"))
    assert "security.p.v002.sql" in shipped(project)
    assert project.scalar("SELECT pg_get_expr(polqual, polrelid) FROM pg_policy") == "false"
    project.ok("downgrade", "-3")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT pg_get_expr(polqual, polrelid) FROM pg_policy") == "false"


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_domain_that_tables_stand_on_is_altered(project: Project, dump: Dump) -> None:
    project.configure(schema="ledger")
    project.query("CREATE SCHEMA ledger")
    first = "CREATE DOMAIN public.d AS int DEFAULT 1 CONSTRAINT low CHECK (VALUE > 0);\n"
    shipped(project, d=first)
    project.wrapped(t="CREATE TABLE public.t (a public.d);\nINSERT INTO public.t VALUES (5);\n")
    project.ok("upgrade", "head")
    before = schema(project, dump)
    second = (
        "CREATE DOMAIN public.d AS int NOT NULL\n"
        '    CONSTRAINT low CHECK (VALUE > 2) CONSTRAINT "high %" CHECK (VALUE % 7 < 6);\n'
        "COMMENT ON DOMAIN public.d IS 'second';\n"
    )
    said = shipped(project, d=second)
    assert "ALTER DOMAIN public.d DROP DEFAULT;" in said
    after = schema(project, dump)
    assert after != before and any("VALUE > 2" in line for line in after)
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    project.ok("downgrade", "-1")
    assert [line for line in schema(project, dump) if "'second'" not in line] == before
    project.ok("upgrade", "head")
    assert schema(project, dump) == after


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_domain_of_another_type_is_not_altered(project: Project) -> None:
    shipped(project, d="CREATE DOMAIN public.d AS int;\n")
    project.wrapped(t="CREATE TABLE public.t (a public.d);\n")
    write(project, "d", "CREATE DOMAIN public.d AS text;\n")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "column a of table public.t" in result.text


@pytest.mark.usefixtures("shared_rehearsal")
def test_the_plan_is_shown_before_anything_is_written(project: Project) -> None:
    shipped(project, f=F)
    before = sources(project)
    write(project, "f", F_WIDER)
    config = Config(project.folder / "alembic.ini")
    seen: list[Wrapped] = []

    def refuse(planned: Sequence[Wrapped]) -> bool:
        seen.extend(planned)
        assert sources(project) == before
        return False

    with pytest.raises(RoutineError, match="No routine was written, as you wish"):
        wrap(config, agree=refuse)
    assert [one.name for one in seen] == ["f.v002.sql"]
    assert seen[0].notes == ("public.f(integer): dropped, the file no longer creates it",)
    assert sources(project) == before


@pytest.mark.parametrize(("typed", "code"), [("\n", 1), ("y\n", 0)])
def test_without_a_yes_nothing_is_dropped(project: Project, typed: str, code: int) -> None:
    shipped(project, f=F)
    before, program = sources(project), str(Path(sys.executable).with_name("alembic"))
    write(project, "f", F_WIDER)
    ended, screen = on_terminal(
        project, 100, program, "pgpipe", "wrap", answer=("Write them? [y/N]", typed)
    )
    assert ended == code
    assert ("No routine was written, as you wish" in screen) == bool(code)
    assert (sources(project) == before) == bool(code)


F_LONG = F.replace("RETURNS int", "RETURNS bigint")
F_PROCEDURE = "CREATE PROCEDURE public.f(a int) LANGUAGE sql AS 'SELECT a';\n"
ONE_MORE = "CREATE FUNCTION public.g() RETURNS int LANGUAGE sql AS 'SELECT 1';\n"


@pytest.mark.usefixtures("shared_rehearsal")
@pytest.mark.parametrize("text", [F_LONG, F_PROCEDURE])
def test_the_plan_tells_what_comes_back_from_what_does_not(project: Project, text: str) -> None:
    said = shipped(project, f=F + ONE_MORE) and shipped(project, f=text)
    assert '      public.f(integer): dropped and created anew (function "f" already' in said
    assert "      public.g(): dropped, the file no longer creates it\n" in said


# -- what must never be lost without a word ---------------------------------------

G = F.replace("CREATE", "CREATE OR REPLACE").replace("SELECT a", "SELECT a + 7")


def refused(project: Project, *options: str) -> str:
    """Return why wrap refuses; it has written nothing then."""
    before = sources(project)
    result = project.alembic("pgpipe", "wrap", *options)
    assert result.code == 1
    assert sources(project) == before
    return result.text


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_file_without_a_statement_is_not_taken_for_gone(project: Project) -> None:
    shipped(project, f=F)
    write(project, "f", "-- later\n")
    assert "alembic/routines/f.sql: there is no statement in this file" in refused(project)


@pytest.mark.usefixtures("shared_rehearsal")
def test_two_files_do_not_create_one_object(project: Project) -> None:
    shipped(project, f=F)
    write(project, "g", G)
    said = refused(project)
    assert "g.sql: alembic/routines/f.sql creates public.f(integer) as well" in said


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_file_that_is_renamed_and_edited_at_once_keeps_its_object(project: Project) -> None:
    shipped(project, f=F)
    write(project, "f", None)
    shipped(project, "--drop", g=G)
    assert project.scalar("SELECT f(1)") == 8


def test_two_files_do_not_share_the_names_of_their_snapshots(project: Project) -> None:
    write(project, "a.b", F)
    write(project, "a/b", V)
    assert "rename one" in refused(project)


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_shared_revision_ends_each_text(project: Project) -> None:
    shipped(project, "--together", f=F.strip().rstrip(";"), v=V.strip().rstrip(";") + " -- v")
    assert project.scalar("SELECT one FROM v") == 1
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


@pytest.mark.usefixtures("shared_rehearsal")
@pytest.mark.parametrize("line", ["-- pgpipe: lock_timeout = 5s\n", "SET search_path = app;\n"])
def test_a_shared_revision_has_no_settings_of_one_text(project: Project, line: str) -> None:
    write(project, "f", line + F)
    write(project, "v", V)
    assert "take " in refused(project, "--together")


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_rule_from_elsewhere_is_not_lost_with_its_view(project: Project) -> None:
    shipped(project, v="CREATE VIEW public.v AS SELECT 1 AS a, 2 AS b;\n")
    project.wrapped(r="CREATE RULE vi AS ON INSERT TO public.v DO INSTEAD NOTHING;\n")
    write(project, "v", "CREATE VIEW public.v AS SELECT 1 AS a;\n")
    assert "rule vi on view public.v" in refused(project)
