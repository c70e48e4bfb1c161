"""Fixtures of the hostile databases: a role with few rights, and room for a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project
from tests.roles import new_role
from tests.scratch_folder import scratch_folder


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role that may make things in the schema public."""
    with new_role(project, "shipper_", "LOGIN") as name:
        project.query(f"GRANT CREATE ON SCHEMA public TO {name}")
        yield name


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a folder whose path is short enough for a server."""
    with scratch_folder() as folder:
        folder.chmod(0o755)
        yield folder
