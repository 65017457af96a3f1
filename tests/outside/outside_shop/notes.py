"""A worker with a model and a sink of its own: notes into an SQLite file named by SHOP_NOTES."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from pydantic import BaseModel

from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.sink import Endpoint
from penstock.worker import Binding, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.outcome import Outcome
    from penstock.record import Batch
    from penstock.settings import Settings


class Note(BaseModel):
    id: int
    text: str


class SqliteSink:
    """One row a note; the content hash stands beside it, so that the same note is written once."""

    _database: sqlite3.Connection | None = None

    async def open(self, endpoint: Endpoint) -> None:
        try:
            self._database = sqlite3.connect(endpoint.url)
        except sqlite3.OperationalError as error:
            raise SinkUnavailable(f"{endpoint.name}: {error}") from error

    async def prepare(self) -> None:
        self._opened.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT, hash TEXT)")

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        with self._opened as transaction:
            for record in batch.records:
                changed = transaction.execute(
                    "INSERT INTO notes VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
                    " SET text = excluded.text, hash = excluded.hash WHERE hash IS NOT excluded.hash",
                    (*record.row, record.content_hash),
                )
                outcomes.append(WRITTEN if changed.rowcount else DUPLICATE)
        return outcomes

    async def ping(self) -> None:
        self._opened.execute("SELECT 1")

    async def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise SinkUnavailable("the file is not open")
        return self._database


def endpoints(_settings: Settings) -> list[Endpoint]:
    return [Endpoint("notes-file", os.environ["SHOP_NOTES"])]


worker = Worker(
    name="shop-notes",
    description="Notes of the shop in a file",
    model=Note,
    natural_key=lambda note: note.id,
    mapping=lambda note: (note.id, note.text),
    sink=lambda _worker, _settings: SqliteSink(),
    endpoints=endpoints,
    bindings=(Binding("shop", "note"),),
)
