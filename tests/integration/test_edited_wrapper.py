"""What runs is what was planned, whatever becomes of a wrapper during the run."""

from __future__ import annotations

import logging

import pytest

from tests.project import Project

PYTHON = '''"""a"""
from pathlib import Path

revision = "a"
down_revision = None


def upgrade():
    # As a "git checkout" in another terminal would, while this step takes its time.
    [file] = Path(__file__).parent.glob("*_b.py")
    {edit}


def downgrade():
    pass
'''
SWAP = """file.write_text(file.read_text().replace("'b.sql'", "'c.sql'"))"""


def shipped(project: Project, edit: str) -> None:
    """Run a history whose first step changes the wrapper of the second."""
    project.write("alembic/versions/a.py", PYTHON.format(edit=edit))
    # ANALYZE: it is too large a step to be one message.
    project.source("b", "CREATE TABLE b (i int);\nANALYZE b;\n")
    project.source("c", "CREATE TABLE c (i int);\nANALYZE c;\n")
    project.wrapped()
    project.ok("upgrade", "head")
    assert project.query("SELECT * FROM b, c") == []
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}


def test_a_wrapper_that_is_edited_runs_the_source_that_was_checked(project: Project) -> None:
    shipped(project, SWAP)


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_a_wrapper_that_is_gone_does_not_fail_the_run(
    project: Project, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    # Alembic's own line about a step has the docstring of its file.
    caplog.set_level(level, logger="alembic.runtime.migration")
    shipped(project, "file.unlink()")
