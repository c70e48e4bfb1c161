"""The examples for other CI systems: lawful, and with the steps of the buildspec."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alembic_pgpipe.ledger.build import CI_SYSTEMS
from tests.ci_files import (
    FOLDER,
    GITHUB,
    GITLAB,
    JENKINS,
    REPOSITORY,
    CiFile,
    github,
    gitlab,
    jenkins,
)

SCHEMAS = {
    GITHUB: ["vendor.github-workflows"],
    GITLAB: ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
# What bash puts where a variable of the buildspec is not set.
DEFAULT = re.compile(r'"\$\{\w+:-(\w+)\}"')
SLIPS = {GITHUB: ("runs-on:", "runs_on:"), GITLAB: ("when: always", "when: ever")}


def refused(path: Path, text: str, folder: Path) -> str:
    """Return what the schema of a CI system has against a text; nothing if it accepts it."""
    copy = folder / path.name
    copy.write_text(extended(text) if path == GITLAB else text, "utf-8")
    command = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema"]
    done = subprocess.run(
        [*command, *SCHEMAS[path], str(copy)], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode else ""


def extended(text: str) -> str:
    """Return a pipeline of GitLab with its hidden job put into those that extend it.

    The schema accepts anything in a hidden job.
    """
    jobs = yaml.safe_load(text)
    hidden = jobs.pop(".ship")
    for name, body in jobs.items():
        if isinstance(body, dict):
            assert body.pop("extends") == ".ship"
            jobs[name] = hidden | body
    return str(yaml.safe_dump(jobs))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_the_schema_of_the_ci_system_accepts_it(path: Path, tmp_path: Path) -> None:
    assert refused(path, path.read_text("utf-8"), tmp_path) == ""


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_the_schema_refuses_a_slip(path: Path, tmp_path: Path) -> None:
    right, wrong = SLIPS[path]
    text = path.read_text("utf-8")
    assert right in text
    assert "errors were encountered" in refused(path, text.replace(right, wrong), tmp_path)


@pytest.mark.parametrize("file", [github(), gitlab(), jenkins()], ids=lambda f: f.path.name)
def test_each_job_ships_with_the_steps_of_the_buildspec(file: CiFile) -> None:
    phases = yaml.safe_load((REPOSITORY / "buildspec.yaml").read_text("utf-8"))["phases"]
    commands = phases["pre_build"]["commands"] + phases["build"]["commands"]
    steps = [DEFAULT.sub(r"\1", c) for c in commands if c.startswith("alembic ")]
    assert [job.ship for job in file.jobs] == [steps] * len(file.jobs)
    assert file.jobs != []


def test_the_braces_of_the_jenkinsfile_are_closed() -> None:
    text = JENKINS.read_text("utf-8")
    assert text.count("{") == text.count("}")
    assert text.rstrip().endswith("\n}")


def test_the_page_tells_the_number_of_every_system_that_is_known() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    assert [s.number for s in CI_SYSTEMS if f"| `{s.number}`" not in page] == []
