"""`python -m penstock.embedded.broker FOLDER PORT` is the development broker."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from penstock.embedded.broker.events import complain
from penstock.embedded.broker.server import serve
from penstock.errors import PenstockError


def main(folder: str, port: str) -> int:
    """Run the broker; its exit code."""
    try:
        asyncio.run(serve(Path(folder), int(port)))
    except PenstockError as error:
        complain(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
