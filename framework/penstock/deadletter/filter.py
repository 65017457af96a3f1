"""Which letters are meant: all that is given must hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonpath
import orjson

from penstock.delivery import NO_GENERATION, Delivery
from penstock.errors import UsageError
from penstock.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from penstock.codec import Codec
    from penstock.deadletter.view import Letter


@dataclass(frozen=True, slots=True)
class BodyPath:
    """A JSONPath (RFC 9535) of the body; `value` is what one of the values it finds must be, None: any will do.

    `value` is text, or JSON: 5 finds 5 and "5".
    """

    path: str
    value: str | None = None

    def finds(self, document: Any) -> bool:
        """Whether it is in a decoded body, as far down as the library goes. Raises UsageError for what is no path."""
        try:
            found = compiled(self.path).findall(document)
        except jsonpath.JSONPathError:  # nested too deep, or a comparison of what cannot be compared
            return False
        return bool(found) if self.value is None else any(_is(one, self.value) for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is None or empty says nothing; all that is given must hold.

    `older_than` and `newer_than` are of the age since it failed; a letter whose age is not known is neither.
    `headers` give the text of values. `natural_key` is as the worker's model gives it, so that it needs `codec`,
    the worker's own, and meets no letter whose body does not decode. `key` is the key of the event.
    """

    group: str | None = None
    reason: str | None = None
    error_class: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    natural_key: str | None = None
    codec: Codec | None = None
    paths: tuple[BodyPath, ...] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for what could never be asked."""
        if self.natural_key is not None and self.codec is None:
            raise UsageError("a natural key is read by the worker's model: name a worker that is installed here")
        for path in self.paths:
            compiled(path.path)

    def matches(self, letter: Letter, now: float) -> bool:
        """Whether a letter is meant; `now` in epoch seconds."""
        return (
            self.reason in {None, letter.reason}
            and self.error_class in {None, letter.error_class}
            and self.key in {None, letter.key}
            and (self.group is None or self.group == letter.group)
            and self._age_holds(letter.age(now))
            and self._headers_hold(letter)
            and self._paths_hold(letter)
            and (self.natural_key is None or self.natural_key == self._natural_key(letter))
        )

    def _age_holds(self, age: float | None) -> bool:
        if age is None:
            return self.older_than is None and self.newer_than is None
        return (self.older_than is None or age > self.older_than.total_seconds()) and (
            self.newer_than is None or age < self.newer_than.total_seconds()
        )

    def _headers_hold(self, letter: Letter) -> bool:
        if not self.headers:
            return True
        held = letter.headers
        return all(name in held and _is(held[name], value) for name, value in self.headers.items())

    def _paths_hold(self, letter: Letter) -> bool:
        if not self.paths:
            return True
        try:
            document = orjson.loads(letter.body)
        except ValueError:
            return False
        return all(path.finds(document) for path in self.paths)

    def _natural_key(self, letter: Letter) -> str | None:
        if self.codec is None:
            return None
        result = self.codec.decode(delivery_of_letter(letter))
        return natural_key_text(result.natural_key) if isinstance(result, Record) else None


def delivery_of_letter(letter: Letter) -> Delivery:
    """A letter as the delivery it once was, for the worker's codec; it belongs to no channel."""
    return Delivery(
        generation=NO_GENERATION,
        tag=0,
        body=letter.body,
        exchange=letter.exchange,
        routing_key=letter.routing_key,
        redelivered=False,
        properties=letter.properties,
    )


def natural_key_text(natural_key: object) -> str:
    """A natural key as it is written on a command line: its parts, where it has several, with slashes between."""
    if isinstance(natural_key, tuple):
        return "/".join(map(natural_key_text, natural_key))
    return str(natural_key)


@lru_cache(maxsize=64)
def compiled(path: str) -> jsonpath.JSONPath | jsonpath.CompoundJSONPath:
    """A JSONPath, ready to be used. Raises UsageError, naming it, where it is none."""
    try:
        return jsonpath.compile(path)
    except jsonpath.JSONPathError as error:
        raise UsageError(f"{path} is no JSONPath: {str(error).partition(chr(10))[0]}") from error


def _is(value: Any, wanted: str) -> bool:
    """Whether a value is what is written: as text, or as JSON."""
    match value:
        case str():
            return value == wanted
        case bytes() | bytearray():
            return value.decode("utf-8", "replace") == wanted
        case bool() | None:
            return json.dumps(value) == wanted
        case _:
            if str(value) == wanted:
                return True
            try:
                return bool(json.loads(wanted) == value)
            except ValueError:
                return False
