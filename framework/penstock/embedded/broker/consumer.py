"""A consumer: who gets the messages of a queue, and how many ahead of settling them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from penstock.embedded.broker.message import Held
    from penstock.embedded.broker.queue import Queue


class Receiver(Protocol):
    """The channel of a consumer."""

    @property
    def writable(self) -> bool:
        """Whether the client takes what is sent; a slow one gets no more until it has read."""

    def deliver(self, consumer: Consumer, held: Held) -> None:
        """Send a delivery."""

    def cancelled_by_broker(self, consumer: Consumer) -> None:
        """Tell the client that its consumer is gone, the queue being gone."""


@dataclass(slots=True, eq=False)
class Consumer:
    """`prefetch` is how many deliveries may be unsettled at one time, 0 for any number."""

    tag: str
    queue: Queue
    receiver: Receiver
    no_ack: bool = False
    exclusive: bool = False
    prefetch: int = 0
    unsettled: int = 0

    @property
    def ready(self) -> bool:
        """Whether it can take a delivery now."""
        return (not self.prefetch or self.unsettled < self.prefetch) and self.receiver.writable
