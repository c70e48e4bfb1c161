"""Comments, blanks and quotes, as simply as they can be told; not the reader's way."""

from __future__ import annotations

import re

BLANKS = " \t\n\r\f\v"
LINE_COMMENT = re.compile(r"--[^\n\r]*")
COMMENT_BOUND = re.compile(r"/\*|\*/")
STRING = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'", re.DOTALL)
SPECIAL = re.compile(
    rf"(?P<comment>--|/\*)|(?P<string>{STRING.pattern})|\"(?:[^\"]|\"\")*\""
    r"|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$",
    re.DOTALL,
)


def without_leading_gap(text: str) -> str:
    """Return a text without the blanks and comments that it starts with."""
    text = text.lstrip(BLANKS)
    while text.startswith(("--", "/*")):
        text = text[comment_end(text, 0) :].lstrip(BLANKS)
    return text


def comment_end(text: str, at: int) -> int:
    """Return where a comment ends; at the end of the text where it never ends."""
    if comment := LINE_COMMENT.match(text, at):
        return comment.end()
    depth = 0
    for bound in COMMENT_BOUND.finditer(text, at):
        depth += 1 if bound[0] == "/*" else -1
        if not depth:
            return bound.end()
    return len(text)


def bare(text: str) -> str:
    """Return a statement without its comments; only its strings keep what they hold."""
    pieces, done = [], 0
    while special := SPECIAL.search(text, done):
        pieces.append(text[done : special.start()])
        done = special.end()
        if special["comment"]:
            pieces.append(" ")
            done = comment_end(text, special.start())
        else:
            pieces.append(special[0] if special["string"] else '""')
    return "".join((*pieces, text[done:]))
