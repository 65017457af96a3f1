"""What it costs to store a message in the outbox, against a bare commit of the same bytes on the same disk."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.clock import SystemClock
from penstock.drill.workload import EXCHANGE, ROUTING_KEY, body, message_id
from penstock.message import make, to_payload
from penstock.outbox import open_outbox
from penstock.settings import OutboxSettings

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.message import Message

#: Stores and commits measured; they take turns, so that both meet the same disk.
TURNS = 500


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of one store and of one bare commit, in milliseconds."""

    append_ms: float
    commit_ms: float

    @property
    def ratio(self) -> float:
        """How many bare commits a store costs."""
        return self.append_ms / self.commit_ms


def measure(folder: Path) -> Cost:
    """Measure in files of that folder: single stores, one after the other, as a lone publisher makes them."""
    return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> Cost:
    outbox = await open_outbox(OutboxSettings(), str(folder / "cost-outbox.sqlite"), SystemClock())
    bare = sqlite3.connect(folder / "cost-bare.sqlite", isolation_level=None)
    try:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE bare (position INTEGER PRIMARY KEY, payload BLOB)")
        stores, commits = [], []
        for number in range(TURNS):
            message = _message(number)
            start = time.perf_counter()
            await outbox.store(message)
            stored = time.perf_counter()
            bare.execute("INSERT INTO bare (payload) VALUES (?)", (to_payload(message),))
            commits.append(time.perf_counter() - stored)
            stores.append(stored - start)
    finally:
        bare.close()
        await outbox.close()
    return Cost(_median_ms(stores), _median_ms(commits))


def _message(number: int) -> Message:
    headers: dict[str, object] = {}
    kind = "application/json"
    return make(
        message_id(number), EXCHANGE, ROUTING_KEY, body(number), headers=headers, content_type=kind, now=time.time()
    )


def _median_ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds), 4)
