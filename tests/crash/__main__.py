"""Try every cell of the matrix and write docs/crash-matrix.md: ``python -m tests.crash``.

What the page says already stays beside a new word: remove it to begin anew.  Nothing is
written where a promise was broken; the exit code is 1 then.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.crash.arena import ground
from tests.crash.faults import cases
from tests.crash.harness import disturb, undisturbed
from tests.crash.points import POINTS
from tests.crash.promise import outcome, violations
from tests.crash.table import TARGET, page, together, written


def main() -> int:
    """Return the exit code."""
    cells, known = dict[str, str](), written()
    broken, began, every = 0, time.monotonic(), cases(POINTS)
    with ground() as shared:
        for number, case in enumerate(every, 1):
            twin = undisturbed(shared, case.point.kind)
            seen = disturb(shared, case)
            cells[case.id] = together(known.get(case.id, ""), outcome(case, seen))
            found = violations(case, seen, twin)
            broken += bool(found)
            sys.stdout.write(f"{number}/{len(every)} {case.id}: {cells[case.id]}\n")
            sys.stdout.writelines(f"    {sentence}\n" for sentence in found)
    seconds = time.monotonic() - began
    sys.stdout.write(f"{len(every)} cells in {seconds:.0f} s, {broken} broken promises\n")
    if not broken:
        TARGET.write_text(page(cells), encoding="utf-8")
        sys.stdout.write(f"written: {TARGET.relative_to(Path.cwd())}\n")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
