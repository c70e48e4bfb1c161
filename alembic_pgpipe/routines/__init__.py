"""Routines and their kin: what a database holds, and what the project makes of it."""

from __future__ import annotations

from alembic_pgpipe.routines.catalog import Address, DatabaseObject, Kind, read_objects
from alembic_pgpipe.routines.definitions import Definition, read_definitions
from alembic_pgpipe.routines.dependencies import Dependant, read_dependants

__all__ = [
    "Address",
    "DatabaseObject",
    "Definition",
    "Dependant",
    "Kind",
    "read_definitions",
    "read_dependants",
    "read_objects",
]
