"""What one step may say: its beginning as it comes, its end when it ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alembic_pgpipe.run.quota import HELD_BACK, Quota
from alembic_pgpipe.showable import ENTRY, Bounds, left_out

BOUNDS = Bounds(20, 10)


def told(*texts: str) -> list[str]:
    """Return what comes out of a step that says this."""
    said: list[str] = []
    quota = Quota(said.append, BOUNDS)
    for text in texts:
        quota.take(text)
    quota.finish()
    return said


def test_a_step_of_few_words_says_them_as_they_come() -> None:
    said: list[str] = []
    Quota(said.append, BOUNDS).take("one")
    assert said == ["one"]
    assert told("one", "two") == ["one", "two"]


def test_of_too_many_words_the_middle_is_left_out() -> None:
    texts = [f"word {n}" for n in range(10)]
    assert told(*texts) == [*texts[:3], HELD_BACK, left_out(42), "word 9"]


def test_words_that_came_late_and_are_not_too_many_are_all_there() -> None:
    assert told("x" * 20, "late") == ["x" * 20, HELD_BACK, "late"]


def test_one_endless_word_is_shortened() -> None:
    [said, _] = told("x" * (ENTRY.most + 1))
    assert len(said) <= ENTRY.most


@given(st.lists(st.text(max_size=12)))
def test_nothing_is_lost_uncounted_and_the_order_is_kept(texts: list[str]) -> None:
    said = told(*texts)
    rest = [text for text in said if text != HELD_BACK and "left out" not in text]
    kept = sum(len(text) + 1 for text in rest)
    count = sum(len(text) + 1 for text in texts) - kept
    assert (left_out(count) in said) if count else (rest == texts)
    tail = len(rest) and next(
        (n for n in range(len(rest)) if rest[n:] == texts[-len(rest) + n :]), 0
    )
    assert rest[:tail] == texts[:tail]
    assert kept <= BOUNDS.head + BOUNDS.tail + 13
