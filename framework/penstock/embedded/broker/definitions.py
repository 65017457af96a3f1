"""Queues, exchanges and bindings: declared, checked, deleted."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol, assert_never

from pamqp.commands import Exchange, Queue
from pamqp.constants import DOMAIN_REGEX

from penstock.embedded.broker.arguments import queue_arguments
from penstock.embedded.broker.exchange import PREDECLARED, TYPES, Binding
from penstock.embedded.broker.exchange import Exchange as MessageExchange
from penstock.embedded.broker.queue import Queue as MessageQueue
from penstock.embedded.broker.replies import (
    ACCESS_REFUSED,
    COMMAND_INVALID,
    NOT_FOUND,
    PRECONDITION_FAILED,
    RESOURCE_LOCKED,
    ChannelFault,
    ConnectionFault,
    inequivalent,
    missing,
    not_emulated,
)

if TYPE_CHECKING:
    from pamqp.base import Frame
    from pamqp.common import FieldTable

    from penstock.embedded.broker.broker import Broker
    from penstock.embedded.broker.exchange import Kind

QueueRequest = Queue.Declare | Queue.Bind | Queue.Unbind | Queue.Purge | Queue.Delete
ExchangeRequest = Exchange.Declare | Exchange.Delete | Exchange.Bind | Exchange.Unbind
#: Names that only the broker gives begin so.
_RESERVED = "amq."
#: Bytes of a short string.
_LONGEST_NAME = 255


class Requester(Protocol):
    """The channel of a request. `client` is its connection, which owns exclusive queues."""

    broker: Broker
    last_queue: str

    @property
    def client(self) -> object:
        """The connection."""


def accessible(channel: Requester, name: str | None) -> MessageQueue:
    """The queue of a name, or the last declared one. Raises ChannelFault where it is absent or another's."""
    name = name or channel.last_queue
    if not name:
        raise ChannelFault(NOT_FOUND, "no previously declared queue")
    queue = channel.broker.queues.get(name)
    if queue is None:
        raise missing("queue", name)
    if queue.owner is not None and queue.owner is not channel.client:
        text = f"cannot obtain exclusive access to locked queue '{name}' in vhost '/'"
        raise ChannelFault(RESOURCE_LOCKED, text)
    return queue


def define_queue(channel: Requester, method: QueueRequest) -> Frame:
    """Do what a request asks for; its answer. Raises ChannelFault."""
    match method:
        case Queue.Declare():
            queue = accessible(channel, method.queue) if method.passive else _declared_queue(channel, method)
            channel.last_queue = queue.name
            return Queue.DeclareOk(queue.name, len(queue), len(queue.consumers))
        case Queue.Bind():
            queue = accessible(channel, method.queue)
            _bind(channel, method.exchange, _binding("queue", queue.name, method.routing_key, method.arguments))
            return Queue.BindOk()
        case Queue.Unbind():
            queue = accessible(channel, method.queue)
            _unbind(channel, method.exchange, _binding("queue", queue.name, method.routing_key, method.arguments))
            return Queue.UnbindOk()
        case Queue.Purge():
            return Queue.PurgeOk(channel.broker.purge(accessible(channel, method.queue)))
        case Queue.Delete():
            return Queue.DeleteOk(_delete_queue(channel, method))
        case _:
            assert_never(method)


def define_exchange(channel: Requester, method: ExchangeRequest) -> Frame:
    """Do what a request asks for; its answer. Raises ChannelFault, ConnectionFault."""
    match method:
        case Exchange.Declare():
            _declare_exchange(channel, method)
            return Exchange.DeclareOk()
        case Exchange.Delete():
            _delete_exchange(channel, method)
            return Exchange.DeleteOk()
        case Exchange.Bind():
            to = _exchange(channel, method.destination)
            _bind(channel, method.source, _binding("exchange", to.name, method.routing_key, method.arguments))
            return Exchange.BindOk()
        case Exchange.Unbind():
            to = _exchange(channel, method.destination)
            _unbind(channel, method.source, _binding("exchange", to.name, method.routing_key, method.arguments))
            return Exchange.UnbindOk()
        case _:
            assert_never(method)


def _declared_queue(channel: Requester, method: Queue.Declare) -> MessageQueue:
    """The queue as it is declared, made where it is missing."""
    broker = channel.broker
    name = method.queue or f"amq.gen-{secrets.token_urlsafe(16)}"
    arguments = queue_arguments(name, method.arguments or {})
    if name in broker.queues:
        queue = accessible(channel, name)
        _same("durable", "queue", name, bool(method.durable), queue.durable)
        _same("auto_delete", "queue", name, bool(method.auto_delete), queue.auto_delete)
        _same("exclusive", "queue", name, bool(method.exclusive), queue.owner is not None)
        given = queue.arguments.given
        for argument in sorted(given.keys() | arguments.given.keys()):
            _same(argument, "queue", name, arguments.given.get(argument), given.get(argument))
        return queue
    if method.queue:
        _check_name("queue", name)
    if arguments.quorum:
        unfit = {"non-durable": not method.durable, "exclusive": method.exclusive, "auto-delete": method.auto_delete}
        for what, is_so in unfit.items():
            if is_so:
                text = f"invalid property '{what}' for queue '{name}' in vhost '/': a quorum queue cannot be that"
                raise ChannelFault(PRECONDITION_FAILED, text)
    queue = MessageQueue(
        name,
        arguments,
        durable=bool(method.durable),
        auto_delete=bool(method.auto_delete),
        owner=channel.client if method.exclusive else None,
    )
    broker.queues[name] = queue
    broker.defined()
    return queue


def _delete_queue(channel: Requester, method: Queue.Delete) -> int:
    """How many messages were in it; 0 where there is no such queue, as in RabbitMQ."""
    if method.queue and method.queue not in channel.broker.queues:
        return 0
    queue = accessible(channel, method.queue)
    if method.if_unused and queue.consumers:
        raise ChannelFault(PRECONDITION_FAILED, f"queue '{queue.name}' in vhost '/' in use")
    if method.if_empty and len(queue):
        raise ChannelFault(PRECONDITION_FAILED, f"queue '{queue.name}' in vhost '/' is not empty")
    count = len(queue)
    channel.broker.delete_queue(queue)
    return count


def _declare_exchange(channel: Requester, method: Exchange.Declare) -> None:
    broker = channel.broker
    name = method.exchange or ""
    if method.passive:
        _exchange(channel, name)
        return
    if not name:
        raise _default_exchange()
    kind = next((kind for kind in TYPES if kind == method.exchange_type), None)
    if kind is None:
        raise ConnectionFault(COMMAND_INVALID, f"unknown exchange type '{method.exchange_type}'")
    if method.auto_delete:
        raise not_emulated("auto-delete exchanges")
    if method.arguments:
        raise not_emulated(f"the arguments of an exchange: {', '.join(method.arguments)}")
    if (found := broker.exchanges.get(name)) is not None:
        _same("type", "exchange", name, method.exchange_type, found.type)
        _same("durable", "exchange", name, bool(method.durable), found.durable)
        _same("internal", "exchange", name, bool(method.internal), found.internal)
        return
    _check_name("exchange", name)
    broker.exchanges[name] = MessageExchange(name, kind, bool(method.durable), bool(method.internal))
    broker.defined()


def _delete_exchange(channel: Requester, method: Exchange.Delete) -> None:
    name = method.exchange or ""
    if not name:
        raise _default_exchange()
    if name in PREDECLARED:
        raise ChannelFault(ACCESS_REFUSED, f"exchange name '{name}' contains reserved prefix 'amq.*'")
    exchange = channel.broker.exchanges.get(name)
    if exchange is None:
        return
    if method.if_unused and exchange.bindings:
        raise ChannelFault(PRECONDITION_FAILED, f"exchange '{name}' in vhost '/' in use")
    channel.broker.delete_exchange(exchange)


def _exchange(channel: Requester, name: str | None) -> MessageExchange:
    if not name:
        raise _default_exchange()
    exchange = channel.broker.exchanges.get(name)
    if exchange is None:
        raise missing("exchange", name)
    return exchange


def _bind(channel: Requester, source: str | None, binding: Binding) -> None:
    exchange = _exchange(channel, source)
    match = binding.arguments.get("x-match", "all")
    if exchange.type == "headers" and match not in {"all", "any"}:
        raise not_emulated(f"x-match={match!r}: there are all and any")
    exchange.bind(binding)
    channel.broker.defined()


def _unbind(channel: Requester, source: str | None, binding: Binding) -> None:
    _exchange(channel, source).unbind(binding)
    channel.broker.defined()


def _binding(kind: Kind, destination: str, routing_key: str | None, arguments: FieldTable | None) -> Binding:
    return Binding(kind, destination, routing_key or "", arguments or {})


def _same(argument: str, kind: str, name: str, received: object, current: object) -> None:
    if received != current:
        raise inequivalent(argument, kind, name, received, current)


def _check_name(kind: str, name: str) -> None:
    if name.startswith(_RESERVED):
        raise ChannelFault(ACCESS_REFUSED, f"{kind} name '{name}' contains reserved prefix 'amq.*'")
    if len(name.encode()) > _LONGEST_NAME or not DOMAIN_REGEX[f"{kind}-name"].fullmatch(name):
        text = f"{kind} name '{name}' is not made of ASCII letters, digits, spaces and -_.:@#,/+"
        raise ChannelFault(PRECONDITION_FAILED, text)


def _default_exchange() -> ChannelFault:
    return ChannelFault(ACCESS_REFUSED, "operation not permitted on the default exchange")
