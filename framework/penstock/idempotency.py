"""The two digests of a record: its key and its content hash. Both are SHA-256, as 64 hex digits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import orjson
from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The header that carries the key through retry, spill, replay, edit and failover.
KEY_HEADER = "penstock-key"
#: A publisher's own key is used as it is up to this length, in characters; a longer one is hashed.
LONGEST_KEY = 128


def canonical(value: Any) -> bytes:
    """JSON with sorted names and no spaces: equal values give equal bytes."""
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, which orjson refuses
        text = json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """What JSON has no word for, said the same way in every process."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return str(value)


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def header_key(headers: Mapping[str, Any]) -> str | None:
    """The key the publisher (or an earlier stage of Penstock) set, or None."""
    given = headers.get(KEY_HEADER)
    if given is None or given == "":
        return None
    text = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
    return text if len(text) <= LONGEST_KEY else digest(text.encode())


def key_of(headers: Mapping[str, Any] | None, document: Any, fields: Sequence[str]) -> str:
    """The key of a decoded message: its header's, else that of the named top-level fields, else of the whole."""
    if headers and (given := header_key(headers)):
        return given
    if fields and isinstance(document, dict):
        document = {name: document.get(name) for name in fields}
    return hashlib.sha256(canonical(document)).hexdigest()


def message_key(headers: Mapping[str, Any] | None, body: bytes, fields: Sequence[str]) -> str:
    """The key of a message whose body is JSON, as `key_of` says."""
    if headers and (given := header_key(headers)):
        return given
    return key_of(None, from_json(body, allow_inf_nan=False), fields)


def content_hash(row: Any, version: int | None, mapping_version: int) -> str:
    """The hash a sink stores beside a row: it moves when the row, its version or the mapping's version does.

    The record's version takes part so that an equal record with a newer version moves the stored
    version on.
    """
    return hashlib.sha256(canonical((mapping_version, version, row))).hexdigest()
