"""What a reader reads: a file or standard input, unzipped, with how far it has been read."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

#: Bytes asked of the file at once.
CHUNK = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An open file. `stream` gives its bytes unzipped; `size` is its size as stored in bytes, None for a pipe."""

    name: str
    stream: BinaryIO
    size: int | None
    _stored: _Stored

    @property
    def consumed(self) -> int:
        """Bytes as stored (compressed) that have been read so far, a buffer ahead of `stream` at most."""
        return self._stored.consumed


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open `path`, or standard input where it is `-`; gzip is recognised by its first bytes.

    Raises UsageError, naming the file, where it cannot be opened; so does its stream where it
    cannot be read to the end or its gzip data is damaged or cut off.
    """
    standard_input = str(path) == "-"
    name = "standard input" if standard_input else str(path)
    if standard_input and sys.stdin is None:
        raise UsageError(f"{name}: is closed; name a file, or pipe one in")
    try:
        # Unbuffered, so that what comes through a pipe is read as it comes and not in whole chunks.
        file = io.FileIO(sys.stdin.fileno(), closefd=False) if standard_input else path.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(name, error) from error
    with file:
        yield _source(name, file)


def _source(name: str, file: io.FileIO) -> Source:
    status = os.fstat(file.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    stored = _Stored(file, name)
    buffered = io.BufferedReader(stored, CHUNK)
    if stored.head != GZIP_MAGIC:
        return Source(name, buffered, size, stored)
    unzipped = _Unzipped(gzip.GzipFile(fileobj=buffered), name)
    return Source(name, io.BufferedReader(unzipped, CHUNK), size, stored)


def _unreadable(name: str, error: OSError) -> UsageError:
    return UsageError(f"{name}: cannot be read: {error.strerror or error}")


class _Stored(io.RawIOBase):
    """The bytes of a file as they are stored, counted; the first two are looked at before anybody asks for them."""

    def __init__(self, file: io.FileIO, name: str) -> None:
        super().__init__()
        self.consumed = 0
        self._file = file
        self._name = name
        self.head = b""
        while len(self.head) < len(GZIP_MAGIC) and (more := self._read(len(GZIP_MAGIC) - len(self.head))):
            self.head += more
        self._ahead = self.head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._ahead[: len(view)] or self._read(len(view))
        self._ahead = self._ahead[len(view) :]
        view[: len(data)] = data
        self.consumed += len(data)
        return len(data)

    def _read(self, count: int) -> bytes:
        try:
            data: bytes | None = self._file.read(count)
            if data is None:  # a non-blocking pipe with nothing in it: not its end
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        except OSError as error:
            raise _unreadable(self._name, error) from error
        return data


class _Unzipped(io.RawIOBase):
    """The unzipped bytes of a gzip file, with its faults told in terms of the file."""

    def __init__(self, file: gzip.GzipFile, name: str) -> None:
        super().__init__()
        self._file = file
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._file.read(len(view))
        except EOFError as error:
            raise UsageError(f"{self._name}: the gzip data is cut off: fetch the file again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UsageError(f"{self._name}: the gzip data is damaged ({error}): fetch the file again") from error
        view[: len(data)] = data
        return len(data)
