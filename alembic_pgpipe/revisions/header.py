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
TEXT = rb"'[^'\\\r\n\0]+'"
VALUE = rb"(None|" + TEXT + rb"|\(" + TEXT + rb"(?:, " + TEXT + rb")*,?\))"
DOCSTRING = rb'"""[^"\\\r\0]*(?:"(?!"")[^"\\\r\0]*)*"""'
DECLARATIONS = (
    rb"revision = (" + TEXT + rb")\n"
    rb"down_revision = " + VALUE + rb"\n"
    rb"branch_labels = " + VALUE + rb"\n"
    rb"depends_on = " + VALUE + rb"\n"
)
WRAPPER = (
    rb"\n" + DECLARATIONS + rb"\nsource = (" + TEXT + rb")\nundo = (None|" + TEXT + rb")\n\n\n"
    rb"def upgrade\(\) -> None:\n    op\.run_source\(source\)\n\n\n"
    rb"def downgrade\(\) -> None:\n    op\.run_source\(undo\)\n"
)
EMPTY = (
    rb"import sqlalchemy as sa\n\n\n" + DECLARATIONS + rb"\n\n"
    rb"def upgrade\(\) -> None:\n    pass\n\n\n"
    rb"def downgrade\(\) -> None:\n    pass\n"
)
EXACT = re.compile(
    DOCSTRING + rb"\n\nfrom alembic import op\n(?:" + WRAPPER + rb"|" + EMPTY + rb")\Z"
)


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
    found = EXACT.match(text)
    if found is None or not (text.isascii() or _is_utf8(text)):
        return None
    of_wrapper = found[1] is not None
    revision, *others = map(_value, found.groups()[:6] if of_wrapper else found.groups()[6:])
    return Header(str(revision), *others)


def _value(text: bytes) -> Any:
    """Return None, a text, or a tuple of texts, as Python would read it."""
    if text == b"None":
        return None
    return text[1:-1].decode() if text[:1] == b"'" else ast.literal_eval(text.decode())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
