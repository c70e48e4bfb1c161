"""Routine files as people write them on a bad day: nothing is lost, and nothing half done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.histories import Dump
from tests.integration.shipping.test_shipping import (
    F_WIDER,
    F,
    V,
    dump,
    schema,
    shipped,
    signatures,
    sources,
    write,
)
from tests.project import Project
from tests.roles import new_role

__all__ = ["dump"]
pytestmark = pytest.mark.usefixtures("shared_rehearsal")
TOGETHER = "--together"
OR_REPLACE = F.replace("CREATE", "CREATE OR REPLACE")


@pytest.fixture(autouse=True)
def ledger(project: Project) -> None:
    """Keep our own tables out of the dumps."""
    project.configure(schema="ledger")
    project.query("CREATE SCHEMA ledger")


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role of the test's own to the server, which the rehearsal's has not."""
    with new_role(project, "odd_", "SUPERUSER") as name:
        yield name


def there_and_back(
    project: Project, dump: Dump, *steps: Mapping[str, str | None], options: Sequence[str] = ()
) -> None:
    """Ship each step, and see that the way down and up passes through the same states."""
    project.wrapped(a0="SELECT 1;\n")
    project.ok("upgrade", "head")
    states = [(head(project), schema(project, dump))]
    for step in steps:
        shipped(project, "--drop", *options, **step)
        states.append((head(project), schema(project, dump)))
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    for revision, state in reversed(states[:-1]):
        project.ok("downgrade", revision)
        assert schema(project, dump) == state
    project.ok("upgrade", "head")
    assert schema(project, dump) == states[-1][1]


def head(project: Project) -> str:
    return str(project.scalar("SELECT version_num FROM ledger.alembic_version"))


def refused(project: Project, *options: str, **texts: str | None) -> str:
    """Edit working copies, see that nothing is written, and return what wrap said."""
    before = snapshots(project)
    for name, text in texts.items():
        write(project, name, text)
    result = project.alembic("pgpipe", "wrap", *options)
    assert result.code == 1, result.text
    assert snapshots(project) == before
    return result.text


def snapshots(project: Project) -> Mapping[str, bytes]:
    return {p.name: p.read_bytes() for p in (project.folder / "alembic/sql").iterdir()}


# -- one revision of several texts -------------------------------------------------------------


def test_texts_without_a_last_semicolon_share_a_revision(project: Project, dump: Dump) -> None:
    f, v = F.strip().rstrip(";"), f"{V.strip().rstrip(';')} -- the end"
    w = V.replace("public.v", "public.w")
    there_and_back(
        project,
        dump,
        {"f": f, "v": v, "w": w},
        {"f": f.replace("T a", "T a + 1"), "v": v.replace("f(1)", "f(2)"), "w": w + "\n-- w"},
        options=[TOGETHER],
    )


def test_a_text_with_a_transaction_does_not_share_a_revision(project: Project) -> None:
    texts = {"f": f"BEGIN;\n{F}COMMIT;\n", "v": V}
    said = refused(project, TOGETHER, **texts)
    assert "alembic/routines/f.sql:1:1: this change needs" in said
    assert "Without --together, each of them is a revision of its own." in said
    shipped(project, **texts)
    assert project.scalar("SELECT one FROM v") == 1


def test_what_a_header_sets_does_not_hold_for_others(project: Project, role: str) -> None:
    texts = {"f": f"-- pgpipe: role = {role}\n{F}", "v": V}
    said = refused(project, TOGETHER, **texts)
    assert "alembic/routines/f.sql: this change shares a revision" in said
    shipped(project, **texts)
    owners = project.query("SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'f'")
    assert owners == [(role,)]
    assert (
        project.scalar("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'v'")
        != role
    )


def test_what_a_header_sets_is_kept_where_a_text_is_alone(project: Project) -> None:
    timeout = "-- pgpipe: lock_timeout = 4s\n"
    domain = "CREATE DOMAIN public.d AS int CHECK (VALUE > 0);\n"
    shipped(project, f=timeout + F, d=timeout + domain)
    shipped(project, f=timeout + F_WIDER, d=timeout + domain.replace("0", "1"))
    for name in ("f.v002.sql", "f.v002.down.sql", "d.v002.sql", "d.v002.down.sql"):
        assert snapshots(project)[name].startswith(timeout.encode()), name


def test_what_the_header_of_a_dependant_sets_is_not_lost_silently(project: Project) -> None:
    shipped(project, f=F, v=f"-- pgpipe: lock_timeout = 4s\n{V}")
    said = shipped(project, f=F.replace("a int", "b int").replace("T a", "T b"))
    assert "v.sql: created again, for it depends on it; what its header sets does not" in said
    assert "every source" in project.ok("pgpipe", "wrap").output
    said = refused(project, f=F_WIDER, v=f"-- pgpipe: lock_timeout = 5s\n{V}-- changed\n")
    assert "v.sql: this change shares a revision" not in said


def test_a_setting_of_one_text_does_not_leak_into_the_next(project: Project) -> None:
    leak = "SELECT set_config('search_path', 'pg_temp', false);\n"
    said = refused(project, TOGETHER, f=leak + F, w=V.replace("public.", ""))
    assert "One revision cannot hold these changes" in said
    assert "f.v001.routines.sql" in said


def test_a_second_wrap_within_the_minute_leaves_the_first_alone(project: Project) -> None:
    options = (TOGETHER, "-m", "x")
    shipped(project, *options, f=F, g=F.replace("public.f", "public.g"))
    before = snapshots(project)
    shipped(project, *options, h=F.replace("public.f", "public.h"), v=V)
    assert before.items() < snapshots(project).items()
    assert project.scalar("SELECT h(one) FROM v") == 1


def test_a_snapshot_is_never_written_over(project: Project) -> None:
    project.write("alembic/sql/f.v001.down.sql", "-- somebody's\n")
    said = refused(project, f=F)
    assert "alembic/sql/f.v001.down.sql: there already, and a snapshot is never" in said


def test_wrappers_are_told_also_where_routines_are_refused(project: Project) -> None:
    project.source("t", "CREATE TABLE public.t (a int);\n")
    write(project, "f", F.replace("T a", "T nope"))
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "t.sql → alembic/versions/" in result.output


def test_a_role_that_only_the_databases_have_is_granted_something(
    project: Project, role: str
) -> None:
    grant = f"GRANT EXECUTE ON FUNCTION public.f(int, int) TO {role};\n"
    shipped(project, f=F)
    shipped(project, f=F_WIDER + grant)
    assert signatures(project) == ["f(integer,integer)"]
    project.wrapped(t="CREATE TABLE public.t (a int);\n")
    shipped(project, p=f"CREATE POLICY p ON public.t TO {role} USING (true);\n")
    assert sources(project) > {"p.v001.sql"}


# -- names, kinds and what hangs on an object --------------------------------------------------

ODD = '"Od%d \\ $wrap$ {} "" :x"'
TF = (
    "CREATE FUNCTION public.tf() RETURNS trigger LANGUAGE plpgsql\n"
    "AS $$BEGIN RETURN NEW; END$$;\n"
)


def test_names_of_every_kind_go_there_and_back(project: Project, dump: Dump) -> None:
    f = f"CREATE FUNCTION public.{ODD}(a int) RETURNS int LANGUAGE sql AS $$SELECT 1 % 2$$;\n"
    v = f'CREATE VIEW public."V%" AS SELECT public.{ODD}(1) AS "a%b";\n'
    wider = f.replace("(a int)", "(a int, b int)")
    there_and_back(
        project,
        dump,
        {"f": f, "v": v},
        {"f": f.replace("a int", "b int")},
        {"f": wider, "v": v.replace("(1)", "(1, 2)")},
    )


def test_triggers_go_there_and_back(project: Project, dump: Dump) -> None:
    project.wrapped(
        a='CREATE TABLE public."T on %" (a int);\n',
        b="CREATE TABLE public.p (a int) PARTITION BY RANGE (a);\n",
        c="CREATE TABLE public.q PARTITION OF public.p FOR VALUES FROM (1) TO (9);\n",
    )
    row = "FOR EACH ROW EXECUTE FUNCTION public.tf();\n"
    a = f'CREATE TRIGGER "x ON %" -- on this\nAFTER INSERT ON public."T on %" {row}'
    c = f'CREATE CONSTRAINT TRIGGER c AFTER INSERT ON public."T on %" DEFERRABLE {row}'
    p = f"CREATE TRIGGER p BEFORE INSERT ON public.p {row}"
    texts = {"tf": TF, "a": a, "c": c, "p": p}
    there_and_back(
        project,
        dump,
        texts,
        {"a": a.replace("AFTER", "BEFORE"), "p": p.replace("BEFORE", "AFTER")},
        {"c": c.replace("DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")},
        {name: text.replace("tf()", "tg()") for name, text in texts.items()},
    )


def test_a_trigger_on_a_view_does_not_make_the_view(project: Project, dump: Dump) -> None:
    view = "CREATE VIEW public.v AS SELECT 1 AS a, 2 AS b;\n"
    instead = (
        "CREATE TRIGGER i INSTEAD OF INSERT ON public.v FOR EACH ROW EXECUTE FUNCTION tf();\n"
    )
    there_and_back(
        project,
        dump,
        {"v": view, "i": TF + instead},
        {"v": view.replace(", 2 AS b", "")},
        {"i": TF + instead.replace("INSERT", "UPDATE")},
        {"i": None},
    )


def test_an_event_trigger_goes_there_and_back(project: Project, dump: Dump) -> None:
    f = "CREATE FUNCTION ef() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';\n"
    e = "CREATE EVENT TRIGGER \"E%\" ON ddl_command_end WHEN TAG IN ('CREATE VIEW')\n"
    e += "EXECUTE FUNCTION ef();\n"
    there_and_back(
        project, dump, {"e": f + e}, {"e": f + e.replace("VIEW", "TABLE")}, {"e": None}
    )


def test_a_rule_in_the_file_of_its_view_goes_there_and_back(
    project: Project, dump: Dump
) -> None:
    view = (
        "CREATE VIEW public.v AS SELECT 1 AS a, 2 AS b;\n"
        "CREATE RULE r AS ON INSERT TO public.v DO INSTEAD NOTHING;\n"
        "ALTER VIEW public.v ALTER COLUMN a SET DEFAULT 5;\n"
    )
    there_and_back(
        project,
        dump,
        {"v": view},
        {"v": view.replace(", 2 AS b", "")},
        {"v": view.replace("NOTHING", "NOTIFY x")},
    )


def test_indexes_in_the_file_are_those_that_it_has_now(project: Project, dump: Dump) -> None:
    view = "CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a, 2 AS b;\n"
    index = "CREATE UNIQUE INDEX i ON public.m (a);\n"
    dependant = "CREATE MATERIALIZED VIEW public.n AS SELECT a FROM public.m;\n"
    there_and_back(
        project,
        dump,
        {"m": view + index, "n": dependant},
        {"m": view + index.replace("(a)", "(b)")},
        {"m": view.replace("1 AS", "3 AS")},
    )


def test_what_becomes_of_another_kind_keeps_owner_and_grants(
    project: Project, role: str
) -> None:
    f = "CREATE FUNCTION public.f(a int) RETURNS void LANGUAGE sql AS 'SELECT 1';\n"
    view = "CREATE VIEW public.v AS SELECT 1 AS a;\n"
    shipped(project, f=f, v=view)
    for one in ("FUNCTION public.f(int)", "VIEW public.v"):
        project.query(f"ALTER {one} OWNER TO {role}; COMMENT ON {one} IS 'by hand'")
    project.query("GRANT SELECT ON public.v TO PUBLIC")
    before = project.query(KNOWN)
    assert before == [
        (role, None, "by hand"),
        (role, f"{{{role}=arwdDxt/{role},=r/{role}}}", "by hand"),
    ]
    procedure = f.replace("FUNCTION", "PROCEDURE").replace(" RETURNS void", "")
    shipped(project, f=procedure, v=view.replace("VIEW", "MATERIALIZED VIEW"))
    assert project.scalar("SELECT relkind FROM pg_class WHERE relname = 'v'") == "m"
    assert project.query(KNOWN) == before
    project.ok("downgrade", "-2")
    assert project.scalar("SELECT relkind FROM pg_class WHERE relname = 'v'") == "v"
    assert project.query(KNOWN) == before


KNOWN = """
SELECT proowner::regrole::text, proacl::text, obj_description(oid, 'pg_proc')
FROM pg_proc WHERE proname = 'f' UNION ALL
SELECT relowner::regrole::text, relacl::text, obj_description(oid, 'pg_class')
FROM pg_class WHERE relname = 'v'
"""


def test_an_overload_that_stays_is_no_heir(project: Project, role: str) -> None:
    other = OR_REPLACE.replace("a int", "a text").replace("SELECT a", "SELECT 1")
    shipped(project, f=OR_REPLACE + other)
    project.query(f"ALTER FUNCTION public.f(int) OWNER TO {role}")
    wider = F_WIDER.replace("CREATE", "CREATE OR REPLACE")
    shipped(project, f=wider + other)
    owner = "SELECT proowner::regrole::text FROM pg_proc WHERE oid = %s::regprocedure"
    assert project.scalar(owner, "public.f(int, int)") == role
    assert project.scalar(owner, "public.f(text)") != role
    said = shipped(project, f=OR_REPLACE + wider.replace("b int", "b int, c int") + other)
    assert "public.f(integer,integer): nobody gets its owner, privileges" in said
    assert "(public.f(integer), public.f(integer,integer,integer)?)" in said


@pytest.mark.parametrize(
    "other", ["CREATE TYPE public.t AS (a int);\n", "CREATE TABLE public.t (a int);\n"]
)
def test_what_a_downgrade_would_leave_behind_is_refused(project: Project, other: str) -> None:
    said = refused(project, f=f"-- both\n{other}{F}")
    assert f"alembic/routines/f.sql:2:1: {' '.join(other.split()[:2])} makes no routine" in said
    table = "CREATE TABLE IF NOT EXISTS public.t (a int);\nCREATE TEMP TABLE u (a int);\n"
    shipped(project, f=table + F)


def test_a_changed_file_does_not_take_the_object_of_another(project: Project) -> None:
    g = F.replace("public.f", "public.g")
    shipped(project, f=OR_REPLACE, g=g)
    said = refused(project, g=g + OR_REPLACE.replace("T a", "T a * 3"))
    assert "g.sql: alembic/routines/f.sql creates public.f(integer) as well" in said


def test_a_source_that_goes_by_the_name_of_a_snapshot_is_none(project: Project) -> None:
    project.wrapped(**{"users.v001": "CREATE TABLE public.users (id int);\n"})
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


def test_bodies_that_were_never_read_may_change_their_signature(project: Project) -> None:
    unread = "SET check_function_bodies = off;\n"
    shipped(project, f=unread + F)
    shipped(project, f=unread + F_WIDER)
    assert signatures(project) == ["f(integer,integer)"]


def test_a_downgrade_takes_back_what_a_newer_text_allows_and_says(
    project: Project, dump: Dump
) -> None:
    view = "CREATE OR REPLACE VIEW public.v AS SELECT 1 AS a"
    function = "CREATE OR REPLACE FUNCTION public.g() RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    allowed = (
        f"{view};\nGRANT SELECT, UPDATE (a) ON public.v TO PUBLIC;\n"
        "COMMENT ON VIEW public.v IS 'it''s new';\nCOMMENT ON COLUMN public.v.a IS 'too';\n"
    )
    there_and_back(
        project,
        dump,
        {"v": f"{view} -- no end", "g": function},
        {"v": allowed, "g": f"{function}REVOKE ALL ON FUNCTION public.g() FROM PUBLIC;\n"},
        {"v": f"{view};\nGRANT SELECT ON public.v TO PUBLIC;\n", "g": function},
    )
