"""The promise is kept at each point, whatever happens there; docs/crash-matrix.md says how.

Every 17th cell is tried here; ``make crash`` tries all of them and writes the page.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.arena import Ground
from tests.crash.faults import FAULTS, Case, cases
from tests.crash.harness import disturb, undisturbed
from tests.crash.points import POINTS
from tests.crash.promise import violations
from tests.crash.table import TARGET, page, written

PARTS = 17
EVERY = cases(POINTS)


# A part that is tried each time; each fault and nearly each point has some.
TRIED = EVERY[::PARTS]


@pytest.mark.parametrize("case", TRIED, ids=lambda case: case.id)
def test_the_next_run_ends_where_an_undisturbed_one_would_have(
    ground: Ground, case: Case
) -> None:
    seen = disturb(ground, case)
    told = f"{seen.first.output}\n-- the next run:\n{seen.next.output}"
    assert violations(case, seen, undisturbed(ground, case.point.kind)) == (), told


def test_the_page_is_made_of_the_points_and_faults() -> None:
    assert TARGET.read_text("utf-8") == page(written())


def test_a_line_of_a_point_that_is_gone_moves_no_other(tmp_path: Path) -> None:
    text = TARGET.read_text("utf-8")
    target = tmp_path / "page.md"
    target.write_text(text.replace("|\n| ", f"|\n| gone {'| again ' * len(FAULTS)}|\n| ", 9))
    assert target.read_text("utf-8") != text
    assert page(written(target)) == text


def test_the_part_has_every_fault() -> None:
    assert {case.fault for case in TRIED} == set(FAULTS)


def test_every_point_is_one_of_its_own() -> None:
    assert len({point.id for point in POINTS}) == len(POINTS)
