"""The buildspec: by CodeBuild's rules for its form, and by ours for its commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from alembic_pgpipe.commands.init import template

TESTS = Path(__file__).parent
SCHEMA = TESTS / "buildspec.schema.json"
COMMITTED = TESTS.parent / "buildspec.yaml"
# In a row of commands after which its last one alone counts, a failure is lost.
HIDES_A_FAILURE = ("\n", ";", "&& ", " | ", "|&", "& ")
# What no image is sure to have, and nothing here needs.
NEEDS_MORE = ("yum", "dnf", "apt", "psql", "nc ", "curl", "docker")


def said_of(*files: Path) -> tuple[int, str]:
    """Validate buildspecs; return the exit code and what was said."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--schemafile",
            str(SCHEMA),
            *map(str, files),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def commands() -> list[str]:
    phases = yaml.safe_load(COMMITTED.read_text("utf-8"))["phases"].values()
    return [
        command
        for phase in phases
        for key in ("commands", "finally")
        for command in phase.get(key, ())
    ]


def test_the_committed_buildspec_is_the_one_that_init_writes() -> None:
    assert COMMITTED.read_text("utf-8") == template("buildspec.yaml")


def test_the_committed_buildspec_has_the_form_of_version_02() -> None:
    assert said_of(COMMITTED) == (0, "ok -- validation done\n")


# Each: what is replaced in the committed one, by what, and the words that name the fault.
BROKEN = {
    "old version": ("version: 0.2", "version: 0.1", "0.2 was expected"),
    "no version": ("version: 0.2", "", "'version' is a required property"),
    "unknown phase": ("  pre_build:", "  prebuild:", "'prebuild'"),
    "unknown key": ("    finally:", "    finaly:", "'finaly'"),
    "no commands": (
        "    commands:\n      - alembic pgpipe retry",
        "    finally:\n      - x",
        "'commands'",
    ),
    "one command": (
        "    commands:\n      - alembic pgpipe retry --marked\n      - alembic upgrade head\n",
        "    commands: alembic upgrade head\n",
        "is not of type 'array'",
    ),
    "a mapping": ("alembic upgrade head", "alembic: upgrade head", "is not of type 'string'"),
    "unknown shell": ("shell: bash", "shell: zsh", "'zsh' is not one of"),
    "unknown format": ("JUNITXML", "JUNIT", "'JUNIT' is not one of"),
    "runtime elsewhere": (
        "  build:\n",
        "  build:\n    runtime-versions: {python: 3.13}\n",
        "should not be valid",
    ),
    "unknown runtime": ("      python: 3.13", "      pyhton: 3.13", "'pyhton' is not one of"),
    "files of no list": (
        "    - migration.log\n    - reports/pgpipe.xml\n",
        "    migration.log\n",
        "is not of type 'array'",
    ),
    "a key too many": ("artifacts:", "artefacts: {}\nartifacts:", "'artefacts' was unexpected"),
}


def test_a_broken_buildspec_is_refused(tmp_path: Path) -> None:
    text = COMMITTED.read_text("utf-8")
    for name, (old, new, _) in BROKEN.items():
        assert text.count(old) == 1, name
        (tmp_path / f"{name}.yaml").write_text(text.replace(old, new), "utf-8")
    code, said = said_of(*sorted(tmp_path.glob("*.yaml")))
    assert code == 1
    for name, (_, _, words) in BROKEN.items():
        told = [line for line in said.splitlines() if f"{name}.yaml::" in line]
        assert any(words in line for line in told), f"{name}: {told}"


def test_every_item_is_one_command_whose_failure_shows() -> None:
    found = commands()
    assert len(found) > 6
    assert [c for c in found if any(sign in f"{c} " for sign in HIDES_A_FAILURE)] == []


def test_nothing_is_needed_that_an_image_may_not_have() -> None:
    assert [c for c in commands() if any(sign in c for sign in NEEDS_MORE)] == []


@pytest.mark.parametrize("key", ["secrets-manager", "parameter-store"])
def test_no_secret_is_resolved_before_the_build(key: str) -> None:
    env: dict[str, Any] = yaml.safe_load(COMMITTED.read_text("utf-8"))["env"]
    assert key not in env
