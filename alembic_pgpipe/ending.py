"""How a process ends that runs one command and nothing else."""

from __future__ import annotations

import atexit
import gc


def end_soon() -> None:
    """Let this process look for garbage once when it ends, and not at all that it still has.

    Python does that several times over, which is a tenth of what a command takes that has
    nothing to do.
    """
    atexit.register(_collect_once)


def _collect_once() -> None:
    gc.collect()
    gc.freeze()
