"""Whoever needs nothing of AWS never waits for boto3 to be imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.integration.aws.conftest import FakeAws, Shop
from tests.project import Project

COMMAND = """
import sys
from alembic.config import main
try:
    main(argv=sys.argv[1:])
finally:
    rooms = {name.partition(".")[0] for name in sys.modules}
    print("imported:", sorted(rooms & {"boto3", "botocore"}))
"""


def imported(project: Project, *arguments: str) -> str:
    """Type ``alembic …`` in a process of its own; return what it imported of AWS."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=project.folder,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rpartition("imported: ")[2].strip()


@pytest.mark.parametrize("arguments", [["upgrade", "head"], ["pgpipe", "status"], ["current"]])
def test_a_url_imports_nothing_of_aws(project: Project, arguments: list[str]) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    assert imported(project, *arguments) == "[]"


def test_a_secret_imports_it(aws: FakeAws, shop: Shop, project: Project) -> None:
    project.url = f"secretsmanager://{aws.secret(shop.fields())}"
    project.configure()
    assert imported(project, "current") == "['boto3', 'botocore']"
