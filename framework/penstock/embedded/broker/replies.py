"""How the broker refuses: with the reply codes of AMQP 0-9-1, and RabbitMQ's words where it has any.

These exceptions never leave the broker: they become a Channel.Close or a Connection.Close.
"""

from __future__ import annotations

#: Reply codes of https://www.rabbitmq.com/amqp-0-9-1-reference.html#constants that this broker uses.
_NAMES = {
    312: "NO_ROUTE",
    320: "CONNECTION_FORCED",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}
NO_ROUTE = 312
CONNECTION_FORCED = 320
ACCESS_REFUSED = 403
NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406
FRAME_ERROR = 501
SYNTAX_ERROR = 502
COMMAND_INVALID = 503
CHANNEL_ERROR = 504
UNEXPECTED_FRAME = 505
NOT_ALLOWED = 530
NOT_IMPLEMENTED = 540
INTERNAL_ERROR = 541

#: Bytes of a short string.
_LONGEST_TEXT = 255


class ChannelFault(Exception):
    """A request that costs the client its channel."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(reply_text(code, text))
        self.code = code


class ConnectionFault(Exception):
    """A request that costs the client its connection."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(reply_text(code, text))
        self.code = code


def reply_text(code: int, text: str) -> str:
    """The text that goes with a code, as RabbitMQ words it; at most 255 bytes."""
    return f"{_NAMES[code]} - {text}".encode()[:_LONGEST_TEXT].decode(errors="ignore")


def missing(kind: str, name: str) -> ChannelFault:
    """The refusal of a request that names a queue or exchange that does not exist."""
    return ChannelFault(NOT_FOUND, f"no {kind} '{name}' in vhost '/'")


def inequivalent(argument: str, kind: str, name: str, received: object, current: object) -> ChannelFault:
    """The refusal to declare what exists with other properties."""
    return ChannelFault(
        PRECONDITION_FAILED,
        f"inequivalent arg '{argument}' for {kind} '{name}' in vhost '/': "
        f"received {_said(received)} but current is {_said(current)}",
    )


def not_emulated(what: str) -> ChannelFault:
    """The refusal of what RabbitMQ can do and the development broker cannot."""
    return ChannelFault(NOT_IMPLEMENTED, f"the development broker does without {what}")


def _said(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"'{str(value).lower()}'"
        case _:
            return f"the value '{value}'"
