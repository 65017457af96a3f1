"""A service of known vulnerabilities on loopback, with the OSV query that pip-audit asks."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Advisories:
    """Says that the packages of `vulnerable` have the weakness PYSEC-0000-1; `asked` holds all that were asked for."""

    def __init__(self, *vulnerable: str) -> None:
        self.vulnerable = frozenset(vulnerable)
        self.asked: dict[str, str] = {}
        self.url = ""

    def answer(self, name: str, version: str) -> dict[str, Any]:
        """What OSV would answer for one version of a package."""
        self.asked[name] = version
        if name not in self.vulnerable:
            return {}
        events = [{"introduced": "0"}, {"fixed": "9999.0"}]
        affected = {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        weakness = {"id": "PYSEC-0000-1", "summary": "made up", "affected": [affected]}
        return {"vulns": [{**weakness, "published": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z"}]}


@contextmanager
def advisories(*vulnerable: str) -> Iterator[Advisories]:
    """Serve until the end of the block."""
    told = Advisories(*vulnerable)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(told.answer(asked["package"]["name"], asked["version"])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}/v1/query"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
