"""Messages out: `penstock publish` and `penstock.Publisher` beside a bare publisher, and `penstock dlq replay`."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import filling
from bench.commands import run_command
from bench.group import Group
from bench.measured import Ratio
from bench.processes import run_peer
from bench.rows import bodies
from bench.scale import USUAL_BYTES
from bench.workers import ROWS
from penstock.drill.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measured import Run
    from bench.scale import Scale
    from bench.servers import Servers

LETTERS = f"{ROWS}.dlq"
#: As a worker wrote them.
HEADERS = {
    "penstock-error-reason": "invalid",
    "penstock-error-class": "ValidationError",
    "penstock-error-message": "amount: Input should be a valid number",
    "penstock-original-exchange": "",
    "penstock-original-routing-key": ROWS,
    "penstock-worker": ROWS,
    "penstock-attempts": 1,
    "penstock-failed-at": "2026-01-01T00:00:00.000+00:00",
    "penstock-replays": 0,
}
RATIOS = (
    Ratio("publish_vs_aio_pika", "publish", "publish_aio_pika"),
    Ratio("publisher_vs_aio_pika", "publisher", "publish_aio_pika"),
    Ratio("replay_one_vs_publish", "replay_one", "publish"),
    Ratio("replay_vs_publish", "replay", "publish"),
    Ratio("replay_vs_aio_pika", "replay", "publish_aio_pika"),
)


class Publishing:
    """The contenders."""

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._scale = scale
        self._fixed = {**environment, "BENCH_BODY_BYTES": str(USUAL_BYTES)}
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-bench-")  # removed with its last user

    def group(self) -> Group:
        """All contenders."""
        contenders: dict[str, Callable[[], Run]] = {
            "publish_aio_pika": self._aio_pika,
            "publish": self._publish,
            "publisher": self._publisher,
            "replay_one": partial(self._replay, self._scale.letters, in_flight=1),
            "replay": partial(self._replay, self._scale.rows, in_flight=100),
        }
        return Group("publish", contenders, self._scale.other_rounds, RATIOS, self._prepare)

    def _prepare(self) -> None:
        """A letter whose row was written since would stay: the table is there, and empty."""
        self._servers.empty_table()
        Installation(self._environment()).drain(ROWS)

    def _aio_pika(self) -> Run:
        return self._peer("aio_pika_publish")

    def _publisher(self) -> Run:
        return self._peer("penstock_publisher")

    def _peer(self, module: str) -> Run:
        self._empty(0)
        count = self._scale.rows
        return self._arrived(run_peer(module, ROWS, count, self._environment()), count)

    def _publish(self) -> Run:
        def words(count: int) -> Sequence[str]:
            file = Path(self._folder.name) / f"{count}.jsonl"
            if not file.exists():
                file.write_bytes(b"".join(body + b"\n" for body in bodies(count, USUAL_BYTES)))
            return ("publish", "jsonl", str(file), "--exchange", "", "--routing-key", ROWS)

        count = self._scale.rows
        return self._arrived(run_command(words, count, self._environment(), self._empty), count)

    def _replay(self, count: int, *, in_flight: int) -> Run:
        """Letters go back into the queue, which is emptied before; the table they are looked up in is there."""
        self._empty(0)

        def fill(count: int) -> None:
            filling.fill(self._broker_url, LETTERS, bodies(count, USUAL_BYTES), HEADERS)

        words = ("dlq", "replay", ROWS, "--in-flight", str(in_flight))
        run = run_command(lambda _: words, count, self._environment(), fill)
        return self._arrived(run, count + 1)  # and the one that stands for the start-up

    def _empty(self, _count: int) -> None:
        filling.fill(self._broker_url, ROWS, ())

    def _arrived(self, run: Run, count: int) -> Run:
        if (depth := filling.depth(self._broker_url, ROWS)) != count:
            raise RuntimeError(f"{count} were published, {depth} are in the queue")
        return run

    @property
    def _broker_url(self) -> str:
        return self._servers.virtual_host("quorum")

    def _environment(self) -> dict[str, str]:
        return self._servers.environment(self._fixed)


def publish(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """Publishers, and what is published again out of a DLQ."""
    return [Publishing(servers, scale, environment).group()]
