"""A password appears nowhere: no message, trace, log, repr, ledger or process list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import URL

from alembic_pgpipe.connect.database import Database, open_database
from alembic_pgpipe.scratch.server import ScratchServer, scratch_server
from alembic_pgpipe.settings import Settings
from tests.background import busy_with, in_background
from tests.conftest import connect_to
from tests.project import Project
from tests.refusal import refused
from tests.scratch_folder import scratch_folder

PASSWORD = "Xq7%zu/é'@\\9"
USER = "shipper"


@dataclass(frozen=True)
class Guarded:
    """A server that asks for a password, and a database on it."""

    server: ScratchServer

    def url(self, password: str | None = PASSWORD) -> URL:
        return self.server.url("shop").set(username=USER, password=password)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with (
        scratch_folder() as folder,
        scratch_server(folder / "scratch", os.environ) as server,
    ):
        admin = connect_to(server.url())
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {USER} LOGIN PASSWORD %s", (PASSWORD,))
            cursor.execute(f"CREATE DATABASE shop OWNER {USER}")
            rules = server.directory / "data" / "pg_hba.conf"
            rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            cursor.execute("SELECT pg_reload_conf()")
        admin.close()
        yield Guarded(server)


@pytest.fixture
def guarded_project(guarded: Guarded, tmp_path: Path) -> Iterator[Project]:
    yield Project(tmp_path, guarded.url())
    admin = connect_to(guarded.server.url("shop"))
    with admin.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {USER}")
        cursor.execute(f"GRANT ALL ON SCHEMA public TO {USER}")
    admin.close()


def hides(text: str, password: str = PASSWORD) -> bool:
    """Return whether a text has the password in no spelling."""
    spellings = {
        password,
        quote(password),
        quote(password, safe=""),
        password.replace("'", "''"),
    }
    spellings |= {spelling.replace("%", "%%") for spelling in spellings}
    spellings |= {repr(spelling)[1:-1] for spelling in spellings}
    return not any(spelling in text for spelling in spellings)


def command_line(path: Path) -> str:
    """Return what a process was started with; nothing where it is gone by now."""
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def raised(project: Project, *arguments: str) -> str:
    """Type ``alembic --raiseerr …`` in a process of its own; return all it says."""
    with in_background(project, "--raiseerr", *arguments) as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode != 0
    return str(output)


def test_a_wrong_password_is_exit_5_and_shown_nowhere(guarded: Guarded, tmp_path: Path) -> None:
    project = Project(tmp_path, guarded.url("Wrong-7#ü"))
    line = refused(
        project.upgrade(), "password authentication failed", USER, "PGPASSWORD", code=5
    )
    trace = raised(project, "upgrade", "head")
    assert "UnreachableError" in trace
    log = (tmp_path / "migration.log").read_text()
    assert hides(line + trace + log, "Wrong-7#ü")


def test_no_password_says_where_to_put_it(guarded: Guarded, tmp_path: Path) -> None:
    project = Project(tmp_path, guarded.url(None))
    refused(project.upgrade(), "no password supplied", "PGPASSWORD", code=5)


@pytest.mark.parametrize("given", ["url", "variable", "query"])
def test_a_password_is_hidden_in_a_failing_run(
    guarded: Guarded, guarded_project: Project, given: str
) -> None:
    project = guarded_project
    env = {"PGPASSWORD": PASSWORD} if given == "variable" else {}
    if given == "variable":
        project.url = guarded.url(None)
    if given == "query":
        project.url = guarded.url(None).update_query_dict({"password": PASSWORD})
    project.configure()
    leak = PASSWORD.replace("'", "''")
    project.wrapped(
        good=f"DO $$ BEGIN RAISE NOTICE '%', '{leak}'; END $$;\n",
        leak=f"SELECT pg_catalog.set_config('x.y', '{leak}', true)::int;\n",
    )
    result = project.upgrade(env=env)
    assert result.code == 1, result.text
    assert "22P02" in result.text
    project.url = guarded.url()
    dump = project.query(
        "SELECT m.*::text, a.*::text, l.*::text FROM migrations m, migration_attempts a, "
        "migration_logs l"
    )
    seen = result.text + str(dump) + (project.folder / "migration.log").read_text()
    assert "***" in seen
    assert PASSWORD not in seen
    looked = [project.alembic("pgpipe", *verb.split(), env=env) for verb in ("status", "log")]
    assert all(PASSWORD not in one.text and one.code == 0 for one in looked)


def test_a_password_is_in_no_trace_and_in_no_application_name(
    guarded_project: Project,
) -> None:
    project = guarded_project
    project.wrapped(
        a="SELECT set_config('a.b', current_setting('application_name'), false);\nSELECT 1/0;\n"
    )
    trace = raised(project, "upgrade", "head")
    assert "22012" in trace or "division by zero" in trace
    assert hides(trace)


def test_a_password_is_in_no_repr(guarded: Guarded, tmp_path: Path) -> None:
    text = guarded.url().render_as_string(hide_password=False)
    settings = Settings(url=text, project=tmp_path, sources=tmp_path, routines=tmp_path)
    with open_database(settings, {}) as database:
        shown = [repr(settings), str(settings), repr(database), str(database), database.label]
        shown.append(repr(database.elsewhere("other")))
        with database.connect() as connection:
            shown.append(repr(connection.engine.url))
    query = guarded.url(None).update_query_dict({"password": PASSWORD})
    hidden = Settings(
        url=query.render_as_string(False), project=tmp_path, sources=tmp_path, routines=tmp_path
    )
    with open_database(hidden, {}) as database:
        shown += [repr(database), repr(database.engine.url)]
    assert isinstance(database, Database)
    assert hides("\n".join(shown))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:Xq7@zu9@localhost/shop",
        "postgresql://app:Xq7zu9@localhost:port/shop",
        "postgresql//app:Xq7zu9@localhost/shop",
    ],
)
def test_a_url_that_cannot_be_read_is_not_quoted(tmp_path: Path, url: str) -> None:
    project = Project(tmp_path, url)
    line = refused(project.upgrade(), "sqlalchemy.url", "%40")
    text = line + raised(project, "upgrade", "head") + (tmp_path / "migration.log").read_text()
    assert "Xq7" not in text
    assert "zu9" not in text


def test_a_percent_sign_that_is_not_doubled_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path, "")
    ini = (tmp_path / "alembic.ini").read_text()
    bad = "sqlalchemy.url = postgresql://app:Xq7%zu@localhost/shop"
    project.write("alembic.ini", ini.replace("sqlalchemy.url = ", bad))
    for command in (("upgrade", "head"), ("pgpipe", "status"), ("pgpipe", "wrap")):
        line = refused(project.alembic(*command), "'sqlalchemy.url'", "%%", "alembic.ini")
        assert "Xq7" not in line
    assert "Xq7" not in raised(project, "upgrade", "head")


# -- a source or an error that holds the password -------------------------------------------

LEAK = PASSWORD.replace("'", "''")


@pytest.mark.parametrize(
    "source",
    [
        f"SELECT '{LEAK}'::int;\n",
        f"SELECT no_such_column, '{LEAK}';\n",
        f"DO $$ BEGIN RAISE EXCEPTION '%', '{LEAK}'; END $$;\n",
        f"-- pgpipe: transaction = off\nSELECT '{LEAK}'::int;\n",
    ],
    ids=["value", "excerpt", "raised", "without a transaction"],
)
def test_a_trace_does_not_show_a_password_that_a_source_holds(
    guarded_project: Project, source: str
) -> None:
    guarded_project.wrapped(a=source)
    trace = raised(guarded_project, "upgrade", "head")
    assert "StepError" in trace
    assert hides(trace)
    [(logs,)] = guarded_project.query("SELECT logs FROM migrations")
    assert "a.sql" in logs
    assert hides(logs)


def test_a_trace_does_not_show_a_password_that_a_python_revision_holds(
    guarded_project: Project,
) -> None:
    guarded_project.wrapped(a="SELECT 1;\n")
    [path] = guarded_project.folder.glob("alembic/versions/*.py")
    body = f"raise ValueError({PASSWORD!r})"
    path.write_text(path.read_text().replace("op.run_source(source)", body))
    trace = raised(guarded_project, "upgrade", "head")
    assert "StepError" in trace
    assert hides(trace)


@pytest.mark.parametrize("before", ["-- pgpipe: nothing = ", "COMMIT; SELECT 1; -- "])
def test_a_source_that_is_refused_does_not_show_a_password_that_it_holds(
    guarded_project: Project, before: str
) -> None:
    guarded_project.wrapped(a=f"{before}{PASSWORD}\nSELECT 1;\n")
    result = guarded_project.upgrade()
    refused(result, "cannot run as written")
    [(logs, message)] = guarded_project.query(
        "SELECT m.logs, a.message FROM migrations m, migration_attempts a"
    )
    assert "***" in logs
    assert hides(result.text + logs + message)


def test_a_trace_without_a_password_keeps_its_cause(guarded_project: Project) -> None:
    guarded_project.wrapped(a="SELECT 1/0;\n")
    trace = raised(guarded_project, "upgrade", "head")
    assert "psycopg2.errors.DivisionByZero" in trace


def test_a_password_is_in_no_process_list(guarded_project: Project, guarded: Guarded) -> None:
    project = guarded_project
    project.wrapped(a="SELECT pg_advisory_xact_lock(42);\n")
    gate = connect_to(guarded.url())
    gate.cursor().execute("SELECT pg_advisory_lock(42)")
    with in_background(project, "upgrade", "head") as run:
        busy_with(project, "%pg_advisory_xact_lock(42)%")
        processes = "\n".join(
            command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
        )
        sessions = str(project.query("SELECT application_name, query FROM pg_stat_activity"))
        gate.close()
        assert run.wait(timeout=20) == 0
    assert "alembic-pgpipe local_run" in sessions
    assert hides(processes + sessions)
