"""What becomes of a build's row, and what its log lacks."""

from __future__ import annotations

import pytest

from alembic_pgpipe.commands.close import Ending, judge, unsaid
from alembic_pgpipe.model import Build, BuildRecord

BUILD = Build("7", "shop:907")


def judged(status: str | None, succeeded: bool) -> tuple[bool, bool]:
    """Return the outcome of a row of this status, and whether it is changed."""
    closing = judge(BuildRecord("7", status, None, "log\n"), Ending(BUILD, succeeded, ""))
    return closing.succeeded, bool(closing.added)


@pytest.mark.parametrize(
    ("status", "said", "becomes", "changed"),
    [
        ("SUCCESS", True, True, False),
        ("SUCCESS", False, False, True),
        ("FAILURE", True, False, False),
        ("FAILURE", False, False, False),
        (None, True, False, True),
        (None, False, False, True),
    ],
)
def test_the_outcome_of_a_row(
    status: str | None, said: bool, becomes: bool, changed: bool
) -> None:
    assert judged(status, said) == (becomes, changed)


@pytest.mark.parametrize(("said", "line"), [(True, "SUCCESS\n"), (False, "FAILURE\n")])
def test_a_build_without_a_row_is_what_is_said_of_it(said: bool, line: str) -> None:
    closing = judge(None, Ending(BUILD, said, "log\n"))
    assert (closing.succeeded, closing.added) == (said, line)


@pytest.mark.parametrize(
    ("row", "file", "lacks"),
    [
        ("a\nb\n", "a\nb\n", ""),
        ("a\nb\n", "a\nb\nc\n", "c\n"),
        ("a\n", "a\nb\nc\nd\n", "b\nc\nd\n"),
        ("b\n", "said before\nb\nc\n", "c\n"),
        ("SUCCESS\n", "SUCCESS\n\nanother run\nSUCCESS\nlate\n", "late\n"),
        ("a\n", "", ""),
        ("another workspace's\n", "all of it\n", "all of it\n"),
        ("", "all of it\n", "all of it\n"),
        (f"{'x' * 2000}\nb\n", f"{'y' * 2000}{'x' * 1000}\nb\nc\n", "c\n"),
    ],
)
def test_what_a_row_lacks_of_the_log_file(row: str, file: str, lacks: str) -> None:
    assert unsaid(row, file) == lacks
