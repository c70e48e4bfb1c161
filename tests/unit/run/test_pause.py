"""The pause before another try: ever longer, and never the same for two runs."""

from __future__ import annotations

import random

import pytest

from alembic_pgpipe.run.setback import pause_seconds

TRIES = range(1, 6)


def pauses(seed: int) -> list[float]:
    chance = random.Random(seed)
    return [pause_seconds(tries, chance) for tries in TRIES]


def test_two_runs_that_failed_together_do_not_try_again_together() -> None:
    first, second = pauses(1), pauses(2)
    assert all(abs(a - b) > 0.01 for a, b in zip(first, second, strict=True))


def test_chance_is_all_that_makes_the_difference() -> None:
    assert pauses(1) == pauses(1)


@pytest.mark.parametrize("tries", TRIES)
def test_a_pause_is_half_a_second_doubled_with_each_try_and_by_half_longer_or_shorter(
    tries: int,
) -> None:
    middle = 0.5 * 2 ** (tries - 1)
    found = [pause_seconds(tries, random.Random(seed)) for seed in range(200)]
    assert 0.5 * middle <= min(found) < 0.6 * middle
    assert 1.4 * middle < max(found) <= 1.5 * middle
