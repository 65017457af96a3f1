"""The messages of all drills: so many keys, whose versions come one after the other, each message with an id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXCHANGE = "drill"
ROUTING_KEY = "change"
#: 20,000 messages are 200 keys in 100 versions.
KEYS = 200


def message_id(number: int) -> str:
    """The id of a message, which is its key (penstock-key) as well."""
    return f"change-{number}"


def version_of(number: int) -> int:
    """Which version of its key a message brings, from 1."""
    return number // KEYS + 1


def number_of(key: int, version: int) -> int:
    """The message that brings that version of a key."""
    return (version - 1) * KEYS + key


def body(number: int) -> bytes:
    """What is published, as the workers drill-ledger, drill-table and drill-graph take it."""
    return json.dumps({"id": message_id(number), "key": number % KEYS, "version": version_of(number)}).encode()


def newest(numbers: Iterable[int]) -> dict[int, int]:
    """The highest version by key of those messages."""
    found: dict[int, int] = {}
    for number in numbers:
        key = number % KEYS
        found[key] = max(found.get(key, 0), version_of(number))
    return found
