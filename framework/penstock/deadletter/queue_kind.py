"""Which kind of queue a DLQ is, asked over AMQP: only a classic queue is looked at without harm (decision 0004)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from penstock.broker import close, open_channel, request
from penstock.errors import LinkError, TopologyError, TopologyMissing

if TYPE_CHECKING:
    from aio_pika.abc import AbstractConnection
    from pamqp.common import FieldValue

#: What the broker says of a declaration that differs from the queue.
_DIFFERS = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' for queue .*but current is "
    r"(?:the value )?(?P<value>none|true|false|'[^']*')(?: of type '(?P<kind>\w+)')?",
    re.DOTALL,
)
#: Arguments that a queue may have been declared with, and a few more.
_MOST_ARGUMENTS = 20


async def ready_in_classic(connection: AbstractConnection, queue: str) -> int:
    """How many letters are ready in a DLQ that can be looked at without harm.

    Raises TopologyMissing where there is no such queue, TopologyError where it is not known to be a classic one: on
    a quorum queue each look counts as a delivery, and a delivery limit, its own or a policy's, then destroys letters.
    """
    try:
        async with request(f"cannot look at {queue}"):
            channel = await open_channel(connection, confirms=False)
            try:
                answer = await channel.queue_declare(queue, passive=True)
            finally:
                await close(channel)
    except LinkError as error:
        if isinstance(error.__cause__, ChannelNotFoundEntity):
            raise TopologyMissing(f"there is no queue {queue}: its worker makes it when it first runs") from error
        raise
    kind = await queue_kind(connection, queue)
    if kind != "classic":
        text = (
            f"{queue} is a {kind} queue, on which each look counts as a delivery and a delivery limit destroys letters"
        )
        raise TopologyError(f"{text}: move them to a classic queue (decision 0022) with a shovel")
    return answer.message_count or 0


async def queue_kind(connection: AbstractConnection, queue: str) -> str:
    """The kind of a queue that exists: "classic", "quorum", "stream". Raises TopologyError where it is not told.

    AMQP has no question for it, but a broker says what is different of a queue that is declared again. What it says
    is taken over until that is the kind, or nothing.
    """
    arguments: dict[str, FieldValue] = {"x-queue-type": "classic"}
    flags = {"durable": True, "auto_delete": False}
    for _ in range(_MOST_ARGUMENTS):
        refused = await _declared(connection, queue, arguments, flags)
        if not refused:
            # Told to be lax, a broker takes classic for quorum as well; it never takes quorum for classic.
            as_quorum = {**arguments, "x-queue-type": "quorum"}
            return "classic" if await _declared(connection, queue, as_quorum, flags) else "quorum"
        differs = _DIFFERS.search(refused)
        if differs is None:
            raise TopologyError(f"cannot tell which kind of queue {queue} is: {refused}")
        name, value, kind = differs.group("name", "value", "kind")
        text = value.strip("'")
        if name == "x-queue-type":
            return "classic" if text == "none" else text
        if name in flags:
            flags[name] = text == "true"
        elif value == "none":
            arguments.pop(name, None)
        else:
            arguments[name] = _argument(text, kind)
    raise TopologyError(f"cannot tell which kind of queue {queue} is: it has too many arguments")


async def _declared(
    connection: AbstractConnection, queue: str, arguments: dict[str, FieldValue], flags: dict[str, bool]
) -> str:
    """Why a declaration was refused; empty where the queue is as declared, which changes nothing."""
    channel = await open_channel(connection, confirms=False)
    try:
        async with request(f"cannot ask for the kind of {queue}"):
            await channel.queue_declare(
                queue, durable=flags["durable"], auto_delete=flags["auto_delete"], arguments=dict(arguments)
            )
    except LinkError as error:
        match error.__cause__:
            case ChannelPreconditionFailed() as cause:
                return str(cause)
            case ChannelAccessRefused() as cause:
                mend = f"the user needs the right to configure {queue}, by which its kind is asked for"
                raise TopologyError(f"{cause}: {mend}") from error
            case _:
                raise
    finally:
        await close(channel)
    return ""


def _argument(text: str, kind: str | None) -> FieldValue:
    if kind in {"longstr", "binary", None}:
        return text
    return text == "true" if kind in {"bool", "boolean"} else int(text)
