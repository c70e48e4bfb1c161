"""The committed buildspec.yaml, run as CodeBuild does; AWS and database are the tests' own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest

from alembic_pgpipe.ledger.tables import NAMES
from tests.certificates import authority
from tests.codebuild import BuildResult, codebuild_variables, run_build
from tests.conftest import connect_to
from tests.integration.aws.conftest import FakeAws
from tests.integration.test_passwords import hides
from tests.project import Project
from tests.scratch_folder import scratch_folder
from tests.tls_server import DATABASE, HOST, PASSWORD, USER, TlsServer, tls_server

SPEC = Path(__file__).parents[3] / "buildspec.yaml"
ALL = ("install", "pre_build", "build", "post_build")
UP_TO_PRE_BUILD = ("install", "pre_build")
GREEN, RED = "SUCCESS", "FAILURE"
ROOT_CERTIFICATE = "certificates/authority.pem"
TABLE = "CREATE TABLE public.{0} (id int);\n"
THERE_ALREADY = "CREATE TABLE IF NOT EXISTS public.a (id int);\n"
FAILS = "CREATE TABLE public.half (id int);\nSELECT 1/0;\n"
UNIQUE = "CREATE UNIQUE INDEX ON public.a (id);\n"


@dataclass
class Pipeline:
    """A repository whose buildspec is run build after build; ``environ`` is the project's."""

    repository: Project
    environ: dict[str, str]
    results: list[BuildResult] = field(default_factory=list)

    def build(self, *failures: tuple[str, str, int], **variables: str) -> BuildResult:
        """Run the next build in a clean checkout, and expect which commands of it fail.

        A failure is the phase, the command's beginning and its exit code.
        """
        folder = self.repository.folder
        (folder / "migration.log").unlink(missing_ok=True)
        shutil.rmtree(folder / "reports", ignore_errors=True)
        number = len(self.results) + 1
        environ = {**codebuild_variables(number), **self.environ, **variables}
        result = run_build(SPEC, folder, environ)
        self.results.append(result)
        told = [(ran.phase, ran.command, ran.code) for ran in result.failed]
        assert len(told) == len(failures), f"{told}\n{result.output}"
        for (phase, command, code), expected in zip(told, failures, strict=True):
            assert (phase, command[: len(expected[1])], code) == expected
        early = any(phase in UP_TO_PRE_BUILD for phase, _, _ in failures)
        assert result.phases == (UP_TO_PRE_BUILD if early else ALL)
        return result

    def shown(self) -> str:
        """Return all that was printed, and all that is written now."""
        files = [
            path.read_text("utf-8", "replace")
            for path in self.repository.folder.rglob("*")
            if path.is_file() and ".pgpipe" not in path.parts
        ]
        return "\n".join([*(result.output for result in self.results), *files])


@pytest.fixture
def pipeline(aws: FakeAws, tmp_path: Path) -> Pipeline:
    return Pipeline(Project(tmp_path / "repository", ""), aws.variables)


@pytest.fixture
def server(pipeline: Pipeline, aws: FakeAws) -> Iterator[TlsServer]:
    """Give a server that the pipeline's secret and its root certificate lead to."""
    signer = authority("Ours")
    with (
        scratch_folder() as folder,
        tls_server(folder / "scratch", signer.certify(HOST)) as server,
    ):
        certificate = pipeline.repository.write(ROOT_CERTIFICATE, signer.certificate.decode())
        pipeline.environ = {
            **aws.variables,
            "PGPIPE_SECRET": aws.secret(secret(server.port)),
            "PGSSLROOTCERT": str(certificate),
            "PGSSLMODE": "verify-full",
        }
        yield server


def query(server: TlsServer, sql: str) -> list[tuple[Any, ...]]:
    connection = connect_to(server.over_socket())
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        connection.close()


def outcomes(server: TlsServer) -> dict[str, str]:
    """Return the outcome of each build, by its number."""
    return dict(query(server, "SELECT build_number, status FROM migration_logs"))


def ledger(server: TlsServer) -> str:
    """Return all that is recorded."""
    return "\n".join(str(query(server, f"SELECT t::text FROM {name} t")) for name in NAMES)


def secret(port: int) -> dict[str, object]:
    """Return what RDS keeps in a secret."""
    return {
        "engine": "postgres",
        "host": HOST,
        "port": port,
        "username": USER,
        "password": PASSWORD,
        "dbname": DATABASE,
    }


def cases(result: BuildResult) -> dict[str, str]:
    """Return what the one report of a build says of each case."""
    [report] = result.reports
    found = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        [*told] = case
        kind = (told[0].get("type") or told[0].tag) if told else "passed"
        found[str(case.get("name"))] = kind
    return found


def test_a_build_succeeds_and_one_that_a_check_stops_is_red(
    pipeline: Pipeline, server: TlsServer
) -> None:
    pipeline.repository.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    result = pipeline.build()
    assert cases(result) == {"build": "passed", "a1": "passed", "a2": "passed"}
    assert [path.name for path in result.artifacts] == ["migration.log", "pgpipe.xml"]

    # What fails on an empty copy too does not even get to the database.
    pipeline.repository.wrapped(b1=FAILS)
    result = pipeline.build(("pre_build", "alembic pgpipe check", 6))
    assert cases(result) == {"build": "FAILURE", "b1": "skipped"}
    assert (
        "fails on a scratch server: division by zero (22012)" in result.reports[0].read_text()
    )
    log = "SELECT logs FROM migration_logs WHERE build_number = '2'"
    assert "alembic pgpipe check (exit code 6)" in query(server, log)[0][0]
    assert outcomes(server) == {"1": GREEN, "2": RED}
    assert hides(pipeline.shown() + ledger(server), PASSWORD)


def test_a_build_fails_the_next_is_held_and_the_next_is_mended_with_a_skip(
    pipeline: Pipeline, server: TlsServer
) -> None:
    # What fails for this database's rows alone is found out there, not by check.
    server.execute("CREATE TABLE public.a AS SELECT 1 AS id FROM generate_series(1, 2)")
    server.execute(f"ALTER TABLE public.a OWNER TO {USER}")
    repository = pipeline.repository
    repository.wrapped(a1=THERE_ALREADY, b1=UNIQUE, b2=TABLE.format("c"))
    result = pipeline.build(("build", "alembic upgrade head", 1))
    assert cases(result) == {
        "build": "passed",
        "a1": "passed",
        "b1": "23505",
        "b2": "skipped",
    }

    # Nobody has decided.
    result = pipeline.build(("build", "alembic upgrade head", 3))
    assert cases(result) == {"build": "FAILURE", "b1": "23505", "b2": "skipped"}

    # Somebody mends the one, and skips the other.
    repository.source("b1", "SELECT 1;\n")
    skip = ("pgpipe", "skip", "b2", "--reason", "not on Friday")
    repository.ok(*skip, env=pipeline.environ)
    result = pipeline.build()
    assert cases(result) == {"build": "passed", "b1": "passed", "b2": "skipped"}
    assert "not on Friday" in result.reports[0].read_text()
    assert outcomes(server) == {"1": RED, "2": RED, "3": GREEN}
    assert hides(pipeline.shown() + ledger(server), PASSWORD)


def test_builds_without_a_database_or_a_secret_are_red_and_have_a_report(
    pipeline: Pipeline, aws: FakeAws
) -> None:
    pipeline.repository.wrapped(a1=TABLE.format("a"))
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        nobody = aws.secret(secret(probe.getsockname()[1]))
    waits = ("pre_build", "alembic pgpipe wait", 5)
    closes = ("pre_build", 'test -n "$PGPIPE_PREPARED" || alembic pgpipe close', 5)
    result = pipeline.build(waits, closes, PGPIPE_SECRET=nobody, PGPIPE_WAIT="0")
    assert cases(result) == {"build": "UnreachableError"}
    assert "does not answer" in result.reports[0].read_text()

    result = pipeline.build(waits, closes, PGPIPE_SECRET="no/such/secret", PGPIPE_WAIT="0")
    assert cases(result) == {"build": "UnreachableError"}
    for path in result.artifacts:
        assert "no/such/secret" in path.read_text()
    assert [path.name for path in result.artifacts] == ["migration.log", "pgpipe.xml"]
    assert hides(pipeline.shown(), PASSWORD)


def test_the_password_would_be_found_where_it_is_shown() -> None:
    assert not hides(f"password={quote(PASSWORD, safe='')}", PASSWORD)
