"""Which releases of Alembic the comparison runs with."""

from __future__ import annotations

from pathlib import Path

from tests.alembic_releases import COMPARED, allowed, oldest

LISTED = """\
alembic (1.21.0)
Available versions: 1.21.0, 1.20.10, 1.20.2, 1.20.1, 1.20.0, 1.9.4, 0.7.5.post2
  INSTALLED: 1.20.1
"""


def test_the_oldest_release_is_what_the_package_requires() -> None:
    assert oldest(["SQLAlchemy>=2.1", "alembic>=1.20.1", "boto3"]) == "1.20.1"


def test_releases_from_the_oldest_on_are_asked_in_order() -> None:
    assert allowed(LISTED, "1.20.1") == ["1.20.1", "1.20.2", "1.20.10", "1.21.0"]


def test_a_release_that_is_no_plain_one_is_left_out() -> None:
    assert allowed(LISTED, "0.7") == [
        *("1.9.4", "1.20.0", "1.20.1", "1.20.2", "1.20.10", "1.21.0"),
    ]


def test_the_tests_that_it_runs_are_there() -> None:
    project = Path(__file__).parents[2]
    assert [one for one in COMPARED if not (project / one).exists()] == []
