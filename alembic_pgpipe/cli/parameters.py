"""What is typed behind a command, refused where nothing could be done with it."""

from __future__ import annotations

import math

import click


def utf8(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse what a shell has handed over as bytes that are no text."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        message = f"{value!r} is not UTF-8, and the database keeps nothing else."
        raise click.BadParameter(message, context, parameter) from None
    return value


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse what no clock can count: less than nothing, nan, and a wait without an end."""
    if not 0 <= value < math.inf:
        raise click.BadParameter("must be 0 or more seconds.", context, parameter)
    return value
