"""A broker in memory behind `penstock.publisher`, that can be away, blocked, silent, or refuse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.blockage import Blockage
from penstock.errors import LinkError, PublishRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.clock import Clock
    from penstock.message import Message
    from penstock.settings import Settings


class MemoryBroker:
    """`taken` are the ids in the order they came, repeated ones too; `refused` are the routing keys it refuses."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()
        self.blockage = Blockage(lambda _reason: None, "raise")
        self.taken: list[str] = []
        self.refused: set[str] = set()
        #: It takes so many more messages and then loses its connections, their confirms with them.
        self.loses_after: int | None = None

    def sender(self, _settings: Settings, _name: str, _clock: Clock) -> MemoryBroker:
        """Stands for penstock.sender.Sender."""
        return self

    async def send(self, message: Message, given_up: Callable[[], bool]) -> None:  # noqa: ARG002 nothing waits here
        if not self.up.is_set():
            await asyncio.sleep(0)
            raise LinkError("the broker is away")
        await self.blockage.passable(0)
        if message.routing_key in self.refused:
            await asyncio.sleep(0)
            raise PublishRefused(f"no queue is bound for routing key '{message.routing_key}'")
        self.taken.append(message.id)
        if self.loses_after is not None:
            self.loses_after -= 1
            if self.loses_after <= 0:
                self.up.clear()
        await asyncio.sleep(0)
        if not self.up.is_set():
            raise LinkError("the connection was lost")
        await self.blockage.passable(0)

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def once(self) -> list[str]:
        """The ids in the order they came first."""
        return list(dict.fromkeys(self.taken))
