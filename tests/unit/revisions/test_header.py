"""What is read from a revision's text is what Python would have found in it, or nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alembic_pgpipe.revisions.header import Header, read_header

WRAPPER = '''"""add users

Revision ID: 3f2a
Revises: 1b2c
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '3f2a'
down_revision = '1b2c'
branch_labels = None
depends_on = None

source = '20260301_users.sql'
undo = '20260301_users.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
'''
MERGE = '''"""merge "x" and y

Revision ID: f438
Revises: 2d90, 47b0
Create Date: 2026-11-25 13:47:39
"""

from alembic import op
import sqlalchemy as sa


revision = 'f438'
down_revision = ('2d90', '47b0')
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
'''
ODD = {
    "a double quote": WRAPPER.replace("'3f2a'", '"3f2a"'),
    "an annotation": WRAPPER.replace("revision = '3f2a'", "revision: str = '3f2a'"),
    "a backslash": WRAPPER.replace("'1b2c'", r"'1b\x32c'"),
    "a backslash in the docstring": WRAPPER.replace("add users", r"add \x41"),
    "a second value": WRAPPER.replace(
        "depends_on = None\n", "depends_on = None\nrevision = 'x'\n"
    ),
    "a statement behind it": WRAPPER + "revision = 'x'\n",
    "a statement in the body": WRAPPER.replace("    op.run_source(source)", "    pass"),
    "no body": WRAPPER.replace("def downgrade", "def other"),
    "CRLF": WRAPPER.replace("\n", "\r\n"),
    "a docstring that ends early": WRAPPER.replace("add users", 'a"""; revision = "x"; """b'),
    "a quote at the docstring's end": WRAPPER.replace("+00:00\n", '+00:00"'),
    "another import": WRAPPER.replace("import op", "import op as op"),
    "a comment": "# coding: latin-1\n" + WRAPPER,
    "a BOM": "\ufeff" + WRAPPER,
    "a list": MERGE.replace("('2d90', '47b0')", "['2d90', '47b0']"),
    "an empty value": WRAPPER.replace("'1b2c'", "''"),
    "cut short": WRAPPER[:-5],
    "nothing": "",
}


def imported(text: bytes) -> Header:
    """Return what Python finds in a file."""
    module = ModuleType("revision")
    exec(compile(text, "revision.py", "exec"), module.__dict__)
    names = ("revision", "down_revision", "branch_labels", "depends_on", "source", "undo")
    found: list[Any] = [getattr(module, name, None) for name in names]
    return Header(*found)


def test_a_wrapper_is_read() -> None:
    assert read_header(WRAPPER.encode()) == Header(
        "3f2a", "1b2c", source="20260301_users.sql", undo="20260301_users.down.sql"
    )


def test_a_merge_is_read() -> None:
    assert read_header(MERGE.encode()) == Header("f438", ("2d90", "47b0"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("down_revision = '1b2c'", "down_revision = None"),
        ("down_revision = '1b2c'", "down_revision = ('1b2c',)"),
        ("branch_labels = None", "branch_labels = 'billing'"),
        ("branch_labels = None", "branch_labels = ('billing', 'b')"),
        ("depends_on = None", "depends_on = '77aa'"),
        ("undo = '20260301_users.down.sql'", "undo = None"),
        ("20260301_users.sql", "Größe/migration.sql"),
        ("add users", 'say "hello"'),
        ("add users", "größer, ünd so\n\n    weiter"),
    ],
)
def test_other_values_are_read_as_python_reads_them(old: str, new: str) -> None:
    text = WRAPPER.replace(old, new).encode()
    found = read_header(text)
    assert found is not None
    assert found == imported(text)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_anything_else_is_left_to_python(text: str) -> None:
    assert read_header(text.encode()) is None


@pytest.mark.parametrize("bad", [b"\xff", b"\0", b"\xed\xa0\x80"])
def test_what_is_no_text_is_left_to_python(bad: bytes) -> None:
    assert read_header(WRAPPER.encode().replace(b"add", bad)) is None


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from((WRAPPER, MERGE)),
    st.integers(0, 600),
    st.integers(0, 3),
    st.text("'\"\\\n#,()= aN2revision", max_size=3),
)
@example(WRAPPER, 0, 0, "")
def test_an_edited_file_is_read_as_python_reads_it_or_not_at_all(
    text: str, at: int, gone: int, new: str
) -> None:
    edited = (text[:at] + new + text[at + gone :]).encode()
    found = read_header(edited)
    if found is not None:
        assert found == imported(edited)


def test_what_the_template_writes_is_read() -> None:
    files = list((Path(__file__).parents[3] / "alembic/versions").glob("*.py"))
    assert files
    assert all(read_header(file.read_bytes()) for file in files)
