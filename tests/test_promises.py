"""What is promised names the tests that prove it: each must exist, and the limits must hold."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from alembic_pgpipe.showable import ENTRY, FILE, ROW, STEP, WORDS

ROOT = Path(__file__).parents[1]
PROMISES = (ROOT / "docs/promises.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PROMISES)
LIMIT = re.compile(r"^\| .+ \| ([\d,]+) \| ([\d,]+) \|$", re.MULTILINE)


@cache
def defined_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert test in defined_in(file)


def test_every_promise_names_a_test() -> None:
    promises = PROMISES.partition("## What is not promised")[0]
    first, *others = re.split(r"^- \*\*", promises, flags=re.MULTILINE)
    assert "::" not in first
    assert len(others) > 20
    assert [text.splitlines()[0] for text in others if "::" not in text] == []


def test_what_is_named_is_a_test_and_nothing_else() -> None:
    assert PROMISES.count("::") == len(NAMED)
    assert all(test.startswith("test_") for _, test in NAMED)


def test_the_limits_are_those_that_are_kept() -> None:
    told = [tuple(int(n.replace(",", "")) for n in row) for row in LIMIT.findall(PROMISES)]
    assert told == [(b.head, b.tail) for b in (WORDS, ENTRY, STEP, ROW, FILE)]
