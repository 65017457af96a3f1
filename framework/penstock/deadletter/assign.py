"""Values of a JSON body set by their paths; every number that is not meant stays as it is written, digit by digit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import jsonpath
import orjson
from jsonpath.selectors import NameSelector

from penstock.deadletter.filter import compiled
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters of a whole number that fits in 64 bits in any case.
LONGEST_WHOLE = 18


def assigned(body: bytes, assignments: Iterable[tuple[str, str]]) -> bytes:
    """The body with each path's value set: JSON where it is JSON, else text; `a.b`, `$.a.b` and `items[0]` are paths.

    A path names one value that is there, or a new member of an object that is there. Raises UsageError, naming it.
    """
    try:
        document = _parsed(body.decode())
    except ValueError as error:
        raise UsageError(f"the body is not JSON ({error}): mend it in an editor, without --set") from error
    for path, value in assignments:
        document = _assign(document, path, _value(value))
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise UsageError(f"the body cannot be put in JSON again ({error}): mend it in an editor") from error


def indented(body: bytes) -> bytes:
    """The body as people read it, if it is JSON; else as it is."""
    try:
        return orjson.dumps(_parsed(body.decode()), option=orjson.OPT_INDENT_2)
    except (ValueError, TypeError):
        return body


def _assign(document: Any, path: str, value: Any) -> Any:
    query = compiled(path)
    found = list(query.finditer(document))
    if len(found) > 1:
        raise UsageError(f"{path} names {len(found)} values of the body: name one of them")
    if found:
        [match] = found
        if match.parent is None:
            return value
        holder: Any = match.parent.obj
        holder[match.parts[-1]] = value
        return document
    if isinstance(query, jsonpath.JSONPath) and query.singular_query():
        *above, last = query.segments
        parents = jsonpath.JSONPath(env=query.env, segments=above).findall(document)
        match parents, last.selectors:
            case [dict() as parent], [NameSelector(name=name)]:
                parent[name] = value
                return document
    raise UsageError(f"the body has no {path}, and nothing that could have it")


def _value(text: str) -> Any:
    try:
        return _parsed(text)
    except ValueError:
        return text


def _parsed(text: str) -> Any:
    """What JSON says, its numbers as they are written. Raises ValueError."""
    return json.loads(text, parse_float=orjson.Fragment, parse_int=_whole, parse_constant=_refuse)


def _whole(number: str) -> int | orjson.Fragment:
    """A number, so that a path can ask for it, unless it would be written in another way."""
    return int(number) if len(number) <= LONGEST_WHOLE and number != "-0" else orjson.Fragment(number)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
