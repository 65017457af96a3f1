"""The receive path: deliveries and confirms are decoded from whole reads of the socket, past the client library.

All else that the broker sends goes on to the library as it came. So a message costs no task, no turn of a queue and no
object but its own, and the connection, its channels and their settling stay the library's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from penstock.clock import SystemClock
from penstock.splitter import Registered, Splitter
from penstock.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import SupportsIndex

    from penstock.blockage import Blockage
    from penstock.clock import Clock
    from penstock.confirms import Confirms
    from penstock.splitter import Received

#: A heartbeat of the broker.
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
#: Seconds for which the client library may hear nothing while deliveries come.
_SILENCE = 1.0


class Receiver(asyncio.StreamReader):
    """What comes from the broker: deliveries go to their consumers, the rest to the client library, which reads this.

    What the broker says of taking messages goes to `blockage`; `throttle` says when nothing is read.
    """

    def __init__(self, blockage: Blockage | None, throttle: Throttle | None = None, clock: Clock | None = None) -> None:
        super().__init__()
        self._throttle = throttle or Throttle()
        self._blockage = blockage
        self._clock = clock or SystemClock()
        self._splitter = Splitter(self._notice)
        self._fed_at = self._clock.monotonic()
        #: Nothing more comes.
        self._over = False

    def consume(self, channel: int, consumer_tag: str, generation: int, received: Received, frame_max: int) -> None:
        """Hand the deliveries of a consumer to `received`: all that one read of the socket has completed, at once.

        To be called before basic.consume is sent. `frame_max` is what the connection has agreed on, in bytes.
        """
        self._splitter.add(channel, consumer_tag, Registered(generation, received), frame_max)

    def confirm(self, channel: int, confirms: Confirms, frame_max: int) -> None:
        """Tell `confirms` what the broker says of the publishes of a channel; to be called before the first of them."""
        self._splitter.confirm(channel, confirms, frame_max)

    def forget(self, generation: int, consumer_tag: str = "") -> None:
        """A consumer has ended, which the broker has answered, or its generation with all of them."""
        self._splitter.drop(generation, consumer_tag)

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Take what one read has brought. No AMQP in it ends the connection, and nothing of it is handed over."""
        if self.exception() is not None:
            return
        try:
            passed, runs = self._splitter.split(bytes(data))
        except ConnectionError as error:
            self.set_exception(error)
            return
        now = self._clock.monotonic()
        # It takes a connection on which it hears nothing for dead.
        answers = self._splitter.answers()
        if not passed and (runs or answers or self._splitter.taking) and now - self._fed_at >= _SILENCE:
            passed = _HEARTBEAT
        if passed:
            self._fed_at = now
            super().feed_data(passed)
        for consumer, deliveries in runs:
            consumer.received(deliveries)
        # A message that comes back does so before it is confirmed.
        for answer in answers:
            answer()

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a socket."""
        self._throttle.attach(cast("asyncio.ReadTransport", transport), self._beat)
        super().set_transport(self._throttle)

    def _beat(self) -> None:
        """Give the client library a heartbeat: it stands between two frames."""
        if not self._over:
            super().feed_data(_HEARTBEAT)

    def feed_eof(self) -> None:
        """The broker has hung up."""
        self._over = True
        self._notice(None)
        if rest := self._splitter.rest():
            super().feed_data(rest)
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        """The connection is lost."""
        self._over = True
        self._notice(None)
        super().set_exception(exc)

    def _notice(self, reason: str | None) -> None:
        if self._blockage is not None and reason is not None:
            self._blockage.begin(self, reason)
        elif self._blockage is not None:
            self._blockage.end(self)
