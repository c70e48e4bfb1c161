"""What a revision file declares, read from its text where that is exactly the template's.

Importing a file costs a hundred times as much as reading it, and most of a long history is
never run again.  A file that differs in any way from what the template writes is not read
here: only Python knows what it declares.
"""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

# No quote, backslash or line break within: what stands between the quotes is the value.
WITHIN = r"[^'\\\r\n\0]+"
TEXT = rf"'({WITHIN})'"
SEVERAL = rf"\('{WITHIN}'(?:, '{WITHIN}')*,?\)"
# One text, or the text of a tuple.
VALUE = rf"(?:None|{TEXT}|({SEVERAL}))"
DOCSTRING = r'"""[^"\\\r\0]*(?:"(?!"")[^"\\\r\0]*)*"""'
DECLARATIONS = (
    rf"revision = {TEXT}\n"
    rf"down_revision = {VALUE}\n"
    rf"branch_labels = {VALUE}\n"
    rf"depends_on = {VALUE}\n"
)
WRAPPER = (
    rf"\n{DECLARATIONS}\nsource = {TEXT}\nundo = (?:None|{TEXT})\n\n\n"
    r"def upgrade\(\) -> None:\n    op\.run_source\(source\)\n\n\n"
    r"def downgrade\(\) -> None:\n    op\.run_source\(undo\)\n"
)
EMPTY = (
    rf"import sqlalchemy as sa\n\n\n{DECLARATIONS}\n\n"
    r"def upgrade\(\) -> None:\n    pass\n\n\n"
    r"def downgrade\(\) -> None:\n    pass\n"
)
OF_WRAPPER = 9
EXACT = re.compile(rf"{DOCSTRING}\n\nfrom alembic import op\n(?:{WRAPPER}|{EMPTY})\Z")


class Header(NamedTuple):
    """The variables of a revision file, as Alembic and this package look at them.

    ``down_revision``, ``branch_labels`` and ``depends_on`` are None, one text or several.
    """

    # Ten thousand are made at a time, three times as fast as a frozen dataclass.

    revision: str
    down_revision: str | tuple[str, ...] | None
    branch_labels: str | tuple[str, ...] | None = None
    depends_on: str | tuple[str, ...] | None = None
    source: str | None = None
    undo: str | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """Return what it builds on."""
        down = self.down_revision
        return (down,) if isinstance(down, str) else tuple(down or ())

    @property
    def is_plain(self) -> bool:
        """Return whether it stands in the history by ``down_revision`` alone."""
        return self.branch_labels is None and self.depends_on is None


def read_header(text: bytes) -> Header | None:
    """Return what a file declares, or None where its text is not exactly the template's."""
    try:
        found = EXACT.match(text.decode())
    except UnicodeDecodeError:
        return None
    if found is None:
        return None
    groups: tuple[Any, ...] = found.groups()
    of_wrapper = groups[0] is not None
    values = groups[:OF_WRAPPER] if of_wrapper else (*groups[OF_WRAPPER:], None, None)
    revision, down, downs, label, labels, depends, all_depends, source, undo = values
    return Header(
        revision,
        down or _several(downs),
        label or _several(labels),
        depends or _several(all_depends),
        source,
        undo,
    )


def _several(text: str | None) -> Any:
    """Return a tuple of texts, as Python would read it."""
    return text and ast.literal_eval(text)
