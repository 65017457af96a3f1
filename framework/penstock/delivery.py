"""A message as the broker delivered it: settleable before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pamqp.commands import Basic


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
