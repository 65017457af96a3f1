"""Exchanges: which of the bound queues and exchanges get a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, assert_never, get_args

from penstock.embedded.broker.properties import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pamqp.common import FieldTable, FieldValue

    from penstock.embedded.broker.message import Message

ExchangeType = Literal["direct", "fanout", "topic", "headers"]
TYPES: tuple[ExchangeType, ...] = get_args(ExchangeType)
#: What a binding leads to.
Kind = Literal["queue", "exchange"]

#: There from the start, as in every RabbitMQ.
PREDECLARED: dict[str, ExchangeType] = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """Leads from an exchange to the queue or exchange named `destination`."""

    kind: Kind
    destination: str
    routing_key: str
    arguments: FieldTable

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes two bindings the same."""
        return self.kind, self.destination, self.routing_key, repr(sorted(self.arguments.items()))


@dataclass(slots=True, eq=False)
class Exchange:
    """An exchange and the bindings that begin at it; to an `internal` one nobody may publish."""

    name: str
    type: ExchangeType
    durable: bool = True
    internal: bool = False
    bindings: dict[tuple[str, str, str, str], Binding] = field(default_factory=dict)

    def bind(self, binding: Binding) -> None:
        """Add a binding; one that is there already stays as it is."""
        self.bindings.setdefault(binding.identity, binding)

    def unbind(self, binding: Binding) -> None:
        """Remove a binding; one that is not there is removed already."""
        self.bindings.pop(binding.identity, None)

    def unbind_all(self, kind: Kind, destination: str) -> None:
        """Remove every binding that leads to a queue or exchange that is gone."""
        for identity, binding in list(self.bindings.items()):
            if (binding.kind, binding.destination) == (kind, destination):
                del self.bindings[identity]

    def matching(self, message: Message) -> Iterator[Binding]:
        """The bindings that a message takes."""
        headers = (decoded(message.properties).headers or {}) if self.type == "headers" else {}
        for binding in self.bindings.values():
            if self._takes(binding, message.routing_key, headers):
                yield binding

    def _takes(self, binding: Binding, routing_key: str, headers: Mapping[str, FieldValue]) -> bool:
        match self.type:
            case "fanout":
                return True
            case "direct":
                return binding.routing_key == routing_key
            case "topic":
                return _topic_fits(binding.routing_key, routing_key)
            case "headers":
                return headers_match(binding.arguments, headers)
            case _:
                assert_never(self.type)


@lru_cache(maxsize=4096)
def _topic_fits(pattern: str, routing_key: str) -> bool:
    # The same few keys come again and again.
    return topic_matches(words_of(pattern), words_of(routing_key))


def words_of(routing_key: str) -> list[str]:
    """The words of a topic; the empty one has none."""
    return routing_key.split(".") if routing_key else []


def topic_matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Whether the words of a routing key fit a pattern: `*` stands for one word, `#` for any number, none included."""
    # All places in the pattern that the words read so far can have led to.
    places = _past_hashes(pattern, {0})
    for word in words:
        places = _past_hashes(
            pattern,
            {
                place if pattern[place] == "#" else place + 1
                for place in places
                if place < len(pattern) and pattern[place] in {"#", "*", word}
            },
        )
    return len(pattern) in places


def _past_hashes(pattern: Sequence[str], places: set[int]) -> set[int]:
    reached = set(places)
    for place in range(len(pattern)):
        if place in reached and pattern[place] == "#":
            reached.add(place + 1)
    return reached


def headers_match(wanted: Mapping[str, FieldValue], headers: Mapping[str, FieldValue]) -> bool:
    """Whether headers fit a binding's arguments: all of them, or any with `x-match: any`; None asks for presence."""
    agree = [
        name in headers and (value is None or (type(value) is type(headers[name]) and value == headers[name]))
        for name, value in wanted.items()
        if not name.startswith("x-")
    ]
    return any(agree) if wanted.get("x-match") == "any" else all(agree)
