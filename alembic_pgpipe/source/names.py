"""Names and argument lists as people write them, and as the server has them."""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

_WORD = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
NAME = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
WORD = re.compile(_WORD)
# What splits an argument list: brackets, commas, and quotes whose insides do not count.
MARKS = re.compile(
    r"(\$(?:[^\W\d]\w*)?\$)[\s\S]*?\1|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[(),\[\]]"
)
DEFAULT = re.compile(r"\s+DEFAULT\b.*|\s*:?=.*", re.I | re.S)
NOT_PASSED_IN = re.compile(r"\s*(?:OUT|TABLE)\s", re.I)
MODIFIERS = re.compile(r"\s*\([^)]*\)")
# What the server does not keep of a type: where it comes from, and how many dimensions.
CATALOG = re.compile(r"\bpg_catalog\s*\.\s*", re.I)
ARRAY = re.compile(r"(?:\s+array\b)?(?:\s*\[\d*\])+\Z|\s+array\Z", re.I)
FLOAT = re.compile(r"\bfloat\s*\(\s*(?P<bits>\d+)\s*\)", re.I)
FIELDS = re.compile(
    r"(?<=interval)\s+(?:year|month|day|hour|minute|second)(?:\s+to\s+\w+)?(?=(?:\[\])?\Z)",
    re.I,
)
OF_A_COLUMN = "%type"
# The server folds no other letters, and keeps no more of a name.
FOLDED = str.maketrans(ascii_uppercase, ascii_lowercase)
NAME_BYTES = 63
# Of more binary digits than these, a float is a double.
REAL_BITS = 24
SPELLINGS = {
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "int2": "smallint",
    "bool": "boolean",
    "decimal": "numeric",
    "dec": "numeric",
    "bpchar": "character",
    "nchar": "character",
    "varbit": "bit varying",
    "varchar": "character varying",
    "char": "character",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
}


def parts(name: str) -> tuple[str, ...]:
    """Return the parts of a qualified name as the catalogue has them."""
    return tuple(
        _cut(word[1:-1].replace('""', '"') if word.startswith('"') else word.translate(FOLDED))
        for word in WORD.findall(name)
    )


def _cut(name: str) -> str:
    return name.encode()[:NAME_BYTES].decode(errors="ignore")


def passed_in(text: str, opening: int) -> tuple[list[str], int]:
    """Return the declared arguments that a caller passes in, and where their list ends.

    ``opening`` is the offset of its bracket.
    """
    end = _end_of_list(text, opening)
    declared = split(text[opening + 1 : end])
    return [one for one in declared if one.strip() and not NOT_PASSED_IN.match(one)], end


def same_types(arguments: list[str], types: tuple[str, ...]) -> bool:
    """Tell whether arguments, as they are declared, are of types as the server has them."""
    return len(arguments) == len(types) and all(map(_has_type, arguments, types))


def split(text: str) -> list[str]:
    """Return the items of a list, split at the commas outside brackets and quotes."""
    items, depth, start = [], 0, 0
    for mark in MARKS.finditer(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(mark[0], 0)
        if mark[0] == "," and depth == 0:
            items.append(text[start : mark.start()].strip())
            start = mark.end()
    return [*items, text[start:].strip()]


def same_name(called: tuple[str, ...], created: tuple[str, ...]) -> bool:
    """Tell whether names agree; a schema that one of them lacks came from search_path."""
    shared = min(len(called), len(created))
    return called[-shared:] == created[-shared:]


def _has_type(argument: str, type_: str) -> bool:
    """Tell whether an argument, as it is declared, ends with a type."""
    said = CATALOG.sub("", DEFAULT.sub("", argument)).strip().lower()
    said = MODIFIERS.sub("", FLOAT.sub(_float, said))
    if said.endswith(OF_A_COLUMN):
        return True  # which type that is, the text does not say
    said = FIELDS.sub("", ARRAY.sub("[]", said))
    wanted = MODIFIERS.sub("", type_).strip().lower()
    first, _, last = said.rpartition(" ")
    array = last[len(last.rstrip("[]")) :]
    spelled = SPELLINGS.get(last.rstrip("[]"), last.rstrip("[]")) + array
    ways = (said, f"{first} {spelled}", last.rpartition(".")[2])
    bare = wanted.rpartition(".")[2]
    return any(f" {way}".endswith((f" {wanted}", f" {bare}")) for way in ways)


def _float(match: re.Match[str]) -> str:
    return "real" if int(match["bits"]) <= REAL_BITS else "double precision"


def _end_of_list(text: str, opening: int) -> int:
    depth = 0
    for mark in MARKS.finditer(text, opening):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth == 0 and mark[0] == ")":
            return mark.start()
    return len(text)
