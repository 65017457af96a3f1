"""The options that say which letters are meant, shared by the commands of `penstock dlq`."""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.codec import Codec
from penstock.deadletter.filter import BodyPath, Filter, compiled
from penstock.discovery import load_worker
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.settings import Settings

#: Units of an age, in seconds.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

_PANEL = "Which letters"


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=_PANEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterWords:
    """What was written on the command line: each field is an option."""

    group: Annotated[str | None, _option("--group", "ID", "Of this group; see penstock dlq groups.")] = None
    reason: Annotated[str | None, _option("--reason", "REASON", "With this reason.")] = None
    error_class: Annotated[str | None, _option("--error-class", "CLASS", "With this class of error.")] = None
    older_than: Annotated[str | None, _option("--older-than", "AGE", "That failed longer ago: 90s, 5m, 2h, 7d.")] = None
    newer_than: Annotated[str | None, _option("--newer-than", "AGE", "That failed not as long ago.")] = None
    header: Annotated[list[str] | None, _option("--header", "NAME=VALUE", "With this header; may be repeated.")] = None
    key: Annotated[str | None, _option("--key", "KEY", "With this key (the header penstock-key).")] = None
    natural_key: Annotated[
        str | None, _option("--natural-key", "KEY", "With this natural key, parts by slashes; the body must decode.")
    ] = None
    path: Annotated[
        list[str] | None,
        _option("--path", "JSONPATH[=VALUE]", "Whose body has (this value) there: $.customer.id=5; may be repeated."),
    ] = None

    def filter(self, name: str, settings: Settings) -> Filter:
        """The filter, for letters of a worker. Raises UsageError, naming the option."""
        codec = Codec(load_worker(name), settings.limits) if self.natural_key is not None else None
        return Filter(
            group=self.group,
            reason=self.reason,
            error_class=self.error_class,
            older_than=_age("--older-than", self.older_than),
            newer_than=_age("--newer-than", self.newer_than),
            headers=dict(map(_header, self.header or ())),
            key=self.key,
            natural_key=self.natural_key,
            codec=codec,
            paths=tuple(map(body_path, self.path or ())),
        )


def with_filter(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of a filter in place of its parameter `words`, which is a FilterWords."""
    options = inspect.signature(FilterWords, eval_str=True).parameters
    signature = inspect.signature(command, eval_str=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != "words"
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        words = FilterWords(**{name: given.pop(name) for name in options})
        command(**given, words=words)

    parameters = (*own, *options.values())
    # typer makes a command's options of these.
    wrapped.__dict__["__signature__"] = signature.replace(parameters=parameters)
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def body_path(word: str) -> BodyPath:
    """PATH or PATH=VALUE; a path may itself have = in it. Raises UsageError where there is none."""
    parts = word.split("=")
    # As a whole first, then up to the first = that ends a path.
    for end in (len(parts), *range(1, len(parts))):
        path = "=".join(parts[:end])
        try:
            compiled(path)
        except UsageError:
            continue
        return BodyPath(path, None if end == len(parts) else "=".join(parts[end:]))
    compiled(word)
    raise UsageError(f"--path: {word} is no JSONPath")


def dead_letter_queue(name: str) -> str:
    """The DLQ of a worker, installed here or not; a DLQ may also be named itself."""
    return name if name.endswith(".dlq") else f"{name}.dlq"


def _header(word: str) -> tuple[str, str]:
    name, given, value = word.partition("=")
    if not given or not name:
        raise UsageError(f"--header: write NAME=VALUE, not {word}")
    return name, value


def _age(option: str, word: str | None) -> timedelta | None:
    if word is None:
        return None
    found = _AGE.fullmatch(word)
    if found is None:
        raise UsageError(f"{option}: write an age as 90s, 5m, 2h, 7d or 1w, not {word}")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def names_or_installed(names: Sequence[str] | None, installed: Callable[[], Sequence[str]]) -> list[str]:
    """The workers named, or all that are installed. Raises UsageError where none is."""
    found = list(dict.fromkeys(names)) if names else list(installed())
    if not found:
        raise UsageError("no worker is installed: name one, or pip install 'penstock[all]'")
    return found
