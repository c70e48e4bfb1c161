"""Routine files that change once more, where the database has gone its own way since."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Connection

from alembic_pgpipe.objects.held import DatabaseObject, read_objects
from alembic_pgpipe.shipping import stage
from alembic_pgpipe.shipping.stage import Stage
from tests.integration.shipping.test_shipping import (
    F_WIDER,
    F,
    shipped,
    signatures,
    sources,
    write,
)
from tests.project import Project
from tests.roles import new_role

pytestmark = pytest.mark.usefixtures("shared_rehearsal")
OR_REPLACE = F.replace("CREATE", "CREATE OR REPLACE")
# The server refuses that under OR REPLACE: the function is dropped and created anew.
OTHER_NAME = F.replace("a int", "b int").replace("SELECT a", "SELECT b")
V = "CREATE VIEW public.v AS SELECT 1 AS a, 2 AS b;\n"
NARROW = "CREATE VIEW public.v AS SELECT 1 AS a;\n"
M = "CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a;\n"
T = "CREATE TABLE public.t (a int);\n"
TF = (
    "CREATE FUNCTION public.tf() RETURNS trigger LANGUAGE plpgsql\n"
    "AS $$BEGIN RETURN NEW; END$$;\n"
)
ON_T = "CREATE TRIGGER x BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION tf();\n"
READS_T = {
    "function": OR_REPLACE.replace("(a int)", "()").replace("SELECT a", "SELECT a FROM t"),
    "view": "CREATE OR REPLACE VIEW public.v AS SELECT a AS one FROM public.t;\n",
}
UNCHANGED = "as the project made them"


@pytest.fixture(autouse=True)
def ledger(project: Project) -> None:
    project.configure(schema="ledger")
    project.query("CREATE SCHEMA ledger")


@pytest.fixture
def app(project: Project) -> Iterator[str]:
    """Give a role of the test's own to the server."""
    with new_role(project, "app_") as name:
        yield name


# -- the old text, which cannot be run any more ------------------------------------------------


@pytest.mark.parametrize("kind", READS_T)
def test_a_file_may_name_the_new_name_of_a_column(project: Project, kind: str) -> None:
    project.source("t", T)
    shipped(project, x=READS_T[kind])
    project.source("t2", "ALTER TABLE t RENAME a TO b;\n", "ALTER TABLE t RENAME b TO a;\n")
    shipped(project, x=READS_T[kind].replace("SELECT a", "SELECT b"))
    project.query("INSERT INTO t VALUES (7)")
    asked = {"function": "SELECT f()", "view": "SELECT one FROM v"}[kind]
    assert project.scalar(asked) == 7
    project.ok("downgrade", "-2")
    assert project.scalar(asked) == 7
    project.ok("upgrade", "head")
    assert project.scalar(asked) == 7


def test_the_file_of_a_trigger_goes_after_its_table(project: Project) -> None:
    project.source("t", T)
    shipped(project, tf=TF, tr=ON_T)
    project.source("t2", "DROP TABLE public.t;\n", T)
    said = shipped(project, "--drop", tr=None)
    assert "the file is gone, and what it created was gone before" in said
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    project.ok("downgrade", "-2")
    project.ok("upgrade", "head")
    project.source("t3", T)
    shipped(project, tr=ON_T)
    assert project.scalar("SELECT count(*) FROM pg_trigger WHERE tgname = 'x'") == 1


def test_the_other_query_of_a_view_that_is_made_if_it_is_not_there_counts(
    project: Project,
) -> None:
    text = M.replace("VIEW", "VIEW IF NOT EXISTS")
    shipped(project, m=text)
    said = shipped(project, m=text.replace("1 AS", "2 AS"))
    assert "public.m: dropped and created anew (it is there already)" in said
    assert project.scalar("SELECT a FROM m") == 2
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT a FROM m") == 1


# -- what the database knows of an object, where it is created anew ----------------------------


def test_a_column_goes_with_the_comment_and_grants_that_the_database_has(
    project: Project, app: str
) -> None:
    shipped(project, v=V)
    project.query(f"COMMENT ON COLUMN v.b IS 'bee'; GRANT SELECT (a, b) ON v TO {app}")
    shipped(project, v=NARROW)
    may = "SELECT has_column_privilege(%s, 'v', 'a', 'SELECT')"
    assert project.scalar(may, app)


def test_a_column_goes_with_the_comment_that_the_file_gave_it(project: Project) -> None:
    shipped(project, v=f"{V}COMMENT ON COLUMN public.v.b IS 'bee';\n")
    shipped(project, v=NARROW)
    project.ok("downgrade", "-1")
    [row] = project.query("SELECT col_description('v'::regclass, 2), b FROM v")
    assert row == ("bee", 2)


def test_an_aggregate_of_any_rows_keeps_its_privileges(project: Project) -> None:
    text = "CREATE AGGREGATE public.n(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');\n"
    shipped(project, n=text)
    project.query("REVOKE ALL ON FUNCTION n() FROM PUBLIC")
    shipped(project, n=text.replace("'0'", "'5'"))
    assert project.scalar("SELECT n(*)") == 6
    assert not project.scalar("SELECT has_function_privilege('public', 'n()', 'EXECUTE')")


def test_default_privileges_neither_give_nor_take_where_something_comes_back(
    project: Project, app: str
) -> None:
    project.source("t", T)
    shipped(project, f=F, v=V, tf=TF, tr=ON_T)
    may = (
        "SELECT has_function_privilege(%s, (SELECT oid FROM pg_proc WHERE proname = 'f'), "
        "'EXECUTE'), has_table_privilege(%s, 'v', 'SELECT')"
    )
    project.query(
        f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {app};"
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
        "COMMENT ON TRIGGER x ON t IS 'by hand'"
    )
    later = ON_T.replace("TRIGGER x BEFORE", "CONSTRAINT TRIGGER x AFTER")
    shipped(project, f=OTHER_NAME, v=NARROW, tr=later)
    assert project.query(may, app, app) == [(True, False)]
    said = "SELECT obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgname = 'x'"
    assert project.scalar(said) == "by hand"


def test_a_materialized_view_that_could_be_read_can_be_read_again(project: Project) -> None:
    shipped(project, f=F, m=M.replace("1 AS a", "public.f(1) AS a WITH NO DATA"))
    project.query("REFRESH MATERIALIZED VIEW m")
    shipped(project, f=OTHER_NAME)
    assert project.scalar("SELECT a FROM m") == 1


def test_a_refresh_is_no_change_of_a_definition(project: Project) -> None:
    shipped(project, m=M.replace(" AS a", " AS a WITH NO DATA"))
    project.query("REFRESH MATERIALIZED VIEW m")
    assert UNCHANGED in project.ok("pgpipe", "status", "--routines").output
    project.query("DROP MATERIALIZED VIEW m; CREATE MATERIALIZED VIEW m AS SELECT 2 AS a")
    said = project.ok("pgpipe", "status", "--routines").output
    assert "public.m" in said and UNCHANGED not in said


def test_an_old_function_in_another_schema_is_not_left_over_without_a_word(
    project: Project,
) -> None:
    assert isinstance(project.url, URL)
    project.query("CREATE SCHEMA app")
    project.query(f"ALTER DATABASE {project.url.database} SET search_path = app, public")
    shipped(project, f=F.replace("public.", ""))
    write(project, "f", F_WIDER.replace("public.", ""))
    project.ok("pgpipe", "wrap")
    result = project.upgrade()
    assert result.code != 0
    assert "f(integer) is in another schema here than where it was tried" in result.text
    assert signatures(project) == ["f(integer)"]


@pytest.mark.parametrize("path", ["app", "app, public"])
def test_what_has_the_same_name_in_another_schema_is_not_dropped_in_its_place(
    project: Project, path: str
) -> None:
    assert isinstance(project.url, URL)
    project.query("CREATE SCHEMA app; CREATE FUNCTION public.f(integer) RETURNS int RETURN 0")
    project.query(f"ALTER DATABASE {project.url.database} SET search_path = {path}")
    shipped(project, f=F.replace("public.", ""))
    before = signatures(project)
    assert len(before) == 2
    down = project.alembic("downgrade", "-1")
    assert down.code != 0 and "in another schema here than where it was tried" in down.text
    write(project, "f", F_WIDER.replace("public.", ""))
    project.ok("pgpipe", "wrap")
    up = project.upgrade()
    assert up.code != 0 and "in another schema here than where it was tried" in up.text
    assert signatures(project) == before


def test_a_text_that_names_its_schema_is_dropped_there_whatever_the_path(
    project: Project,
) -> None:
    assert isinstance(project.url, URL)
    project.query("CREATE SCHEMA app; CREATE FUNCTION app.f(integer) RETURNS int RETURN 0")
    project.query(f"ALTER DATABASE {project.url.database} SET search_path = app, public")
    shipped(project, f=F)
    write(project, "f", F_WIDER)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert "astray" not in "".join(
        path.read_text() for path in (project.folder / "alembic/sql").glob("f.v*.sql")
    )
    project.ok("downgrade", "base")
    left = project.query(
        "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname = 'f'"
    )
    assert left == [("app",)]


def test_a_text_with_a_path_of_its_own_is_taken_back_there(project: Project) -> None:
    project.query("CREATE SCHEMA app")
    project.source("a", "CREATE SCHEMA IF NOT EXISTS app;\n")
    text = F.replace("public.", "")
    shipped(project, f=f"SET search_path = app;\n{text}")
    project.ok("downgrade", "-1")
    assert signatures(project) == []


def test_a_path_of_its_own_that_leads_where_it_was_tried_is_no_other_one(
    project: Project,
) -> None:
    assert isinstance(project.url, URL)
    project.query("CREATE SCHEMA app")
    project.query(f"ALTER DATABASE {project.url.database} SET search_path = app, public")
    shipped(project, f=f"SET search_path = public;\n{F.replace('public.', '')}")
    assert len(signatures(project)) == 1
    project.ok("downgrade", "-1")
    assert signatures(project) == []


def test_a_trigger_is_where_its_table_is_found(project: Project) -> None:
    assert isinstance(project.url, URL)
    project.query("CREATE SCHEMA app")
    project.query(f"ALTER DATABASE {project.url.database} SET search_path = app, public")
    project.source("0_table", "CREATE TABLE public.t (id int);\n")
    trigger = "CREATE TRIGGER trg BEFORE {} ON t FOR EACH ROW EXECUTE FUNCTION public.tf();\n"
    shipped(project, tf=TF, trg=trigger.format("INSERT"))
    write(project, "trg", trigger.format("UPDATE"))
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    project.ok("downgrade", "-1")
    project.query("CREATE TABLE app.t (id int)")
    said = project.upgrade()
    assert said.code != 0 and "trg ON public.t is in another schema here" in said.text


def test_a_drop_of_what_is_not_there_is_none(project: Project) -> None:
    write(project, "f", F)
    project.ok("pgpipe", "wrap")
    project.ok("pgpipe", "skip", "f.v001", "--reason", "not here")
    project.ok("upgrade", "head")
    write(project, "f", F_WIDER)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert signatures(project) == ["f(integer,integer)"]


BY_HAND = {
    "trigger i on public.v": (
        "CREATE TRIGGER i INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION tf()",
        "DROP TRIGGER i ON v",
    ),
    "rule r on public.v": (
        "CREATE RULE r AS ON DELETE TO v DO INSTEAD NOTHING",
        "DROP RULE r ON v",
    ),
    "default value for public.v.a": (
        "ALTER VIEW v ALTER a SET DEFAULT 5",
        "ALTER VIEW v ALTER a DROP DEFAULT",
    ),
    "index public.mi": ("CREATE UNIQUE INDEX mi ON m (a)", "DROP INDEX mi"),
    "statistics object public.s": ("CREATE STATISTICS s ON a, b FROM m", "DROP STATISTICS s"),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_hangs_on_a_view_in_one_database_alone_stops_the_revision(
    project: Project, what: str
) -> None:
    made, dropped = BY_HAND[what]
    m = M.replace(" AS a", " AS a, 2 AS b") + "CREATE INDEX ours ON public.m (a);\n"
    shipped(project, v=V, m=m, tf=TF)
    project.query(made)
    for name, text in {"v": NARROW, "m": m.replace("1 AS", "3 AS")}.items():
        write(project, name, text)
    project.ok("pgpipe", "wrap")
    result = project.upgrade()
    assert result.code != 0
    assert f"{what}: only this database has it, and it would be lost" in result.text
    assert "Drop it here, then run again" in result.text
    project.query(dropped)
    project.ok("pgpipe", "retry")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT a FROM m") == 3
    project.query(made)
    down = project.alembic("downgrade", "base")
    assert f"{what}: only this database has it" in down.text


# -- the way back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "CREATE OR REPLACE VIEW public.v AS SELECT 1 AS a, 2 AS b, 3 AS c;\n",
        OR_REPLACE.replace("a int", "a int DEFAULT 3"),
    ],
    ids=["view", "function"],
)
def test_what_a_file_took_over_and_widened_goes_back(project: Project, text: str) -> None:
    project.wrapped(a1=V + F)
    shipped(project, x=text)
    project.ok("downgrade", "-1")
    columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'v'::regclass AND attnum > 0"
    usual = "SELECT pronargdefaults FROM pg_proc WHERE proname = 'f'"
    assert (project.scalar(columns), project.scalar(usual)) == (2, 0)


def test_what_a_file_took_over_gets_its_privileges_and_comment_back(project: Project) -> None:
    project.wrapped(a1=F)
    more = "REVOKE ALL ON FUNCTION f FROM PUBLIC; COMMENT ON FUNCTION f IS 'x';\n"
    shipped(project, f=OR_REPLACE + more)
    known = (
        "SELECT has_function_privilege('public', oid, 'EXECUTE'), "
        "obj_description(oid, 'pg_proc') FROM pg_proc WHERE proname = 'f'"
    )
    assert project.query(known) == [(False, "x")]
    project.ok("downgrade", "-1")
    assert project.query(known) == [(True, None)]


def test_a_downgrade_gives_the_owner_back(project: Project, app: str) -> None:
    owner = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'f'"
    shipped(project, f=OR_REPLACE)
    before = project.scalar(owner)
    shipped(project, f=f"{OR_REPLACE}ALTER FUNCTION f(int) OWNER TO {app};\n")
    assert project.scalar(owner) == app
    project.ok("downgrade", "-1")
    assert project.scalar(owner) == before


@pytest.mark.parametrize("ours", [True, False], ids=["changed", "taken over"])
def test_a_downgrade_takes_a_rule_and_a_default_of_a_view_back(
    project: Project, ours: bool
) -> None:
    view = V.replace("CREATE", "CREATE OR REPLACE")
    if ours:
        shipped(project, v=view)
    else:
        project.wrapped(a1=V)
    project.wrapped(w="CREATE VIEW public.w AS SELECT a FROM public.v;\n")
    rule = "CREATE RULE r AS ON DELETE TO v DO INSTEAD NOTHING;\n"
    shipped(project, v=f"{view}{rule}ALTER VIEW v ALTER a SET DEFAULT 5;\n")
    count = (
        "SELECT (SELECT count(*) FROM pg_rules WHERE rulename = 'r'), "
        "(SELECT count(*) FROM pg_attrdef WHERE adrelid = 'v'::regclass)"
    )
    assert project.query(count) == [(1, 1)]
    project.ok("downgrade", "-1")
    assert project.query(count) == [(0, 0)]


def test_a_downgrade_that_cannot_be_done_is_no_way_back(project: Project) -> None:
    project.source("t", T)
    project.ok("pgpipe", "wrap")
    text = F.replace("LANGUAGE sql", "LANGUAGE sql IMMUTABLE")
    write(project, "f", f"{text}CREATE INDEX ti ON public.t (public.f(a));\n")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert (
        "alembic/routines/f.sql: its downgrade would not end well: cannot drop function "
        "f(integer) because other objects depend on it index ti depends on"
    ) in result.text
    assert sources(project) == {"t.sql"}


# -- names as the server has them --------------------------------------------------------------


ARGUMENTS = (
    "a text DEFAULT $$x, y)$$",
    "a public.t.a%TYPE",
    "a pg_catalog.int4",
    "a dec(3, 2)",
    "a float(10)",
    "a bpchar",
    "a interval day to second",
    "a int[3][3]",
)


def test_a_signature_is_known_again_however_it_is_spelled(project: Project) -> None:
    project.source("t", T)
    function = "CREATE FUNCTION public.{}({}) RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    texts = {f"f{n}": function.format(f"f{n}", text) for n, text in enumerate(ARGUMENTS)}
    shipped(project, **texts)
    said = project.ok("pgpipe", "status", "--routines").output
    assert f"{len(ARGUMENTS)} objects compared" in said
    project.ok("pgpipe", "pull", *texts)
    files = {path.stem for path in (project.folder / "alembic/routines").rglob("*.sql")}
    assert files == set(texts)


@pytest.mark.parametrize("name", ["ÄPFEL", "very_" * 14])
def test_a_name_is_known_again_however_the_server_keeps_it(project: Project, name: str) -> None:
    shipped(project, f=F.replace("public.f", f"public.{name}"))
    assert "1 object compared" in project.ok("pgpipe", "status", "--routines").output


# -- a text with a DROP of its own -------------------------------------------------------------


def test_a_new_file_takes_no_view_of_others_along(project: Project) -> None:
    project.wrapped(a1=f"{V}CREATE VIEW public.w AS SELECT a FROM public.v;\n")
    write(project, "v", f"DROP VIEW IF EXISTS public.v CASCADE;\n{V}")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    said = "alembic/routines/v.sql: its own DROP takes along what this file does not create"
    assert f"{said} again: VIEW public.w" in result.text


PARTS = {
    "default value for column a of table public.t": "a int DEFAULT public.f(1)",
    "constraint t_a_check on table public.t": "a int CHECK (public.f(a) > 0)",
    "column b of table public.t": "b int GENERATED ALWAYS AS (public.f(1)) STORED",
    "index public.i": "a int); CREATE INDEX i ON public.t (public.f(a)",
}


@pytest.mark.parametrize("part", PARTS)
def test_a_changed_file_takes_no_part_of_a_table_along(project: Project, part: str) -> None:
    text = F.replace("LANGUAGE", "IMMUTABLE LANGUAGE")
    shipped(project, f=text)
    project.wrapped(t=f"CREATE TABLE public.t ({PARTS[part]});\n")
    changed = text.replace("SELECT a", "SELECT a + 1")
    write(project, "f", f"DROP FUNCTION IF EXISTS public.f(int) CASCADE;\n{changed}")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert part in result.text
    shipped(project, f=changed.replace("CREATE", "CREATE OR REPLACE"))
    assert project.scalar("SELECT f(1)") == 2


def test_a_file_may_drop_what_it_creates_again(project: Project) -> None:
    text = (
        f"DROP MATERIALIZED VIEW IF EXISTS public.m CASCADE;\n{M}"
        "CREATE INDEX mi ON public.m (a);\nCREATE VIEW public.v AS SELECT a FROM public.m;\n"
    )
    shipped(project, m=text)
    shipped(project, m=text.replace("1 AS", "2 AS"))
    assert project.scalar("SELECT a FROM v") == 2


# -- domains and policies ----------------------------------------------------------------------


def test_a_check_that_a_domain_gets_by_a_statement_of_its_own_can_change(
    project: Project, app: str
) -> None:
    add = "ALTER DOMAIN public.d ADD CONSTRAINT c CHECK (VALUE > 0);\n"
    text = f"CREATE DOMAIN public.d AS int;\n{add}ALTER DOMAIN public.d OWNER TO {app};\n"
    shipped(project, d=text)
    project.wrapped(t="CREATE TABLE public.t (a public.d);\n")
    shipped(project, d=text.replace("> 0", "> 1"))
    check = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c'"
    assert project.scalar(check) == "CHECK ((VALUE > 1))"
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    project.ok("downgrade", "-1")
    assert project.scalar(check) == "CHECK ((VALUE > 0))"


def test_the_comment_on_a_check_outlives_its_change(project: Project) -> None:
    text = "CREATE DOMAIN public.d AS int CONSTRAINT c CHECK (VALUE > 0);\n"
    shipped(project, d=text)
    project.wrapped(t="CREATE TABLE public.t (a public.d);\n")
    comment = "SELECT obj_description(oid) FROM pg_constraint WHERE conname = 'c'"
    shipped(project, d=text.replace("> 0", "> 1"))
    assert project.scalar(comment) is None
    project.query("COMMENT ON CONSTRAINT c ON DOMAIN d IS 'it''s by hand'")
    shipped(project, d=text.replace("> 0", "> 2"))
    assert project.scalar(comment) == "it's by hand"
    project.ok("downgrade", "-1")
    assert project.scalar(comment) == "it's by hand"


def test_what_a_downgrade_would_leave_on_without_its_policies_is_refused(
    project: Project,
) -> None:
    project.wrapped(t=T)
    write(project, "p", "CREATE POLICY p ON t;\nALTER TABLE t ENABLE ROW LEVEL SECURITY;\n")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "alembic/routines/p.sql:2:1: ALTER TABLE makes no routine" in result.text
    shipped(project, p="CREATE POLICY p ON t;\n")


# -- retry -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--together", "-m", "x")], ids=["alone", "together"])
def test_a_skipped_version_is_not_put_over_a_newer_one(
    project: Project, options: tuple[str, ...]
) -> None:
    shipped(project, f=OR_REPLACE)
    write(project, "f", OR_REPLACE.replace("SELECT a", "SELECT a + 2"))
    project.ok("pgpipe", "wrap", *options)
    skipped = project.ok("heads").output.split()[0]
    project.ok("pgpipe", "skip", skipped, "--reason", "fails on prod")
    project.ok("upgrade", "head")
    shipped(project, f=OR_REPLACE.replace("SELECT a", "SELECT a + 3"))
    result = project.alembic("pgpipe", "retry", skipped)
    assert result.code == 1
    assert "would be put over f.v003, a newer version of it that is applied" in result.errors
    project.ok("upgrade", "head")
    assert project.scalar("SELECT f(0)") == 3
    result = project.alembic("downgrade", "-1")
    assert result.code == 1
    assert f"brings back {skipped}" in result.text
    assert project.scalar("SELECT f(0)") == 3


def test_a_mend_of_a_failed_snapshot_is_told_to_be_made_in_its_file_too(
    project: Project,
) -> None:
    shipped(project, f=OR_REPLACE)
    project.query("CREATE VIEW by_hand AS SELECT f(1) AS a")
    write(project, "f", OTHER_NAME)
    project.ok("pgpipe", "wrap")
    said = (
        "edit alembic/sql/f.v002.sql, and the routine file that it is a copy of likewise, and "
        "run again"
    )
    assert said in project.upgrade().text
    assert said in project.alembic("pgpipe", "status").text
    mended = OR_REPLACE.replace("SELECT a", "SELECT a + 5")
    project.write("alembic/sql/f.v002.sql", mended)
    write(project, "f", mended)
    project.ok("upgrade", "head")
    assert project.scalar("SELECT f(0)") == 5
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


# -- what counts as a change -------------------------------------------------------------------


def test_a_directive_alone_is_shipped(project: Project, app: str) -> None:
    shipped(project, f=OR_REPLACE)
    project.query(f"GRANT CREATE ON SCHEMA public TO {app}; DROP FUNCTION f")
    shipped(project, f=f"-- pgpipe: role = {app}\n{OR_REPLACE}")
    owner = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'f'"
    assert project.scalar(owner) == app
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


@pytest.mark.parametrize("ours", ["1", "2"])
def test_what_two_branches_have_changed_is_what_the_file_says(
    project: Project, ours: str
) -> None:
    def text(name: str, number: str) -> str:
        return OR_REPLACE.replace("public.f", f"public.{name}").replace("T a", f"T {number}")

    shipped(project, **{name: text(name, "0") for name in "fgh"})
    alembic, base = project.folder / "alembic", project.folder / "base"
    shutil.copytree(alembic, base)
    for number, other in (("1", "g"), ("2", "h")):
        for name in ("f", other):
            write(project, name, text(name, number))
        project.ok("pgpipe", "wrap", "--together", "-m", f"branch {number}")
        shutil.move(alembic, project.folder / number)
        shutil.copytree(base, alembic)
    for number in "12":
        shutil.copytree(project.folder / number, alembic, dirs_exist_ok=True)
    for name, number in {"f": ours, "g": "1", "h": "2"}.items():
        write(project, name, text(name, number))
    project.ok("pgpipe", "wrap", "--merge")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT f(9)") == int(ours)


# -- what a file no longer gives or says ------------------------------------------------------

GIVEN = (
    "GRANT SELECT, INSERT ON public.v TO {0};\nGRANT UPDATE (b) ON public.v TO {0};\n"
    "COMMENT ON VIEW public.v IS 'seen';\nCOMMENT ON COLUMN public.v.a IS 'it''s one';\n"
)
OF_V = (
    "SELECT has_table_privilege(%s, 'v', 'INSERT'), obj_description('v'::regclass, "
    "'pg_class'), col_description('v'::regclass, 1)"
)


def test_what_a_file_no_longer_gives_or_says_is_told_with_what_takes_it_back(
    project: Project, app: str
) -> None:
    view = V.replace("CREATE", "CREATE OR REPLACE")
    shipped(project, v=view + GIVEN.format(app))
    kept = f"GRANT SELECT ON public.v TO {app};\n"
    said = shipped(project, v=view + kept)
    taking = (
        f"REVOKE INSERT ON TABLE public.v FROM {app}; "
        f"REVOKE UPDATE (b) ON TABLE public.v FROM {app}; COMMENT ON VIEW public.v IS NULL; "
        "COMMENT ON COLUMN public.v.a IS NULL;"
    )
    assert "public.v keeps what the file no longer says. To take it back, write: " in said
    assert taking in said
    assert project.query(OF_V, app) == [(True, "seen", "it's one")]
    assert "keeps" not in shipped(project, v=f"{view}{kept}{taking}\n")
    assert project.query(OF_V, app) == [(False, None, None)]


def test_what_is_worded_otherwise_is_still_given(project: Project, app: str) -> None:
    view = V.replace("CREATE", "CREATE OR REPLACE")
    shipped(project, v=view + GIVEN.format(app))
    other = f"GRANT ALL ON v TO {app};\n{GIVEN.format(app).replace('VIEW public.v', 'VIEW v')}"
    assert "keeps" not in shipped(project, v=view + other.replace("SELECT, INSERT", "INSERT"))


def test_what_another_source_gives_is_not_the_file_s_to_take_back(
    project: Project, app: str
) -> None:
    shipped(project, f=f"{OR_REPLACE}COMMENT ON FUNCTION f IS 'x';\n")
    project.wrapped(g=f"GRANT EXECUTE ON FUNCTION f TO {app};\n")
    said = shipped(project, f=OR_REPLACE)
    assert "write: COMMENT ON FUNCTION public.f(integer) IS NULL;\n" in said


def test_what_is_not_given_by_default_is_told_too(project: Project) -> None:
    project.wrapped(a1="ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;\n")
    shipped(project, f=f"{OR_REPLACE}GRANT EXECUTE ON FUNCTION f TO PUBLIC;\n")
    said = shipped(project, f=OR_REPLACE)
    assert "write: REVOKE EXECUTE ON FUNCTION public.f(integer) FROM PUBLIC;\n" in said


def test_what_is_given_by_default_is_not_told(project: Project, app: str) -> None:
    column = f"GRANT UPDATE (a) ON v TO {app};\n"
    view = V.replace("CREATE", "CREATE OR REPLACE")
    given = f"GRANT SELECT ON v TO {app};\nREVOKE SELECT ON v FROM {app};\n"
    w = view.replace("public.v", "public.w") + "GRANT SELECT ON w TO PUBLIC;\n"
    own = f"ALTER VIEW w OWNER TO {app};\nGRANT SELECT ON w TO {app};\n"
    execute = f"{OR_REPLACE}GRANT EXECUTE ON FUNCTION f TO PUBLIC;\n"
    shipped(project, v=view + given + column, f=execute, w=w + own)
    assert "keeps" not in shipped(project, v=view + column, f=OR_REPLACE, w=w)


def test_a_text_that_needs_what_depends_on_it_is_shipped_all_the_same(project: Project) -> None:
    view = "CREATE VIEW public.v AS SELECT public.f(1) AS a;\n"
    shipped(project, f=f"{OR_REPLACE}COMMENT ON FUNCTION f IS 'x';\n", v=view)
    shipped(project, f=OR_REPLACE.replace("SELECT a", "SELECT count(*)::int FROM public.v"))
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT a FROM v") == 1


def test_a_text_that_tells_its_schema_by_a_call_is_shipped_all_the_same(
    project: Project,
) -> None:
    project.wrapped(a1="CREATE SCHEMA app;\n")
    text = f"SELECT set_config('search_path', 'app', true);\n{OR_REPLACE}".replace(
        "public.", ""
    )
    shipped(project, f=f"{text}COMMENT ON FUNCTION f IS 'x';\n")
    shipped(project, f=text.replace("SELECT a", "SELECT a + 1"))
    assert project.scalar("SELECT app.f(1)") == 2


def test_an_heir_keeps_what_the_file_no_longer_gives(project: Project, app: str) -> None:
    given = "GRANT EXECUTE ON FUNCTION f(int) TO {0};\nCOMMENT ON FUNCTION f(int) IS 'x';\n"
    shipped(project, f=F + given.format(app))
    said = shipped(project, f=F_WIDER)
    assert (
        f"write: REVOKE EXECUTE ON FUNCTION public.f(integer,integer) FROM {app}; "
        "COMMENT ON FUNCTION public.f(integer,integer) IS NULL;\n"
    ) in said


# -- speed -------------------------------------------------------------------------------------


def test_one_change_among_many_files_looks_at_few_of_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        write(project, f"f{number}", F.replace("public.f", f"public.f{number}"))
    write(project, "v", "CREATE VIEW public.v AS SELECT public.f7(1) AS one;\n")
    project.ok("pgpipe", "wrap", "--together", "-m", "all")
    write(project, "f3", OTHER_NAME.replace("public.f", "public.f3"))
    project.ok("pgpipe", "wrap")  # brings the rehearsal to the head
    write(project, "f7", OTHER_NAME.replace("public.f", "public.f7"))
    tried: list[str] = []
    created_by = Stage.created_by

    def counted(tried_on: Stage, text: str, path: str) -> tuple[DatabaseObject, ...]:
        tried.append(path)
        return created_by(tried_on, text, path)

    monkeypatch.setattr(Stage, "created_by", counted)
    project.ok("pgpipe", "wrap")
    assert len(tried) < 20
    assert "f7.v002.sql" in sources(project)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Note each look at all that the rehearsal holds."""
    noted: list[Connection] = []

    def counted(connection: Connection) -> tuple[DatabaseObject, ...]:
        noted.append(connection)
        return read_objects(connection)

    monkeypatch.setattr(stage, "read_objects", counted)
    return noted


def test_a_first_wrap_of_many_files_tries_each_of_them_once(
    project: Project, looks: list[Connection]
) -> None:
    count = 30
    for number in range(count):
        needed = f"public.v{number + 1}" if number + 1 < count else "(SELECT 1 AS a) AS last"
        text = f"CREATE VIEW public.v{number} AS SELECT a FROM {needed};\n"
        write(project, f"{number:02}", f"{text}COMMENT ON VIEW public.v{number} IS 'one';\n")
    project.ok("pgpipe", "wrap")
    assert len(looks) <= 6 * count
    project.ok("upgrade", "head")
    assert project.scalar("SELECT a FROM v0") == 1


def test_many_files_that_are_replaced_are_not_tried_over_and_over(
    project: Project, looks: list[Connection]
) -> None:
    count = 15
    for number in range(count):
        write(project, f"f{number}", F.replace("public.f", f"public.f{number}"))
    shipped(project)
    for number in range(count):
        write(project, f"f{number}", OTHER_NAME.replace("public.f", f"public.f{number}"))
    looks.clear()
    project.ok("pgpipe", "wrap")
    assert len(looks) <= 25 * count


# -- a version that was taken back, and skipped ------------------------------------------------

ANSWERS = (
    "CREATE OR REPLACE FUNCTION public.answer() RETURNS int LANGUAGE sql AS 'SELECT {}';\n"
)


@pytest.fixture
def kept_out(project: Project) -> Project:
    """Give a routine whose second version is skipped, and whose third is applied."""
    shipped(project, answer=ANSWERS.format(1))
    shipped(project, answer=ANSWERS.format(2))
    project.ok("downgrade", "-1")
    project.ok("pgpipe", "skip", "answer.v002", "--reason", "it was wrong")
    project.ok("upgrade", "head")
    shipped(project, answer=ANSWERS.format(3))
    assert project.scalar("SELECT answer()") == 3
    return project


@pytest.mark.parametrize("target", ["-1", "-2"])
def test_an_undo_that_brings_a_skipped_version_back_is_refused(
    kept_out: Project, target: str
) -> None:
    result = kept_out.alembic("downgrade", target)
    assert result.code == 1
    assert "its undo, answer.v002.sql, brings back" in result.text
    assert "(answer.v002), which is SKIPPED here" in result.text
    assert kept_out.scalar("SELECT answer()") == 3


def test_an_undo_that_somebody_wrote_for_that_is_run(kept_out: Project) -> None:
    kept_out.write("alembic/sql/answer.v003.down.sql", ANSWERS.format(1))
    (wrapper,) = kept_out.folder.glob("alembic/versions/*_answer_v003.py")
    text = wrapper.read_text().replace(
        "undo = 'answer.v002.sql'", "undo = 'answer.v003.down.sql'"
    )
    wrapper.write_text(text)
    kept_out.ok("downgrade", "-1")
    assert kept_out.scalar("SELECT answer()") == 1


def test_a_downgrade_that_goes_below_the_skipped_version_is_run(kept_out: Project) -> None:
    kept_out.ok("downgrade", "base")
    assert kept_out.scalar("SELECT to_regproc('answer')") is None


def test_what_a_skipped_version_would_leave_behind_keeps_it_from_being_passed(
    project: Project,
) -> None:
    shipped(project, answer=ANSWERS.format(1))
    with_argument = ANSWERS.replace("answer()", "answer(x int)")
    shipped(project, answer=with_argument.format(2))
    project.ok("downgrade", "-1")
    project.ok("pgpipe", "skip", "answer.v002", "--reason", "it was wrong")
    project.ok("upgrade", "head")
    shipped(project, answer=with_argument.format(3))
    result = project.alembic("downgrade", "base")
    assert result.code == 1
    assert "(answer.v002), which is SKIPPED here" in result.text
    assert project.scalar("SELECT answer(1)") == 3


def test_a_skipped_version_among_several_does_not_come_back(project: Project) -> None:
    other = ANSWERS.replace("answer", "other")
    shipped(project, answer=ANSWERS.format(1), other=other.format(1))
    texts = {"answer": ANSWERS.format(2), "other": other.format(2)}
    shipped(project, "--together", "-m", "both", **texts)
    project.ok("downgrade", "-1")
    both = project.ok("heads").output.split()[0]
    project.ok("pgpipe", "skip", both, "--reason", "it was wrong")
    shipped(project, answer=ANSWERS.format(3))
    result = project.alembic("downgrade", "-1")
    assert result.code == 1
    assert "which is SKIPPED here" in result.text
    assert project.scalar("SELECT answer()") == 3


def test_a_snapshot_that_cannot_be_read_holds_up_no_other(project: Project) -> None:
    texts = {name: ANSWERS.replace("answer", name).format(1) for name in ("one", "two")}
    shipped(project, "--together", "-m", "both", **texts)
    shipped(project, answer=ANSWERS.format(1))
    (snapshot,) = project.folder.glob("alembic/sql/*.routines.sql")
    snapshot.write_bytes(b"\xff")
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT to_regproc('answer')") is None
