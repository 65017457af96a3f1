"""Where the servers of a stack live, in a file of its folder: the same ports and passwords at every start."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, RootModel, ValidationError

from penstock.embedded.part import Place
from penstock.embedded.ports import free_ports, is_free
from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.embedded.part import Part

FILE = "stack.json"


class _Entry(BaseModel, extra="forbid"):
    port: int = Field(ge=1, le=65_535)
    password: str = Field(min_length=16, repr=False)


class _Entries(RootModel[dict[str, _Entry]]):
    """By the name of the part."""


class Places:
    """The places of all parts below one folder. Raises StackError where their file is damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._entries: dict[str, _Entry] = {}
        with suppress(FileNotFoundError):
            try:
                self._entries = _Entries.model_validate_json(self._file.read_bytes()).root
            except PermissionError as error:
                raise StackError(f"{self._file} cannot be read: the stack belongs to another user") from error
            except ValidationError as error:
                field = ".".join(map(str, error.errors()[0]["loc"])) or "the whole of it"
                text = f"{self._file} is damaged ({field}): put it back, or remove {folder} and all data in it"
                raise StackError(text) from None  # its own text would show passwords

    def place(self, part: Part) -> Place | None:
        """Where a part lives; None before its first start."""
        entry = self._entries.get(part.name)
        if entry is None:
            return None
        return Place(self._folder / part.name, entry.port, part.username, entry.password)

    def settle(self, part: Part) -> tuple[Place, int | None]:
        """Return a place whose port is free now, and the port it had if another program has taken that."""
        entry, taken = self._entries.get(part.name), None
        if entry is None:
            entry = _Entry(port=self._free_port(), password=secrets.token_urlsafe(24))
        elif not is_free(entry.port):
            taken, entry = entry.port, _Entry(port=self._free_port(), password=entry.password)
        self._entries[part.name] = entry
        self._write()
        place = Place(self._folder / part.name, entry.port, part.username, entry.password)
        place.folder.mkdir(mode=0o700, exist_ok=True)
        return place, taken

    def _free_port(self) -> int:
        others = {entry.port for entry in self._entries.values()}
        return next(port for port in free_ports(len(others) + 1) if port not in others)

    def _write(self) -> None:
        """Replace the file in one step, so that no kill and no full disk leaves half of it."""
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(_Entries(self._entries).model_dump_json(indent=2))
        new.replace(self._file)
