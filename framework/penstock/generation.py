"""A generation: one life of one channel.

Delivery tags mean something only within it. It ends when the channel or the connection is lost, when
the broker cancels the consumer (an ack sent after that could remove a message of a queue declared
anew), and when the watchdog gives it up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.settlement import AckWindow

if TYPE_CHECKING:
    from aiormq.channel import Channel


@dataclass(slots=True, eq=False)
class Generation:
    """One life of the consuming channel; `number` counts them from 1, `held_bytes` is of bodies not settled.

    `consumed` says whether a consumer was ever asked for; `opened_at` is of the monotonic clock, in seconds.
    `quiet_at` is what had been received at the watchdog's last look, `quiet_looks` how often it found no more.
    """

    number: int
    channel: Channel
    opened_at: float
    window: AckWindow = field(default_factory=AckWindow)
    consumer_tag: str | None = None
    consumed: bool = False
    received: int = 0
    held_bytes: int = 0
    quiet_at: int | None = None
    quiet_looks: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = ""

    def end(self, why: str) -> None:
        """Nothing may be settled on this channel any more."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()
