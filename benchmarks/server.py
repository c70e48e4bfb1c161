"""The server that is measured with: it keeps its data through a crash, as it is shipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic_pgpipe.scratch.server import ScratchServer, scratch_server

# A scratch server may lose everything with the machine, which makes each commit cheap.  What
# a pipeline deploys to may not, so whoever commits more often has to pay for it here.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


@contextmanager
def measured_server(folder: Path, *, durable: bool = True) -> Iterator[ScratchServer]:
    """Run a server whose data is kept in a folder, and stop it afterwards.

    One that is not ``durable`` waits for no disk, and may lose its data with the machine.
    """
    settings = DURABLE if durable else {}
    with scratch_server(folder, os.environ, settings=settings) as server:
        yield server
