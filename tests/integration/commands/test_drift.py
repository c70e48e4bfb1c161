"""``alembic pgpipe status --routines``: what in the database is not as the project made it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from alembic.config import Config
from sqlalchemy import URL

from alembic_pgpipe.drift.differences import compare
from alembic_pgpipe.errors import UnreachableError
from alembic_pgpipe.objects.definitions import read_definitions
from alembic_pgpipe.objects.held import read_objects
from alembic_pgpipe.rehearsal.database import rehearsal
from alembic_pgpipe.scratch import server
from alembic_pgpipe.shipping.stage import Stage
from tests.integration.commands.shipped import Shipped
from tests.project import Project

TABLE = "CREATE TABLE public.t (id integer, name text);\n"
OTHER = "CREATE FUNCTION public.other() RETURNS int LANGUAGE sql AS 'SELECT 1';"
FILES = {
    "double": """CREATE FUNCTION public.double(n integer) RETURNS integer LANGUAGE sql
AS $$ SELECT n * 2 $$;
COMMENT ON FUNCTION public.double(integer) IS 'twice';
""",
    "names": "CREATE VIEW public.names AS SELECT id, name FROM public.t WHERE id > 0;\n",
    "stamp": """CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql
AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.stamp();
""",
    "small": "CREATE DOMAIN public.small AS integer CHECK (VALUE < 9);\n",
}


@pytest.fixture
def shipped(tmp_path: Path, database: URL, second_database: URL) -> Shipped:
    """Give a project with some routines and a function of an ordinary source, all shipped."""
    project = Shipped(tmp_path, database)
    project.rehearse_in(second_database, schema="pgpipe")
    for name, text in FILES.items():
        project.write(f"alembic/routines/{name}.sql", text)
    written = [("001_tables", TABLE), ("002_other", OTHER)]
    written += [(f"{name}.v001", text) for name, text in FILES.items()]
    for name, text in written:
        project.source(name, text)
    project.ship()
    return project


def found(project: Project, *options: str) -> dict[str, dict[str, Any]]:
    result = project.ok("pgpipe", "status", "--routines", "--json", *options)
    return {one["object"]: one for one in json.loads(result.output)["objects"]}


def test_what_the_project_made_has_not_drifted(shipped: Shipped) -> None:
    result = shipped.ok("pgpipe", "status", "--routines")
    assert result.output.splitlines()[1:] == ["5 objects compared: as the project made them"]
    # On a scratch server of its own, which runs the history from the base.
    shipped.configure(rehearsal_url="")
    assert shipped.ok("pgpipe", "status", "--routines").output == result.output
    shipped.query("COMMENT ON VIEW names IS 'changed'")
    assert found(shipped)["public.names"]["parts"] == ["comment"]


def test_a_nightly_job_is_red_where_something_was_changed_by_hand(shipped: Shipped) -> None:
    strict = ("pgpipe", "status", "--routines", "--check")
    assert "as the project made them" in shipped.ok(*strict).output
    shipped.query("COMMENT ON VIEW names IS 'changed'")
    red = shipped.alembic(*strict)
    assert red.code == 6 and "(comment): view public.names" in red.output
    told = shipped.alembic(*strict, "--json")
    assert told.code == 6 and json.loads(told.output)["objects"][0]["object"] == "public.names"
    shipped.ok("pgpipe", "status", "--routines")
    assert shipped.alembic("pgpipe", "status", "--check").code == 2


def test_each_change_by_hand_is_named(shipped: Shipped) -> None:
    shipped.query(
        "CREATE OR REPLACE FUNCTION double(n integer) RETURNS integer LANGUAGE sql "
        "AS 'SELECT n + n'; COMMENT ON FUNCTION double(integer) IS NULL;"
        "GRANT SELECT ON names TO PUBLIC; ALTER TABLE t DISABLE TRIGGER stamp;"
        "DROP DOMAIN small; CREATE VIEW more AS SELECT 1 AS one; CREATE SCHEMA app;"
        "CREATE VIEW app.not_counted AS SELECT 1 AS one; DROP FUNCTION other()"
    )
    objects = found(shipped)
    assert {name: (one["state"], one["parts"]) for name, one in objects.items()} == {
        "public.double(integer)": ("changed", ["definition", "comment"]),
        "public.names": ("changed", ["privileges"]),
        "stamp ON public.t": ("changed", ["definition"]),
        "public.small": ("missing", []),
        "public.more": ("extra", []),
    }
    assert objects["stamp ON public.t"]["file"] == "alembic/routines/stamp.sql"
    assert objects["public.more"]["file"] is None


def test_a_diff_leads_from_the_project_to_the_database(shipped: Shipped) -> None:
    shipped.query("CREATE OR REPLACE VIEW names AS SELECT id, name FROM t WHERE id > 7")
    result = shipped.ok("pgpipe", "status", "--routines", "--diff")
    lines = result.output.splitlines()
    assert lines[1:4] == [
        "changed (definition): view public.names · alembic/routines/names.sql",
        "--- project",
        "+++ database",
    ]
    assert "-  WHERE (t.id > 0);" in lines
    assert "+  WHERE (t.id > 7);" in lines
    assert "5 objects compared: 1 changed" in lines
    assert not any(line.startswith(("-", "+")) for line in plain(shipped))


def test_a_diff_shows_all_of_what_is_missing_or_extra(shipped: Shipped) -> None:
    shipped.query(
        "DROP FUNCTION double(integer); CREATE VIEW more AS SELECT 1 AS one;"
        "COMMENT ON VIEW more IS 'by hand'; GRANT SELECT ON more TO PUBLIC"
    )
    result = shipped.ok("pgpipe", "status", "--routines", "--diff")
    missing = [
        "--- project",
        "+++ database",
        "@@ -1,6 +0,0 @@",
        "-CREATE OR REPLACE FUNCTION public.double(n integer)",
        "- RETURNS integer",
        "- LANGUAGE sql",
        "-AS $function$ SELECT n * 2 $function$;",
        "-",
        "-COMMENT ON FUNCTION public.double(integer) IS 'twice';",
    ]
    extra = [
        "--- project",
        "+++ database",
        "@@ -0,0 +1,5 @@",
        "+CREATE OR REPLACE VIEW public.more AS",
        "+ SELECT 1 AS one;",
        "+",
        "+GRANT SELECT ON TABLE public.more TO PUBLIC;",
        "+COMMENT ON VIEW public.more IS 'by hand';",
    ]
    assert result.output.splitlines()[1:-2] == [
        "missing: function public.double(integer) · alembic/routines/double.sql",
        *missing,
        "extra: view public.more",
        *extra,
    ]
    diffs = {name: one["diff"] for name, one in found(shipped).items()}
    assert diffs == {"public.double(integer)": missing, "public.more": extra}


def test_what_is_extra_is_shown_as_pull_would_write_it(shipped: Shipped) -> None:
    shipped.query(
        "CREATE TRIGGER again BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp();"
        "ALTER TABLE t DISABLE TRIGGER again"
    )
    diff = found(shipped)["again ON public.t"]["diff"]
    shipped.ok("pgpipe", "pull", "again")
    [written] = (shipped.folder / "alembic/routines").rglob("*again*.sql")
    text = written.read_text("utf-8")
    assert [line.removeprefix("+") for line in diff[3:]] == text.splitlines()


def test_the_owner_is_shown_where_it_is_not_who_runs_the_pipeline(shipped: Shipped) -> None:
    role = f"owner_{uuid4().hex[:8]}"
    shipped.query(f"CREATE ROLE {role}; CREATE VIEW more AS SELECT 1 AS one")
    try:
        shipped.query(f"ALTER VIEW more OWNER TO {role}")
        diff = found(shipped)["public.more"]["diff"]
        assert diff[-1] == f"+ALTER VIEW public.more OWNER TO {role};"
    finally:
        shipped.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def plain(project: Project) -> list[str]:
    return project.ok("pgpipe", "status", "--routines").output.splitlines()


def test_a_changed_signature_is_missing_and_extra(shipped: Shipped) -> None:
    shipped.query(
        "DROP FUNCTION double(integer);"
        "CREATE FUNCTION double(n bigint) RETURNS bigint LANGUAGE sql AS 'SELECT n'"
    )
    states = {name: one["state"] for name, one in found(shipped).items()}
    assert states == {"public.double(integer)": "missing", "public.double(bigint)": "extra"}


def test_an_owner_counts_where_the_project_names_one(shipped: Shipped) -> None:
    role = f"owner_{uuid4().hex[:8]}"
    shipped.query(f"CREATE ROLE {role}; CREATE ROLE {role}_2")
    try:
        shipped.query(f"ALTER VIEW names OWNER TO {role}")
        assert found(shipped) == {}
        shipped.write(
            "alembic/routines/names.sql",
            FILES["names"] + f"ALTER VIEW public.names OWNER TO {role};\n",
        )
        shipped.ship()
        assert found(shipped) == {}
        shipped.query(f"ALTER VIEW names OWNER TO {role}_2")
        assert found(shipped)["public.names"]["parts"] == ["owner"]
    finally:
        with shipped.other() as other:
            other.query(f"DROP OWNED BY {role}, {role}_2")
        shipped.query(f"DROP OWNED BY {role}, {role}_2; DROP ROLE {role}, {role}_2")


def test_a_grant_to_who_owns_it_anyway_is_no_change(shipped: Shipped) -> None:
    role = f"owner_{uuid4().hex[:8]}"
    shipped.query(f"CREATE ROLE {role}")
    try:
        grant = f"GRANT SELECT ON public.names TO {role};\n"
        shipped.write("alembic/routines/names.sql", FILES["names"] + grant)
        shipped.ship()
        shipped.query(f"ALTER VIEW names OWNER TO {role}")
        assert found(shipped) == {}
        shipped.query("GRANT SELECT ON names TO PUBLIC")
        assert found(shipped)["public.names"]["parts"] == ["privileges"]
    finally:
        with shipped.other() as other:
            other.query(f"DROP OWNED BY {role}")
        shipped.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_file_whose_object_the_project_has_dropped_is_named(shipped: Shipped) -> None:
    shipped.source("zz_drop", "DROP VIEW public.names;\n")
    shipped.ship()
    lines = plain(shipped)
    said = "alembic/routines/names.sql: a later source has dropped what it creates"
    assert said in lines
    machine = json.loads(shipped.ok("pgpipe", "status", "--routines", "--json").output)
    assert machine["unmade"] == ["alembic/routines/names.sql"]


def test_what_is_pending_is_not_drift(shipped: Shipped) -> None:
    shipped.write("alembic/routines/names.sql", FILES["names"].replace("> 0", "> 1"))
    shipped.ok("pgpipe", "wrap")
    lines = plain(shipped)
    assert lines[1:] == [
        "1 pending revision not run here, and not counted",
        "5 objects compared: as the project made them",
    ]


def test_the_database_is_only_read(shipped: Shipped) -> None:
    shipped.query("CREATE OR REPLACE VIEW names AS SELECT id, name FROM t WHERE id > 7")
    before = shipped.scalar("SELECT max(xmin::text::bigint) FROM pg_catalog.pg_class")
    assert len(found(shipped)) == 1
    assert shipped.scalar("SELECT max(xmin::text::bigint) FROM pg_catalog.pg_class") == before


def test_words_of_another_version_are_no_drift(shipped: Shipped) -> None:
    with rehearsal(Config(shipped.folder / "alembic.ini")) as opened:
        [view] = [o for o in read_objects(opened.connection) if o.name == "names"]
        ours = read_definitions(opened.connection, [view])[view.address]
        worded = replace(ours, create=ours.create.replace("t.id", "id"))
        other = replace(ours, create=ours.create.replace("t.id > 0", "t.id > 1"))
        assert worded.create != ours.create
        assert compare(ours, worded, Stage(opened)) is None
        drift = compare(ours, other, Stage(opened))
        assert drift is not None
        assert drift.parts == ("definition",)
        # What was tried has left nothing.
        assert read_definitions(opened.connection, [view])[view.address] == ours


def test_something_that_the_project_adds_to_a_view_may_not_be_missed(shipped: Shipped) -> None:
    """An object is made anew: replaced, it would keep what the database has not."""
    shipped.write(
        "alembic/routines/names.sql",
        FILES["names"] + "ALTER VIEW public.names ALTER COLUMN name SET DEFAULT 'x';\n",
    )
    shipped.ship()
    shipped.query("ALTER VIEW names ALTER COLUMN name DROP DEFAULT")
    assert found(shipped)["public.names"]["parts"] == ["definition"]


def test_nothing_is_compared_where_nothing_was_run(project: Project) -> None:
    result = project.ok("pgpipe", "status", "--routines")
    assert "no routine of the project has been run here" in result.output


def test_without_a_scratch_server_it_says_so(shipped: Shipped) -> None:
    shipped.configure(rehearsal_url="")
    missing = UnreachableError("There are no server binaries.")
    with mock.patch.object(server, "find_binaries", side_effect=missing):
        result = shipped.alembic("pgpipe", "status", "--routines")
    assert result.code == 5
    assert result.errors == "FAILED: There are no server binaries.\n"


@pytest.mark.parametrize(
    "options", [("--diff",), ("--routines", "--all"), ("--tables", "--last", "3")]
)
def test_options_that_do_not_go_together(project: Project, options: tuple[str, ...]) -> None:
    assert project.alembic("pgpipe", "status", *options).code == 2


def test_a_pulled_change_has_not_drifted_any_more(shipped: Shipped) -> None:
    shipped.query("CREATE OR REPLACE VIEW names AS SELECT id, name FROM t WHERE id > 7")
    assert "public.names" in found(shipped)
    shipped.ok("pgpipe", "pull", "names")
    shipped.ship()
    assert found(shipped) == {}
    assert Path(shipped.folder, "alembic/sql/names.v002.sql").exists()
