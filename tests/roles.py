"""Roles of a test's own: all tests of a session share the server that has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from tests.project import Project


@contextmanager
def new_role(project: Project, prefix: str, attributes: str = "") -> Iterator[str]:
    """Give the server a role, and drop it with what it owns in the project's database."""
    name = f"{prefix}{uuid4().hex[:12]}"
    project.query(f'CREATE ROLE "{name}" {attributes}')
    yield name
    project.query(f'DROP OWNED BY "{name}" CASCADE; DROP ROLE "{name}"')
