"""What of a composed source is the working copies' own text; see :mod:`composed`."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A checkout may have given a whole file CRLF.
_LINE, _END = r"(?P<line>\r?\n)", r"(?P=line)"
WRITTEN = re.compile(rf"{_LINE}-- wrap: begin[^\r\n]*{_END}.*?{_END}-- wrap: end{_END}", re.S)
SECTION = re.compile(rf"{_LINE}-- wrap: (?P<name>\S[^\r\n]*) v(?P<version>\d{{3,}}){_END}")
# A text that is kept for the next comparison, and not run.
TOLD = re.compile(
    rf"{_LINE}-- wrap: not run{_END}(?P<lines>(?:--\|[^\n]*\n)*)-- wrap: end{_END}"
)
TOLD_LINE = "--|"


def copied_text(text: str) -> str:
    """Return the working copy's text that a composed one holds."""
    return WRITTEN.sub("", TOLD.sub(_untold, text))


def is_plain(text: str) -> bool:
    """Tell whether a source holds nothing but a working copy's text."""
    return WRITTEN.search(text) is None and TOLD.search(text) is None


def sections(text: str) -> Iterator[tuple[str, int, str]]:
    """Yield name, version and text of each working copy in a source of several."""
    marks = list(SECTION.finditer(text))
    ends = (*(mark.start() for mark in marks[1:]), len(text))
    for mark, end in zip(marks, ends, strict=False):
        yield mark["name"], int(mark["version"]), copied_text(text[mark.end() : end])


def _untold(match: re.Match[str]) -> str:
    lines = match["lines"].removesuffix(match["line"]).split("\n")
    own = (line.removeprefix(TOLD_LINE) for line in lines)
    return "\n".join(line.replace(f"\r{TOLD_LINE}", "\r") for line in own)
