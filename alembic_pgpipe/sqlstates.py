"""The server's error codes that something is decided by; PostgreSQL docs, Appendix A."""

from __future__ import annotations

ACTIVE_TRANSACTION = "25001"
READ_ONLY = "25006"
NO_ACTIVE_TRANSACTION = "25P01"
# Of a COMMIT, or the like, that a statement may not do in a transaction of others.
INVALID_TERMINATION = "2D000"
SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
INSUFFICIENT_PRIVILEGE = "42501"
DISK_FULL = "53100"
OUT_OF_MEMORY = "53200"
LOCK_NOT_AVAILABLE = "55P03"
UNCOMMITTED_VALUE = "55P04"
# By a person, or by statement_timeout.
CANCELED = "57014"

# Classes: what codes begin with.  Connection exceptions, and a backend or a server that was
# told to stop.
LOST_CONNECTION = ("08", "57P")
CONSTRAINT = "23"
# A full disk, no memory, a limit of the server's configuration.
NO_RESOURCES = "53"
