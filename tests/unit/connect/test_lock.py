"""What others see of the build that holds the lock."""

from __future__ import annotations

import pytest

from alembic_pgpipe.connect.lock import shown

LONG = "7@some-organisation/some-project-of-a-long-name"


@pytest.mark.parametrize("number", ["7", "local_run", LONG, "x" * 48])
def test_a_number_is_shown_as_it_is(number: str) -> None:
    assert shown(number) == number


def test_of_a_long_number_both_ends_are_shown_and_that_it_is_cut() -> None:
    assert shown(f"{LONG}/deploy") == "7@some-organisa...-project-of-a-long-name/deploy"


@pytest.mark.parametrize("other", [f"{LONG}/rollout", f"8{LONG[1:]}/deploy"])
def test_long_numbers_are_told_apart_by_either_end(other: str) -> None:
    assert shown(other) != shown(f"{LONG}/deploy")


def test_what_a_server_would_not_show_is_a_question_mark() -> None:
    assert shown("7@n\u00e4me") == "7@n?me"
