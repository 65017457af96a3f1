"""One server of the embedded stack from the first step to the last, in a process that a test runs as somebody else.

    python -m support.embedded_part NAME FOLDER PORT

writes one line of JSON: `user`, the user id the server ran as, and `stopped`, its exit code.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from penstock.drill.servers.wait import INTERVAL
from penstock.embedded.graph import GraphPart
from penstock.embedded.part import Place, environment
from penstock.embedded.postgres import PostgresPart

if TYPE_CHECKING:
    from penstock.embedded.part import Part

PARTS: dict[str, Part] = {part.name: part for part in (PostgresPart(), GraphPart())}
#: Seconds until the server has to answer.
READY = 60.0


def run(part: Part, place: Place) -> dict[str, int]:
    """Prepare, start, ask and stop it."""
    part.prepare(place)
    command = part.command(place)
    server = subprocess.Popen(command.words, cwd=place.folder, env=environment(command), stdout=sys.stderr)
    try:
        asyncio.run(until_it_answers(part, place, server))
        user = psutil.Process(server.pid).uids().real
        server.send_signal(part.stop_signal)
        return {"user": user, "stopped": server.wait(READY)}
    finally:
        server.kill()
        server.wait()


async def until_it_answers(part: Part, place: Place, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY
    while True:
        try:
            return await part.ping(place)
        except Exception:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
        await asyncio.sleep(INTERVAL)


def main(name: str, folder: str, port: str) -> None:
    part = PARTS[name]
    result = run(part, Place(Path(folder), int(port), part.username, "penstock-test"))
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
