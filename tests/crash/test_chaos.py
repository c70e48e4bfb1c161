"""A short campaign with a fixed seed; ``make chaos`` goes on for as long as one likes."""

from __future__ import annotations

import pytest

from tests.crash.arena import Ground
from tests.crash.chaos import Figures, Shape, Way, play, tell

SEED = 20
PROJECTS = range(1, 9)


@pytest.mark.parametrize("number", PROJECTS)
def test_a_random_project_ends_where_an_undisturbed_one_would_have(
    ground: Ground, number: int
) -> None:
    figures = Figures()
    assert play(ground, tell(SEED, number), figures) == ()
    assert figures.runs


def test_a_story_is_told_alike_each_time() -> None:
    assert tell(SEED, 3) == tell(SEED, 3)
    assert len({tell(SEED, number) for number in PROJECTS}) == len(PROJECTS)


def test_the_stories_have_every_shape_and_way() -> None:
    plans = [plan for number in range(1, 30) for plan in tell(SEED, number).plans]
    assert {plan.shape for plan in plans} == set(Shape)
    assert {plan.way for plan in plans} == set(Way)
