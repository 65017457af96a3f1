"""A channel: publishes with confirms, consumers, and the deliveries that are not settled yet."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue

from penstock.embedded.broker.consumer import Consumer
from penstock.embedded.broker.definitions import accessible, define_exchange, define_queue
from penstock.embedded.broker.frames import message_frames, method_frame, read_content
from penstock.embedded.broker.incoming import Confirms, Incoming, check_publish
from penstock.embedded.broker.properties import facts_of, with_headers
from penstock.embedded.broker.replies import (
    ACCESS_REFUSED,
    NO_ROUTE,
    NOT_ALLOWED,
    PRECONDITION_FAILED,
    ChannelFault,
    ConnectionFault,
    not_emulated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pamqp.base import Frame

    from penstock.embedded.broker.broker import Broker
    from penstock.embedded.broker.handshake import Handshake
    from penstock.embedded.broker.message import Held, Message
    from penstock.embedded.broker.queue import Queue as MessageQueue

#: What a method asks for that the broker does not do, and what to do instead.
_WITHOUT = {
    "Basic.Qos": "a prefetch of a whole channel or in bytes: give one a consumer, in messages",
    "Basic.Recover": "basic.recover without requeue",
    "Channel.Flow": "channel.flow: use a prefetch",
    "Tx.Select": "transactions: use publisher confirms",
}


class Client(Protocol):
    """The connection of a channel."""

    handshake: Handshake
    broker: Broker

    @property
    def writable(self) -> bool:
        """Whether the client takes more deliveries."""

    @property
    def largest_frame(self) -> int:
        """The agreed size of a frame, in bytes."""

    def send(self, frames: Iterable[bytes]) -> None:
        """Send frames at the end of this turn."""

    def flush(self) -> None:
        """Send what was said in this turn."""


class Unsettled(NamedTuple):
    """A delivery that waits to be settled; it has no consumer where the client asked for one message."""

    queue: MessageQueue
    held: Held
    consumer: Consumer | None


class ClientChannel:
    """One channel of a client. Its methods raise ChannelFault and ConnectionFault."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.broker = client.broker
        #: The queue meant where a request names none.
        self.last_queue = ""
        self._number = number
        self._consumers: dict[str, Consumer] = {}
        self._unsettled: OrderedDict[int, Unsettled] = OrderedDict()
        self._last_tag = 0
        self._prefetch = 0
        self._incoming = Incoming()
        self._confirms: Confirms | None = None

    @property
    def writable(self) -> bool:
        """Whether the client takes more deliveries."""
        return self.client.writable

    def close(self) -> None:
        """Return what is not settled to its queues; nothing is sent any more."""
        if self.broker.stopping:
            return
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers.values():
            self.broker.remove_consumer(consumer)
        unsettled, self._unsettled = self._unsettled, OrderedDict()
        for queue, held, _ in unsettled.values():
            self.broker.give_back(queue, held)

    def ask_for_deliveries(self) -> None:
        """Say that the client takes deliveries again."""
        for consumer in self._consumers.values():
            self.broker.kick(consumer.queue)

    def confirms(self) -> list[bytes]:
        """The confirms that are due, as frames: of all that was published up to now."""
        ack = self._confirms.due() if self._confirms is not None else None
        return [method_frame(self._number, ack)] if ack is not None else []

    # As the receiver of deliveries.

    def deliver(self, consumer: Consumer, held: Held) -> None:
        """Send a delivery."""
        tag = self._track(consumer.queue, held, consumer, no_ack=consumer.no_ack)
        message = held.message
        deliver = Basic.Deliver(consumer.tag, tag, held.redelivered, message.exchange, message.routing_key)
        self._send_held(deliver, held)

    def cancelled_by_broker(self, consumer: Consumer) -> None:
        """Tell the client that its consumer is gone, if it wants to hear that."""
        del self._consumers[consumer.tag]
        if self.client.handshake.capabilities.get("consumer_cancel_notify"):
            self._send(Basic.Cancel(consumer.tag, nowait=True))

    def _track(self, queue: MessageQueue, held: Held, consumer: Consumer | None, *, no_ack: bool) -> int:
        self._last_tag += 1
        if not no_ack:
            self._unsettled[self._last_tag] = Unsettled(queue, held, consumer)
            if consumer is not None:
                consumer.unsettled += 1
        return self._last_tag

    def _send(self, method: Frame) -> None:
        self.client.send([method_frame(self._number, method)])

    def _send_held(self, method: Frame, held: Held) -> None:
        properties = held.message.properties
        if held.returns:
            properties = with_headers(properties, {"x-delivery-count": held.returns})
        self._send_message(method, held.message, properties)

    def _send_message(self, method: Frame, message: Message, properties: bytes) -> None:
        self.client.send(message_frames(self._number, method, properties, message, self.client.largest_frame))

    # What the client sends.

    def receive(self, method: Frame) -> None:
        """Do what a method asks for."""
        self._incoming.expect_method(method)
        match method:
            case Basic.Publish():
                self._incoming.begin(method)
            case Basic.Ack():
                for queue, held in self._settled(method.delivery_tag, multiple=bool(method.multiple)):
                    self.broker.forget(held)
                    self.broker.kick(queue)
            case Basic.Nack():
                self._refused(method.delivery_tag, multiple=bool(method.multiple), requeue=bool(method.requeue))
            case Basic.Reject():
                self._refused(method.delivery_tag, multiple=False, requeue=bool(method.requeue))
            case Basic.Get():
                self._get(method)
            case Basic.Consume():
                self._consume(method)
            case Basic.Cancel():
                self._cancel(method)
            case _:
                self._set_up(method)

    def _set_up(self, method: Frame) -> None:
        """Take a method that says how this channel works, or defines queues and exchanges."""
        match method:
            case Queue.Declare() | Queue.Bind() | Queue.Unbind() | Queue.Purge() | Queue.Delete():
                self._answer(define_queue(self, method), method)
            case Exchange.Declare() | Exchange.Delete() | Exchange.Bind() | Exchange.Unbind():
                self._answer(define_exchange(self, method), method)
            case Basic.Qos(global_=False, prefetch_size=0):
                self._prefetch = method.prefetch_count or 0
                self._send(Basic.QosOk())
            case Basic.Recover(requeue=True):
                for queue, held in self._settled(0, multiple=True):
                    self.broker.give_back(queue, held)
                    self.broker.kick(queue)
                self._send(Basic.RecoverOk())
            case Confirm.Select():
                self._confirms = self._confirms or Confirms()
                self._answer(Confirm.SelectOk(), method)
            case Channel.Flow(active=True):
                self._send(Channel.FlowOk(active=True))
            case Basic.CancelOk():
                pass  # the client has seen that its consumer is gone
            case _:
                raise not_emulated(_WITHOUT.get(method.name, f"{method.name} from a client"))

    def _answer(self, answer: Frame, method: Frame) -> None:
        if not getattr(method, "nowait", False):
            self._send(answer)

    # Publishing.

    def receive_header(self, payload: bytes) -> None:
        """Take the size and the properties of a message."""
        self._incoming.header(read_content(payload))
        self._put()

    def receive_body(self, payload: bytes) -> None:
        """Take a part of the body of a message."""
        self._incoming.body(payload)
        self._put()

    def _put(self) -> None:
        """Hand the message that is coming in to the broker, if it is complete."""
        complete = self._incoming.take()
        if complete is None:
            return
        message, properties, mandatory = complete
        check_publish(self.broker.exchanges, self.client.handshake.username, message, properties)
        routed, accepted = self.broker.publish(message, facts_of(properties))
        if mandatory and not routed:
            returned = Basic.Return(NO_ROUTE, "NO_ROUTE", message.exchange, message.routing_key)
            self._send_message(returned, message, message.properties)
        if self._confirms is not None:
            # All that are accepted in this turn are confirmed together at its end; those before a refusal, before it.
            earlier = [] if accepted else self.confirms()
            refusal = self._confirms.published(accepted=accepted)
            self.client.send([*earlier, method_frame(self._number, refusal)] if refusal is not None else earlier)

    # Consuming and settling.

    def _consume(self, method: Basic.Consume) -> None:
        queue = accessible(self, method.queue)
        if method.arguments or method.no_local:
            raise not_emulated(f"no_local and the arguments of a consumer: {', '.join(method.arguments or ())}")
        if any(other.exclusive for other in queue.consumers) or (method.exclusive and queue.consumers):
            raise ChannelFault(ACCESS_REFUSED, f"queue '{queue.name}' in vhost '/' in exclusive use")
        tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
        if tag in self._consumers:
            raise ConnectionFault(NOT_ALLOWED, f"attempt to reuse consumer tag '{tag}'")
        self._consumers[tag] = Consumer(
            tag, queue, self, bool(method.no_ack), bool(method.exclusive), prefetch=self._prefetch
        )
        queue.consumers.append(self._consumers[tag])
        self._answer(Basic.ConsumeOk(tag), method)
        self.broker.kick(queue)

    def _cancel(self, method: Basic.Cancel) -> None:
        consumer = self._consumers.pop(method.consumer_tag or "", None)
        if consumer is not None:
            self.broker.remove_consumer(consumer)
        self._answer(Basic.CancelOk(method.consumer_tag), method)

    def _get(self, method: Basic.Get) -> None:
        queue = accessible(self, method.queue)
        held = self.broker.take(queue, no_ack=bool(method.no_ack))
        if held is None:
            self._send(Basic.GetEmpty())
            return
        tag = self._track(queue, held, None, no_ack=bool(method.no_ack))
        message = held.message
        answer = Basic.GetOk(tag, held.redelivered, message.exchange, message.routing_key, len(queue))
        self._send_held(answer, held)

    def _refused(self, tag: int | None, *, multiple: bool, requeue: bool) -> None:
        for queue, held in self._settled(tag, multiple=multiple):
            if requeue:
                self.broker.give_back(queue, held)
            else:
                self.broker.bury(queue, held, "rejected")
            self.broker.kick(queue)

    def _settled(self, tag: int | None, *, multiple: bool) -> list[tuple[MessageQueue, Held]]:
        """Take out what a tag stands for; with `multiple` all up to it, and all there is for 0."""
        if (tag or not multiple) and tag not in self._unsettled:
            raise ChannelFault(PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        found: list[tuple[MessageQueue, Held]] = []
        while self._unsettled and (multiple or not found):
            first = next(iter(self._unsettled)) if multiple else tag or 0
            if multiple and tag and first > tag:
                break
            queue, held, consumer = self._unsettled.pop(first)
            if consumer is not None:
                consumer.unsettled -= 1
            found.append((queue, held))
        return found
