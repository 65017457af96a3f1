"""What of the broker survives a restart: durable queues, exchanges and bindings, and messages in the journal."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

from pamqp import decode, encode

from penstock.embedded.broker.arguments import queue_arguments
from penstock.embedded.broker.exchange import Binding, Exchange
from penstock.embedded.broker.message import from_payload, to_payload
from penstock.embedded.broker.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pamqp.common import FieldTable

    from penstock.embedded.broker.exchange import ExchangeType, Kind
    from penstock.embedded.broker.message import Held
    from penstock.journal import Journal

#: The keys of the journal that the broker uses; under the second, by queue, how far it was delivered.
DEFINITIONS = "definitions"
_DELIVERED = "delivered/"
_POSITION = struct.Struct(">Q")


class Store:
    """Names queues and messages to the journal. Only journaled queues are known to it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def commit(self) -> None:
        """Return when all changes are on the disk. Raises JournalError."""
        self._journal.commit()

    def add(self, queue: Queue, held: Held) -> None:
        """Keep a message of a queue."""
        held.position = self._journal.append(queue.name, to_payload(held))

    def returned(self, queue: Queue, held: Held) -> None:
        """Keep how often a message came back."""
        if held.position is not None and held.returns:
            self._journal.replace(held.position, queue.name, to_payload(held))

    def delivered(self, queue: Queue, held: Held) -> None:
        """Keep that a message may have been delivered: after a restart it comes as redelivered."""
        if held.position is not None and held.position > queue.delivered_up_to:
            queue.delivered_up_to = held.position
            self._journal.put(_DELIVERED + queue.name, _POSITION.pack(held.position))

    def remove(self, held: Held) -> None:
        """Forget a message."""
        if held.position is not None:
            self._journal.remove(held.position)

    def drop(self, queue: Queue) -> None:
        """Forget a queue with all that is in it."""
        if queue.journaled:
            self._journal.drop(queue.name)
            self._journal.put(_DELIVERED + queue.name, None)

    def save_definitions(self, queues: Iterable[Queue], exchanges: Iterable[Exchange]) -> None:
        """Keep the durable queues, exchanges and the bindings between them."""
        journaled = {queue.name: queue for queue in queues if queue.journaled}
        durable = {exchange.name: exchange for exchange in exchanges if exchange.durable}
        kept = {"queue": journaled.keys(), "exchange": durable.keys()}
        table: FieldTable = {
            "queues": [_queue_table(queue) for queue in journaled.values()],
            "exchanges": [_exchange_table(exchange) for exchange in durable.values()],
            "bindings": [
                _binding_table(exchange, binding)
                for exchange in durable.values()
                for binding in exchange.bindings.values()
                if binding.destination in kept[binding.kind]
            ],
        }
        self._journal.put(DEFINITIONS, encode.field_table(table))

    def load(self) -> tuple[list[Queue], list[Exchange]]:
        """The queues with their messages, and the exchanges with their bindings. Raises JournalError."""
        _, table = decode.field_table(self._journal.get(DEFINITIONS) or encode.field_table({}))
        queues = {queue.name: queue for queue in map(_queue, _tables(table, "queues"))}
        exchanges = {exchange.name: exchange for exchange in map(_exchange, _tables(table, "exchanges"))}
        for one in _tables(table, "bindings"):
            kind = cast("Kind", one["kind"])
            binding = Binding(kind, str(one["destination"]), str(one["routing_key"]), _table(one["arguments"]))
            exchanges[str(one["source"])].bind(binding)
        for queue in queues.values():
            mark = self._journal.get(_DELIVERED + queue.name)
            queue.delivered_up_to = _POSITION.unpack(mark)[0] if mark else 0
        for entry in self._journal.entries():
            queues[entry.stream].restore(from_payload(entry.payload, entry.position))
        return list(queues.values()), list(exchanges.values())


def _queue_table(queue: Queue) -> FieldTable:
    return {"name": queue.name, "auto_delete": queue.auto_delete, "arguments": queue.arguments.given}


def _queue(table: FieldTable) -> Queue:
    name = str(table["name"])
    arguments = queue_arguments(name, _table(table["arguments"]))
    return Queue(name, arguments, durable=True, auto_delete=bool(table["auto_delete"]))


def _exchange_table(exchange: Exchange) -> FieldTable:
    return {"name": exchange.name, "type": exchange.type, "internal": exchange.internal}


def _exchange(table: FieldTable) -> Exchange:
    return Exchange(str(table["name"]), cast("ExchangeType", table["type"]), internal=bool(table["internal"]))


def _binding_table(source: Exchange, binding: Binding) -> FieldTable:
    return {
        "source": source.name,
        "kind": binding.kind,
        "destination": binding.destination,
        "routing_key": binding.routing_key,
        "arguments": binding.arguments,
    }


def _table(value: object) -> FieldTable:
    return cast("FieldTable", value)


def _tables(table: FieldTable, name: str) -> Iterator[FieldTable]:
    yield from cast("list[FieldTable]", table.get(name, []))
