"""A message as the broker delivered it: settleable before anything is decoded."""

from __future__ import annotations

from typing import Any

import structlog
from pamqp import decode
from pamqp.commands import Basic

log = structlog.get_logger(__name__)

#: The generation of a delivery that came from no channel: none ever has this number, so it is never settled.
NO_GENERATION = 0

#: Returns from which on a delivery is a suspect. RabbitMQ counts those of a lost connection on every version.
SUSPECT_RETURNS = 3
#: Where a message came from that is published again, to a queue by its name.
ORIGIN_HEADERS = ("penstock-original-exchange", "penstock-original-routing-key")
#: Says of a message that some of its headers or properties could not be sent on, or not be read.
LEFT_OUT_HEADER = "penstock-headers-left-out"

#: In a content header: the bytes before the words that say which properties there are, and of such a word.
_FLAGS_AT = 12
_WORD = 2
#: Each property's flag, its name and what reads it, in the order in which they stand.
_PROPERTIES = [
    (flag, name, decode.METHODS[Basic.Properties.amqp_type(name)]) for name, flag in Basic.Properties.flags.items()
]


class Delivery:
    """One delivery of one message.

    `generation` numbers the channel it came on; `tag` is its delivery tag there (1, 2, 3 …).
    Settling it on any other generation is meaningless and never sent.
    """

    __slots__ = ("_properties", "body", "exchange", "generation", "redelivered", "routing_key", "tag")

    def __init__(
        self,
        generation: int,
        tag: int,
        body: bytes,
        *,
        exchange: str,
        routing_key: str,
        redelivered: bool,
        properties: Basic.Properties | bytes,
    ) -> None:
        self.generation = generation
        self.tag = tag
        self.body = body
        self.exchange = exchange
        self.routing_key = routing_key
        self.redelivered = redelivered
        self._properties = properties

    @property
    def properties(self) -> Basic.Properties:
        """The message's properties; where it came with a content header in AMQP's bytes they are decoded now.

        Of those that cannot be decoded there are the ones before the first that cannot, and LEFT_OUT_HEADER.
        """
        if isinstance(self._properties, bytes):
            self._properties = _decoded(self._properties)
        return self._properties

    @property
    def headers(self) -> dict[str, Any]:
        """The message's headers; an empty dict where it has none."""
        return self.properties.headers or {}

    @property
    def is_suspect(self) -> bool:
        """Whether it came back so often that it may be what ends the process; a queue that does not count has none."""
        returns = self.headers.get("x-delivery-count") if self.redelivered else 0
        return isinstance(returns, int) and returns >= SUSPECT_RETURNS

    @property
    def origin(self) -> tuple[str, str]:
        """Exchange and routing key that it was published with, though a retry queue or a replay lies between."""
        exchange, routing_key = (self.headers.get(name) for name in ORIGIN_HEADERS)
        if not self.exchange and isinstance(exchange, str) and isinstance(routing_key, str):
            return exchange, routing_key
        return self.exchange, self.routing_key


def _decoded(header: bytes) -> Basic.Properties:
    """The properties of a content header: as the client library reads them, less its search for those not there."""
    found = Basic.Properties()
    at = _FLAGS_AT
    try:
        flags = int.from_bytes(header[at : at + _WORD])
        while header[at + 1] & 1:  # another word follows; AMQP knows no property that it could speak of
            at += _WORD
        values = header[at + _WORD :]
        for flag, name, read in _PROPERTIES:
            if flags & flag:
                size, value = read(values)
                setattr(found, name, value)
                values = values[size:]
    except Exception as error:  # noqa: BLE001 whatever the library stumbles over must not stop the queue
        log.warning("properties_unreadable", error=f"{type(error).__name__}: {error}")
        found.headers = {**(found.headers or {}), LEFT_OUT_HEADER: True}
    return found
