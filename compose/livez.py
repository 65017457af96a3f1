"""HEALTHCHECK of the image: ends with 0 while the worker in this container answers /livez, else with 1 and why."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

#: Seconds for the answer. Below the time limit of HEALTHCHECK.
LIMIT = 4
#: The state LISTEN in /proc/net/tcp, see proc_net_tcp in the kernel's documentation.
LISTEN = "0A"
OK = 200
#: Bytes in which the kernel writes an address, the last one first; IPv4 is one of them.
WORD = 4


def listener() -> tuple[str, int]:
    """Return host and port at which a process of this container listens: nobody has to say the port a second time.

    Raises LookupError where none does.
    """
    ours = {f"socket:[{inode}]": address for inode, address in _listening()}
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        # It may have ended or been closed by now.
        with suppress(OSError):
            if address := ours.get(str(entry.readlink())):
                return address
    raise LookupError("no process of this container listens")


def _listening() -> list[tuple[str, tuple[str, int]]]:
    found = []
    for table in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")):
        # There is no tcp6 where IPv6 is switched off.
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == LISTEN:
                host, _, port = fields[1].partition(":")
                found.append((fields[9], (_host(host), int(port, 16))))
    return found


def _host(words: str) -> str:
    raw = bytes.fromhex(words)
    address = b"".join(raw[start : start + WORD][::-1] for start in range(0, len(raw), WORD))
    return socket.inet_ntop(socket.AF_INET6 if len(address) > WORD else socket.AF_INET, address)


def main() -> str | None:
    """Ask, and return what is wrong."""
    try:
        connection = HTTPConnection(*listener(), timeout=LIMIT)
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, HTTPException, LookupError) as error:
        return f"/livez: {error}"
    return None if status == OK else f"/livez answers {status}"


if __name__ == "__main__":
    sys.exit(main())
