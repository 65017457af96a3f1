"""What the elements of a Discogs dump hold, as values of JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from penstock_workers.discogs.records import identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lxml.etree import _Element

Values = dict[str, Any]
Reference = dict[str, str | None]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Shape:
    """The children an element may have by their tags, each with its parser: single values, and lists.

    The parser of a single value returns None where there is none.
    """

    singles: Mapping[str, Callable[[_Element], Any]] = field(default_factory=dict)
    lists: Mapping[str, Callable[[_Element], list[Any]]] = field(default_factory=dict)


#: An element that has attributes only.
ATTRIBUTES = Shape()


def present(value: str | None) -> str | None:
    """The text as it is; None where there is only white space."""
    return value if value and not value.isspace() else None


def text(element: _Element) -> str | None:
    """The element's text as it is, dirty dates included."""
    return present(element.text)


def word(element: _Element) -> str | None:
    """A genre, a style or an address: the text without white space around it."""
    return (element.text or "").strip() or None


def id_text(element: _Element) -> str | None:
    """The id that is the element's text."""
    return identifier(element.text)


def described(element: _Element, shape: Shape) -> Values:
    """The element's attributes, its text if it has any, and its children, each under its name.

    What holds nothing is absent, except that the shape's lists are always there. A child the shape
    does not know is kept, in a list. A list that comes in two elements is joined; of a single value
    that does, the first one counts.
    """
    found: Values = {key: value for key, value in element.items() if present(value)}
    found |= {name: [] for name in shape.lists}
    if "id" in found and identifier(found["id"]) is None:
        del found["id"]
    for child in element:
        tag = str(child.tag)
        if tag in shape.lists:
            found[tag] += shape.lists[tag](child)
        elif tag not in shape.singles:
            found.setdefault(tag, []).append(unknown(child))
        elif (value := shape.singles[tag](child)) is not None:
            found.setdefault(tag, value)
    if present(element.text):
        found.setdefault("text", element.text)
    return found


def unknown(element: _Element) -> str | Values | None:
    """An element of no known name: its text, or where it has more than that, all it holds."""
    return described(element, ATTRIBUTES) if len(element) or element.attrib else text(element)


def identified(element: _Element, shape: Shape) -> Values:
    """Like `described`, with an id in any case: None for a name without one, which so is kept but refers to nothing."""
    return {"id": None} | described(element, shape)


def each(element: _Element, shape: Shape) -> list[Values]:
    """What each child describes, without those that hold nothing."""
    return [found for found in (described(child, shape) for child in element) if any(found.values())]


def each_identified(element: _Element, shape: Shape) -> list[Values]:
    """What each child describes, with its id, exact repetitions once."""
    return distinct(found for found in (identified(child, shape) for child in element) if any(found.values()))


def texts(element: _Element) -> list[str]:
    """The children's texts, as they are, each once."""
    return distinct(found for found in map(text, element) if found)


def words(element: _Element) -> list[str]:
    """The children's texts without white space around them, each once."""
    return distinct(found for found in map(word, element) if found)


def distinct(values: Iterable[Value]) -> list[Value]:
    """Each value once, in the order of first appearance; dicts are compared by what they show."""
    return list({repr(value): value for value in values}.values())


def reference(element: _Element) -> Reference | None:
    """`<name id="26">Alexi Delano</name>` as {id, name}; None where it has neither."""
    number, name = identifier(element.get("id")), text(element)
    return {"id": number, "name": name} if number or name else None


def references(element: _Element) -> list[Reference]:
    """The children as {id, name}, each id once; either is None where it is not given.

    Members come as `<id>26</id><name id="26">Alexi Delano</name>`, in older dumps as
    `<id>26</id><name>Alexi Delano</name>`: one member each.
    """
    kept: dict[tuple[str | None, str | None], Reference] = {}
    bare = None
    for child in element:
        if child.tag == "id":
            bare = number = id_text(child)
            name = None
        else:
            number, name = identifier(child.get("id")) or bare, text(child)
            bare = None
        if number or name:
            known = kept.setdefault((number, None if number else name), {"id": number, "name": name})
            known["name"] = known["name"] or name
    return list(kept.values())
