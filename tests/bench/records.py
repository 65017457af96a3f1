"""Discogs records for the graph: real ones, read as `penstock publish discogs` reads them, repeated with new ids."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from penstock.source import open_source
from penstock_workers.discogs.reader import reader

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Fields that name another record by its bare id; elsewhere a record is named by an object with an `id`.
REFERENCES = ("id", "master_id", "main_release")
#: More than any id of the dumps.
APART = 1_000_000_000
PACKAGE_SAMPLE = Path(__file__).parents[2] / "workers" / "penstock_workers" / "discogs" / "sample"


def folder() -> Path:
    """Where the dump is: PENSTOCK_SAMPLE_DATA, else ../shared/data, else the records in the package."""
    shared = Path(os.environ.get("PENSTOCK_SAMPLE_DATA") or Path(__file__).parents[3] / "shared" / "data")
    found = shared / "discogs"
    return found if found.is_dir() else PACKAGE_SAMPLE


def records(count: int) -> list[dict[str, Any]]:
    """So many records; each repetition of the dump has ids of its own, and names those of its own."""
    read = [orjson.loads(body) for body in _dump()]
    return [
        read[number % len(read)] if number < len(read) else _renamed(read[number % len(read)], number // len(read))
        for number in range(count)
    ]


def bodies(count: int) -> Iterator[bytes]:
    """The same as messages."""
    return map(orjson.dumps, records(count))


def _dump() -> Iterator[bytes]:
    """One record of each type in turn, so that every batch holds all types, as long as they last."""
    by_file = []
    for file in reader.files(folder()):
        with open_source(file) as source:
            by_file.append([message.body for message in reader.read(source.stream, source.name)])
    for turn in itertools.zip_longest(*by_file):
        yield from (body for body in turn if body is not None)


def _renamed(value: Any, repetition: int) -> Any:
    match value:
        case dict():
            return {
                name: _new_id(one, repetition) if name in REFERENCES else _renamed(one, repetition)
                for name, one in value.items()
            }
        case list():
            return [_renamed(one, repetition) for one in value]
        case _:
            return value


def _new_id(value: Any, repetition: int) -> Any:
    """Ids that name nothing, empty or 0, stay so."""
    text = str(value or "").strip()
    return str(int(text) + repetition * APART) if text.isdigit() and int(text) else value
