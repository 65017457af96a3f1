"""A letter as JSON, and back, with nothing lost: `export` writes it and `import` reads it.

What JSON has no word for stands in an object with one name: {"$bytes": base64}, {"$timestamp": ISO 8601},
{"$decimal": "1.50"}, {"$float": "nan"}; a table that itself has such a name stands in {"$table": …}.
"""

from __future__ import annotations

import base64
import binascii
import math
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from penstock.deadletter.view import letter_of
from penstock.delivery import NO_GENERATION, Delivery
from penstock.errors import UsageError
from penstock.field_table import ExactProperties

if TYPE_CHECKING:
    from pamqp.commands import Basic

    from penstock.deadletter.view import Letter

#: What AMQP can say of a message, by the client library's names. `cluster_id` is empty by protocol.
PROPERTIES = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "message_type",
    "user_id",
    "app_id",
)


def letter_to_json(letter: Letter) -> dict[str, Any]:
    """The letter: where it is, what its headers come to (for people, and for jq), and the message as it is.

    The body is text under "body", or base64 under "body_base64" where it is not UTF-8.
    """
    return {
        "queue": letter.queue,
        "position": letter.position,
        "group": letter.group,
        "worker": letter.worker,
        "reason": letter.reason,
        "error_class": letter.error_class,
        "error_message": letter.error_message,
        "failed_at": letter.failed_at.isoformat() if letter.failed_at else None,
        "key": letter.key,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "exchange": letter.exchange,
        "routing_key": letter.routing_key,
        "properties": properties_to_json(letter.properties),
        **_body_to_json(letter.body),
    }


def letter_from_json(document: Any) -> Letter:
    """The letter again. Of what its headers come to, the headers are believed. Raises UsageError, naming the field."""
    if not isinstance(document, dict):
        raise UsageError("no letter: it must be an object, as penstock dlq export writes it")
    position = document.get("position", 0)
    if not isinstance(position, int) or isinstance(position, bool):
        raise UsageError("position: must be a whole number")
    delivery = Delivery(
        generation=NO_GENERATION,
        tag=0,
        body=_body_from_json(document),
        exchange=_text(document, "exchange"),
        routing_key=_text(document, "routing_key"),
        redelivered=False,
        properties=properties_from_json(document.get("properties")),
    )
    return letter_of(_text(document, "queue"), position, delivery)


def properties_to_json(properties: Basic.Properties) -> dict[str, Any]:
    """All properties that are set."""
    found = {name: getattr(properties, name) for name in PROPERTIES}
    # The client library says "" for what is not there.
    return {name: _value_to_json(value) for name, value in found.items() if value is not None and value != ""}


def properties_from_json(document: Any) -> Basic.Properties:
    """The properties again. Raises UsageError for what AMQP does not know, naming it."""
    if not isinstance(document, dict):
        raise UsageError("properties: must be an object, as penstock dlq export writes it")
    if unknown := sorted(document.keys() - set(PROPERTIES)):
        raise UsageError(f"properties: there is no {unknown[0]}; there are {', '.join(PROPERTIES)}")
    values = {name: _value_from_json(value, f"properties.{name}") for name, value in document.items()}
    for name, value in values.items():
        if not isinstance(value, _KINDS.get(name, str)) or isinstance(value, bool):
            raise UsageError(f"properties.{name}: a {type(value).__name__} is of another kind than AMQP has there")
    try:
        return ExactProperties(**values)
    except ValueError as error:
        raise UsageError(f"properties: {error}") from error


_KINDS: dict[str, type] = {"headers": dict, "delivery_mode": int, "priority": int, "timestamp": datetime}


def _body_to_json(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _body_from_json(document: dict[str, Any]) -> bytes:
    match document:
        case {"body": str(text), **rest} if "body_base64" not in rest:
            return text.encode()
        case {"body_base64": str(text), **rest} if "body" not in rest:
            return _from_base64(text, "body_base64")
        case _:
            raise UsageError("body: the letter must have either body, which is text, or body_base64")


def _value_to_json(value: Any) -> Any:
    match value:
        case list():
            return [_value_to_json(one) for one in value]
        case dict():
            table = {name: _value_to_json(one) for name, one in value.items()}
            return {"$table": table} if any(name.startswith("$") for name in value) else table
        case _:
            return _scalar_to_json(value)


def _scalar_to_json(value: Any) -> Any:
    match value:
        case bytes() | bytearray():
            return {"$bytes": base64.b64encode(value).decode()}
        case datetime():
            return {"$timestamp": value.isoformat()}
        case Decimal():
            return {"$decimal": str(value)}
        case float() if not math.isfinite(value):
            return {"$float": str(value)}
        case _:
            return value


def _value_from_json(value: Any, where: str) -> Any:
    match value:
        case list():
            return [_value_from_json(one, where) for one in value]
        case dict() if len(value) == 1 and next(iter(value)).startswith("$"):
            [(kind, inner)] = value.items()
            return _special(kind, inner, where)
        case dict():
            return {name: _value_from_json(one, f"{where}.{name}") for name, one in value.items()}
        case _:
            return value


def _special(kind: str, inner: Any, where: str) -> Any:
    try:
        match kind, inner:
            case "$table", dict():
                return {name: _value_from_json(one, f"{where}.{name}") for name, one in inner.items()}
            case "$bytes", str():
                return bytearray(_from_base64(inner, where))
            case "$timestamp", str():
                return datetime.fromisoformat(inner)
            case "$decimal", str():
                return Decimal(inner)
            case "$float", str():
                return float(inner)
    except (ValueError, InvalidOperation) as error:
        raise UsageError(f"{where}: {inner!r} is no value of {kind}") from error
    raise UsageError(f"{where}: {kind} is none of $bytes, $timestamp, $decimal, $float, $table with what belongs there")


def _from_base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise UsageError(f"{where}: not base64: {error}") from error


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise UsageError(f"{name}: must be text")
    return value
