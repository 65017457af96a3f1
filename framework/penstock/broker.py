"""Connections, channels and topology: what every part that talks to RabbitMQ begins with.

All failures of the client library come out as LinkError, with the setting that mends them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Literal

import aio_pika
import orjson
from aio_pika.abc import ConnectionParameter
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from penstock import broker_tls, cancellation
from penstock.broker_address import addresses
from penstock.broker_transport import Transport, Wire
from penstock.errors import LinkError, TopologyError, TopologyMissing
from penstock.settings_shown import describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractConnection
    from pamqp.common import FieldValue

    from penstock.blockage import Blockage
    from penstock.broker_address import BrokerAddress
    from penstock.receive import Receiver
    from penstock.settings import RabbitMQ
    from penstock.throttle import Throttle
    from penstock.topology import Queue, Topology

#: What the client library raises when the broker, the channel or the network fails.
BROKER_ERRORS = (AMQPError, OSError, TimeoutError, RuntimeError)
#: Seconds for a request on a channel, and for each step of closing.
REQUEST_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0


def _as_it_is(value: Any) -> Any:
    return value


class BrokerConnection(aio_pika.Connection):
    """A connection whose socket is ours; `place` is the "host:port" that serves it.

    `receiver` takes deliveries for whoever asks it to; None where the client library is left to do that.
    `wire` is for publishes past the client library; None where that is left to it. `throttle` holds up what comes.
    """

    PARAMETERS = (
        *aio_pika.Connection.PARAMETERS,
        ConnectionParameter("transport_factory", _as_it_is, is_kwarg=True),
    )
    place = ""
    receiver: Receiver | None = None
    wire: Wire | None = None
    throttle: Throttle


async def connect(settings: RabbitMQ, name: str, first: str = "", blockage: Blockage | None = None) -> BrokerConnection:
    """A new connection to the first address that answers, going round from the place `first`, which served last.

    `name` is what the broker's operators see; `blockage` is told when the broker takes no messages. Raises LinkError
    naming every address, what it said, and the setting to mend.
    """
    failures: list[LinkError] = []
    for address in addresses(settings, first):
        try:
            return await _connect(address, settings, name, blockage)
        except LinkError as failure:
            failures.append(failure)
    if len(failures) == 1:
        raise failures[0]
    raise LinkError("; ".join(map(str, failures))) from failures[-1]


async def _connect(
    address: BrokerAddress, settings: RabbitMQ, name: str, blockage: Blockage | None
) -> BrokerConnection:
    where = describe(address.url)
    transport = Transport(blockage, fast_receive=settings.fast_receive, fast_publish=settings.fast_publish)
    try:
        connection = BrokerConnection(
            URL(address.url),
            ssl_context=broker_tls.context_of(settings),
            client_properties={"connection_name": f"penstock {name}"},
            transport_factory=transport,
        )
        await connection.connect(timeout=settings.connect_timeout)
    except ProbableAuthenticationError as error:
        text = f"RabbitMQ at {where} refuses the login: check RABBITMQ_USERNAME and RABBITMQ_PASSWORD (or RABBITMQ_URL)"
        raise LinkError(text) from error
    except BROKER_ERRORS as error:
        text = f"cannot connect to RabbitMQ at {where}: {_why(error, address, settings)} (or RABBITMQ_URL)"
        raise LinkError(text) from error
    connection.place = address.place
    connection.receiver, connection.throttle = transport.receiver, transport.throttle
    connection.wire = transport.wire
    return connection


def _why(error: Exception, address: BrokerAddress, settings: RabbitMQ) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {settings.connect_timeout:g} s: check RABBITMQ_HOST and RABBITMQ_PORT"
        case InvalidFrameError():
            # The broker answers a virtual host that is not there, or not allowed, by closing the connection.
            return "it refuses the virtual host: check RABBITMQ_VHOST"
        case _:
            found = broker_tls.explanation(error, address.url)
            return found or f"{error}: check RABBITMQ_HOST and RABBITMQ_PORT"


@contextlib.asynccontextmanager
async def request(what: str, seconds: float = REQUEST_TIMEOUT) -> AsyncIterator[asyncio.Timeout]:
    """Bounds what is asked of the broker in time, and turns every failure into LinkError; the bound may be moved."""
    try:
        async with asyncio.timeout(seconds) as bound:
            yield bound
    except TimeoutError as error:
        raise LinkError(f"{what}: the broker did not answer within {seconds:g} s") from error
    except BROKER_ERRORS as error:
        raise LinkError(f"{what}: {error}") from error
    except asyncio.CancelledError as error:
        if cancellation.is_ours():
            raise
        raise LinkError(f"{what}: the channel was lost") from error


async def open_channel(connection: AbstractConnection, *, confirms: bool) -> Channel:
    """A channel as the protocol has it. With `confirms`, a returned or refused publish raises. Raises LinkError."""
    async with request("cannot open a channel"):
        channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
        await channel.initialize()
        underlay = await channel.get_underlay_channel()
    if not isinstance(underlay, Channel):
        raise LinkError(f"cannot use a channel of type {type(underlay).__name__}: another aiormq than the tested one?")
    return underlay


async def look_at(connection: AbstractConnection, queue: str) -> tuple[int, int]:
    """How many messages are ready in a queue, and how many consumers it has. Raises LinkError."""
    channel = await open_channel(connection, confirms=False)
    try:
        async with request("cannot look at the queue"):
            answer = await channel.queue_declare(queue, passive=True)
    finally:
        await close(channel)
    return answer.message_count or 0, answer.consumer_count or 0


async def close(closable: Channel | AbstractConnection, seconds: float = CLOSE_TIMEOUT) -> bool:
    """Close in `seconds` at most; what cannot be closed is lost already. Whether the other side answered.

    The client library's own close may wait for a peer that reads nothing (a memory alarm, a frozen broker) and
    takes no cancellation while it does; so it is left alone when the time is up.
    """
    closing = asyncio.create_task(_close(closable))
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
    answered, _ = await asyncio.wait({closing}, timeout=seconds)
    closing.cancel()
    return bool(answered)


#: What is being closed, kept from the garbage collector.
_closing: set[asyncio.Task[None]] = set()


async def _close(closable: Channel | AbstractConnection) -> None:
    with contextlib.suppress(*BROKER_ERRORS):
        await closable.close()


#: What to do with a topology: make it; see that all of it exists; compare the queues that exist with it; nothing.
TopologyMode = Literal["declare", "check", "compare", "none"]


async def ensure_topology(connection: AbstractConnection, topology: Topology, mode: TopologyMode) -> None:
    """Declare, check or compare the queues, exchanges and bindings of a worker; only `declare` creates anything.

    Raises TopologyMissing, TopologyError naming queue and argument, LinkError when the broker is away.
    """
    if mode == "none":
        return
    channel = await open_channel(connection, confirms=False)
    asked: Queue | None = None
    try:
        async with request("the topology cannot be declared"):
            for binding in topology.bindings:
                kind, passive = binding.exchange_type, mode != "declare"
                await channel.exchange_declare(binding.exchange, exchange_type=kind, durable=True, passive=passive)
            for asked in (*topology.others, topology.queue):
                arguments: dict[str, FieldValue] = dict(asked.arguments)
                await channel.queue_declare(asked.name, durable=True, passive=mode == "check", arguments=arguments)
            for binding in topology.bindings if mode == "declare" else ():
                await channel.queue_bind(topology.queue.name, binding.exchange, binding.routing_key)
    except LinkError as error:
        match error.__cause__:
            case ChannelPreconditionFailed() | ChannelAccessRefused() as cause:
                mend = "Change the setting or delete the queue, or take it as it is with PENSTOCK_QUEUE__TOPOLOGY=check"
                raise TopologyError(f"{cause}. {mend}") from error
            case ChannelNotFoundEntity() as cause:
                wanted = "" if asked is None else _as_wanted(asked)
                raise TopologyMissing(f"{cause}. Create it{wanted}, or set PENSTOCK_QUEUE__TOPOLOGY=declare") from error
            case _:
                raise
    finally:
        await close(channel)


def _as_wanted(queue: Queue) -> str:
    """What `check` cannot see of a queue that is there: from a retry queue without a TTL nothing comes back."""
    return f" durable, with the arguments {orjson.dumps(dict(queue.arguments)).decode()}"
