"""How much work something is: counted, because a clock says it differently each time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

# What reading takes however short the text is, with some to spare.
CONSTANT = 2_000


def lines_run(action: Callable[[], object]) -> int:
    """Return how many lines of Python an action runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def is_linear(action: Callable[[str], object], text: str, times: int = 40) -> bool:
    """Tell whether twice as much of a text is about twice as much work."""
    once = lines_run(lambda: action(text * times))
    twice = lines_run(lambda: action(text * times * 2))
    return twice <= 2.2 * once + CONSTANT
