"""The bar: where there is room for one, and what stands beside it."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from alembic_pgpipe.render.bar import TerminalDisplay, doing, has_room
from alembic_pgpipe.watching.blockers import Blocker
from alembic_pgpipe.watching.progress import Activity, Progress

UNUSED = "import sys, alembic_pgpipe.render.bar; sys.exit('rich' in sys.modules)"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8", *, broken: bool = False) -> None:
        super().__init__()
        self._encoding = encoding
        self._broken = broken

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._broken:
            raise OSError("the terminal has gone away")
        return super().write(text)


@pytest.mark.parametrize(
    ("stream", "environ", "room"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "CI": "false"}, True),
        (Terminal(), {"TERM": "xterm", "CI": "true"}, False),
        (Terminal(), {"TERM": "xterm", "CODEBUILD_BUILD_ID": "p:1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (Terminal("ascii"), {"TERM": "xterm"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_where_there_is_room(stream: io.StringIO, environ: dict[str, str], room: bool) -> None:
    assert has_room(stream, environ) is room


OTHER = Blocker(7, "shop", "active", 9.0, "SELECT 1")
BUILDING = Activity("building index", 41, 100)


@pytest.mark.parametrize(
    ("activity", "blockers", "text"),
    [
        (None, (), ""),
        (BUILDING, (), " · 41 % building index"),
        (Activity("COPY FROM: 9 rows", 41), (), " · COPY FROM: 9 rows"),
        (None, (OTHER,), " · blocked by process 7 (shop, active, for 9 s)"),
        (
            BUILDING,
            (OTHER, OTHER),
            " · blocked by process 7 (shop, active, for 9 s) · 41 % building index",
        ),
    ],
)
def test_what_stands_beside_it(
    activity: Activity | None, blockers: tuple[Blocker, ...], text: str
) -> None:
    shown = doing(Progress("a1", 4_001, 272_000, 1.0, activity, blockers))
    assert shown == f"4,001/272,000{text}"


def test_rich_is_imported_only_where_a_bar_is_shown() -> None:
    subprocess.run([sys.executable, "-c", UNUSED], check=True)


def test_a_terminal_that_has_gone_away_hurts_nothing() -> None:
    display = TerminalDisplay(Terminal(broken=True))
    display.show(Progress("a1", 1, 2, 1.0))
    display.hide()
    display.hide()
