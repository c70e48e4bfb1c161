"""``--sql``: the script, run by psql, leaves what an ordinary run leaves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.scratch.server import ScratchServer
from tests.by_psql import STOP, libpq, psql
from tests.conftest import Connect
from tests.project import Project

SOURCES = {
    "a1_plain": (
        "CREATE TABLE public.t (id int PRIMARY KEY, note text);\n"
        "INSERT INTO public.t VALUES (1, 'a % b'), (2, 'c :name {d}'), (3, E'\\\\tab');\n"
        "-- the last one goes without a semicolon\n"
        "SELECT count(*) FROM public.t -- really"
    ),
    "a2_envelope": (
        "BEGIN ISOLATION LEVEL SERIALIZABLE;\n"
        "CREATE TABLE public.modes AS SELECT current_setting('transaction_isolation');\n"
        "COMMIT;\n"
    ),
    "a3_copy": "COPY public.t FROM stdin;\n4\t100 %\n5\t\\N\n\\.\n",
    "a4_alone": "CREATE INDEX CONCURRENTLY t_note ON public.t (note);\n",
    "a5_settings": (
        "SELECT pg_catalog.set_config('search_path', '', false);\n"
        "SET ROLE pg_monitor;\nRESET ROLE;\n"
        "CREATE TEMPORARY TABLE scrap (id int);\n"
    ),
    "a6_unqualified": (
        "CREATE TEMPORARY TABLE scrap (id int);\n"
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$;\n"
        "CREATE TABLE u (id int);\n"
    ),
}
UNDO = {
    "a1_plain": "DROP TABLE public.t;\n",
    "a2_envelope": "BEGIN;\nDROP TABLE public.modes;\nCOMMIT;\n",
    "a3_copy": "DELETE FROM public.t WHERE id > 3;\n",
    "a4_alone": "DROP INDEX CONCURRENTLY public.t_note;\n",
    "a5_settings": "SELECT 1;\n",
    "a6_unqualified": "DROP FUNCTION public.f();\nDROP TABLE u;\n",
}
PYTHON = '''\
"""python"""
from alembic import op
import sqlalchemy as sa
revision = "python"
down_revision = {!r}


def upgrade():
    op.execute("UPDATE public.t SET note = '100 % of t' WHERE note LIKE 'a %'")
    op.add_column("t", sa.Column("size", sa.Integer, server_default="1"), schema="public")


def downgrade():
    op.drop_column("t", "size", schema="public")
'''
RESTRICT = re.compile(r"^\\(un)?restrict .*\n", re.MULTILINE)
STATUSES = """
    SELECT id, migration_name, applied_status, logs,
           finished_at IS NULL, rolled_back_at IS NULL
    FROM migrations ORDER BY id
"""
ATTEMPTS = """
    SELECT migration_name, revision, direction, outcome, checksum, build_number, build_id,
           commit_hash, who, statements_done, statements_total, finished_at IS NULL
    FROM migration_attempts ORDER BY revision, id
"""


@pytest.fixture
def elsewhere(
    project: Project, scratch: ScratchServer, template: str, connect: Connect
) -> Iterator[Project]:
    """Give the same project on an empty database of its own."""
    name = f"test_{uuid4().hex[:12]}"
    with connect(scratch.url()).cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield Project(project.folder / "elsewhere", scratch.url(name))
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def bin_folder(scratch: ScratchServer) -> Path:
    """Give the folder with psql and pg_dump."""
    for folder in (scratch.binaries.folder, Path(shutil.which("psql") or "").parent):
        if (folder / "psql").exists() and (folder / "pg_dump").exists():
            return folder
    pytest.skip("there is no psql and pg_dump here")


def applied(url: URL, script: str) -> None:
    """Run a script, and expect no word of psql."""
    done = psql(url, script, *STOP)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr and "WARNING" not in done.stderr, done.stderr


def everything(folder: Path, project: Project) -> dict[str, object]:
    """Return schema, data, version and ledger of a project's database."""
    assert isinstance(project.url, URL)
    dump = subprocess.run(
        [folder / "pg_dump", "--exclude-table-data=migration*", "-d", libpq(project.url)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "dump": RESTRICT.sub("", dump.stdout),
        "statuses": project.query(STATUSES),
        "attempts": project.query(ATTEMPTS),
    }


def shipped(project: Project) -> Project:
    """Write the sources with their undos, their wrappers, and a Python revision."""
    for name, text in SOURCES.items():
        project.source(name, text, UNDO[name])
    project.wrapped()
    head = project.ok("heads").output.split()[0]
    project.write("alembic/versions/python.py", PYTHON.format(head))
    return project


def test_upgrade_script_leaves_what_a_run_leaves(
    project: Project, elsewhere: Project, bin_folder: Path
) -> None:
    script = shipped(project).ok("upgrade", "head", "--sql").output
    assert isinstance(elsewhere.url, URL)
    applied(elsewhere.url, script)
    project.ok("upgrade", "head")
    assert everything(bin_folder, elsewhere) == everything(bin_folder, project)


def test_downgrade_script_leaves_what_a_run_leaves(
    project: Project, elsewhere: Project, bin_folder: Path
) -> None:
    shipped(project)
    psql_url = elsewhere.url
    assert isinstance(psql_url, URL)
    applied(psql_url, project.ok("upgrade", "head", "--sql").output)
    goal = revision_id("a1_plain")
    applied(psql_url, project.ok("downgrade", f"python:{goal}", "--sql").output)
    project.ok("upgrade", "head")
    project.ok("downgrade", goal)
    assert everything(bin_folder, elsewhere) == everything(bin_folder, project)


def test_stamp_script_leaves_what_a_stamp_leaves(
    project: Project, elsewhere: Project, bin_folder: Path
) -> None:
    shipped(project)
    assert isinstance(elsewhere.url, URL)
    applied(elsewhere.url, project.ok("stamp", "head", "--sql").output)
    project.ok("stamp", "head")
    assert everything(bin_folder, elsewhere) == everything(bin_folder, project)


def test_a_run_goes_on_behind_a_script(
    project: Project, elsewhere: Project, bin_folder: Path
) -> None:
    shipped(project)
    half = revision_id("a3_copy")
    assert isinstance(project.url, URL)
    applied(project.url, project.ok("upgrade", half, "--sql").output)
    rest = project.ok("upgrade", "head").output
    assert f"[1/4] {revision_id('a4_alone')}" in rest
    assert set(project.ledger().values()) == {"SUCCESS"}
    project.source("a1_plain", "SELECT 1;\n")
    assert "differs from what build local_run applied" in project.ok("pgpipe", "status").output


def test_a_part_of_the_history_is_a_script_of_its_own(
    project: Project, elsewhere: Project, bin_folder: Path
) -> None:
    shipped(project)
    ends = [revision_id("a2_envelope"), "head"]
    assert isinstance(elsewhere.url, URL)
    applied(elsewhere.url, project.ok("upgrade", ends[0], "--sql").output)
    applied(elsewhere.url, project.ok("upgrade", ":".join(ends), "--sql").output)
    project.ok("upgrade", "head")
    assert everything(bin_folder, elsewhere) == everything(bin_folder, project)


def test_a_script_needs_no_database_and_writes_no_log_file(tmp_path: Path) -> None:
    project = Project(tmp_path, "postgresql://nobody@127.0.0.1:1/nowhere")
    project.wrapped(a1="SELECT 1;\n")
    assert "SELECT 1;" in project.ok("upgrade", "head", "--sql").output
    assert not (tmp_path / "migration.log").exists()


def test_directives_hold_in_a_script(
    project: Project, elsewhere: Project, bin_folder: Path, scratch: ScratchServer
) -> None:
    project.wrapped(
        a1="-- pgpipe: role = pg_monitor\n-- pgpipe: lock_timeout = 7s\n"
        "-- pgpipe: statement_timeout = 8s\n"
        "CREATE TEMPORARY TABLE seen AS SELECT current_user::text AS who,\n"
        "  current_setting('lock_timeout') AS lock, "
        "current_setting('statement_timeout') AS statement;\n"
        "RESET ROLE;\n"
        "CREATE TABLE public.seen AS TABLE pg_temp.seen;\n",
        a2="CREATE TABLE public.after AS SELECT current_user::text AS who;\n",
        a3="--skip\nSELECT 1/0;\n",
    )
    assert isinstance(elsewhere.url, URL)
    applied(elsewhere.url, project.ok("upgrade", "head", "--sql").output)
    assert elsewhere.query("TABLE seen") == [("pg_monitor", "7s", "8s")]
    assert elsewhere.query("TABLE after") == [("postgres",)]
    project.ok("upgrade", "head")
    assert everything(bin_folder, elsewhere) == everything(bin_folder, project)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-- pgpipe: database = other\nSELECT 1;\n", "runs in database other"),
        ("SELECT 1;\nCOMMIT;\n", "a2.sql:2:1"),
    ],
)
def test_what_a_script_cannot_hold_is_refused_before_it_begins(
    project: Project, text: str, said: str
) -> None:
    project.wrapped(a1="SELECT 1;\n", a2=text)
    result = project.alembic("upgrade", "head", "--sql")
    assert result.code == 1
    assert said in result.text
    assert "CREATE TABLE" not in result.text and "BEGIN;" not in result.text


def test_the_projects_role_and_schema_hold_in_a_script(
    project: Project, elsewhere: Project, bin_folder: Path, connect: Connect
) -> None:
    assert isinstance(elsewhere.url, URL)
    role = f"owner_{uuid4().hex[:8]}"
    with connect(elsewhere.url).cursor() as cursor:
        cursor.execute(
            f"CREATE ROLE {role}; GRANT ALL ON DATABASE {elsewhere.url.database} TO {role}"
        )
        project.configure(role=role, schema="ledger")
        project.wrapped(a1="CREATE SCHEMA shop; SET ROLE NONE;\n")
        applied(elsewhere.url, project.ok("upgrade", "head", "--sql").output)
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'ledger'"
        assert elsewhere.query(owners) == [(role,)]
        assert elsewhere.ledger("ledger") == {"a1": "SUCCESS"}
        cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_whoever_has_read_enough_gets_no_traceback(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n" * 50_000)
    with subprocess.Popen(
        [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        assert run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
    assert run.returncode == 141
    assert "Traceback" not in said and "Broken" not in said
