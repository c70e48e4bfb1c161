"""The examples for other CI systems, run: red, then mended and run again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from alembic_pgpipe.settings import in_ci
from tests.ci_files import CiFile, cloud_build, github, gitlab, jenkins
from tests.project import Project
from tests.surroundings import shell

# Who keeps its number when it is run again, and who counts on.
CASES = [
    pytest.param(github(), [("7", "SUCCESS")], id="github"),
    pytest.param(gitlab(), [("7", "SUCCESS")], id="gitlab"),
    pytest.param(jenkins(), [("7", "FAILURE"), ("8", "SUCCESS")], id="jenkins"),
]


def run(file: CiFile, project: Project, more: Mapping[str, str]) -> str | None:
    """Run a job as its CI system does, and return the step that failed."""
    job = file.jobs[0]
    environ = {**shell(project.url), **file.variables, **more}
    failed = next((step for step in job.ship if _bash(step, project.folder, environ)), None)
    close, told = file.finished(job.close, failed is None)
    assert _bash(close, project.folder, {**environ, **told}) == 0
    return failed


def _bash(step: str, folder: Path, environ: Mapping[str, str]) -> int:
    done = subprocess.run(
        ["bash", "-e", "-c", step], cwd=folder, env=environ, check=False, capture_output=True
    )
    return done.returncode


@pytest.mark.parametrize(("file", "rows"), CASES)
def test_a_red_build_and_its_next_try_close_their_rows(
    file: CiFile, rows: list[tuple[str, str]], project: Project
) -> None:
    database, project.url = project.url, ""
    project.configure()
    project.url = database
    project.source("a", "CREATE TABLE a ();")
    assert run(file, project, {}) == "alembic pgpipe wrap --check"
    assert project.query("SELECT build_number, status FROM migration_logs") == [
        ("7", "FAILURE")
    ]
    project.ok("pgpipe", "wrap")
    assert run(file, project, file.again) is None
    found = project.query("SELECT build_number, status FROM migration_logs ORDER BY id")
    assert found == rows
    assert project.ledger() == {"a": "SUCCESS"}
    assert (project.folder / "reports/pgpipe.xml").is_file()


def test_a_build_of_google_cloud_build_has_the_id_that_is_mapped(project: Project) -> None:
    option, [(script, env)] = cloud_build({"BUILD_ID": "0b1c-2d3e"})
    project.configure(build_number_env=option)
    project.wrapped(a="CREATE TABLE a ();")
    commands = [line for line in script.splitlines() if line.startswith("alembic ")]
    assert commands[-1] == "alembic upgrade head"
    # Nothing else of a build is in a step's environment.
    environ = {**shell(project.url), **env}
    assert [line for line in commands if _bash(line, project.folder, environ)] == []
    rows = project.query("SELECT build_number, status FROM migration_logs")
    assert rows == [("0b1c-2d3e", "SUCCESS")]
    assert in_ci(env)
