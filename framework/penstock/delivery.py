"""A message as the broker delivered it: settleable before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pamqp.commands import Basic

#: The generation of a delivery that came from no channel: none ever has this number, so it is never settled.
NO_GENERATION = 0

#: Returns from which on a delivery is a suspect. RabbitMQ counts those of a lost connection on every version.
SUSPECT_RETURNS = 3
#: Where a message came from that is published again, to a queue by its name.
ORIGIN_HEADERS = ("penstock-original-exchange", "penstock-original-routing-key")


@dataclass(slots=True, eq=False)
class Delivery:
    """One delivery of one message.

    `generation` numbers the channel it came on; `tag` is its delivery tag there (1, 2, 3 …).
    Settling it on any other generation is meaningless and never sent.
    """

    generation: int
    tag: int
    body: bytes
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Basic.Properties

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
