"""Files and standard input, gzipped or not, and every way they can fail."""

from __future__ import annotations

import gzip
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.source import CHUNK, open_source

TEXT = b"".join(b"line %d\n" % number for number in range(200_000))


def stored(folder: Path, data: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("zip_it", [False, True])
def test_bytes_size_and_progress_are_those_of_the_file(tmp_path: Path, *, zip_it: bool) -> None:
    data = gzip.compress(TEXT) if zip_it else TEXT
    with open_source(stored(tmp_path, data)) as source:
        assert source.size == len(data)
        first = source.stream.read(10)
        assert 0 < source.consumed <= 2 * CHUNK
        assert first + source.stream.read() == TEXT
        assert source.consumed == len(data)
        assert source.name == str(tmp_path / "file")


def test_a_zipped_file_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    with open_source(stored(tmp_path, gzip.compress(b"one ") + gzip.compress(b"two"))) as source:
        assert source.stream.read() == b"one two"


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=300), zip_it=st.booleans())
def test_any_bytes_come_back_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, *, zip_it: bool
) -> None:
    if data.startswith(b"\x1f\x8b"):
        data = b"-" + data
    path = stored(tmp_path_factory.getbasetemp(), gzip.compress(data) if zip_it else data)
    with open_source(path) as source:
        assert source.stream.read() == data


@pytest.mark.parametrize("zip_it", [False, True])
def test_standard_input_has_no_size_and_stays_open(monkeypatch: pytest.MonkeyPatch, *, zip_it: bool) -> None:
    data = gzip.compress(b"a\nb\n") if zip_it else b"a\nb\n"
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with open_source(Path("-")) as source:
            assert source.size is None
            assert list(source.stream) == [b"a\n", b"b\n"]
            assert source.consumed == len(data)
            assert source.name == "standard input"
        assert os.read(reading, 1) == b""


def test_a_line_of_a_pipe_is_there_before_the_next_one_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        os.write(writing, b"f")
        os.write(writing, b"irst\n")
        with open_source(Path("-")) as source:
            assert source.stream.readline() == b"first\n"
            os.write(writing, b"second\n")
            assert source.stream.readline() == b"second\n"
        os.close(writing)


def test_a_pipe_that_does_not_block_is_not_taken_for_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with pytest.raises(UsageError, match=r"^standard input: cannot be read: "), open_source(Path("-")):
            pass
    os.close(writing)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^.*/absent: cannot be read: No such file or directory$"):
        open_source(tmp_path / "absent").__enter__()


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{tmp_path}: cannot be read: Is a directory$"):
        open_source(tmp_path).__enter__()


def test_closed_standard_input_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match=r"^standard input: is closed"):
        open_source(Path("-")).__enter__()


@pytest.mark.parametrize("left_over", [1, 5, 9])
def test_a_zipped_file_cut_off_is_named_after_what_is_left_of_it(tmp_path: Path, left_over: int) -> None:
    path = stored(tmp_path, gzip.compress(TEXT)[:-left_over])
    with open_source(path) as source, pytest.raises(UsageError, match=f"^{path}: the gzip data is cut off"):
        list(iter(lambda: source.stream.read(1000), b""))


def test_only_the_magic_bytes_are_a_zipped_file_cut_off(tmp_path: Path) -> None:
    path = stored(tmp_path, b"\x1f\x8b")
    with open_source(path) as source, pytest.raises(UsageError, match="cut off"):
        source.stream.read()


@pytest.mark.parametrize("place", [2, 50, -6])
def test_damaged_zip_data_is_named(tmp_path: Path, place: int) -> None:
    data = bytearray(gzip.compress(TEXT))
    data[place] ^= 0xFF
    path = stored(tmp_path, bytes(data))
    with open_source(path) as source, pytest.raises(UsageError, match=f"^{path}: the gzip data is damaged") as caught:
        source.stream.read()
    assert "\n" not in str(caught.value)


def test_a_large_zipped_file_is_never_held_whole(tmp_path: Path) -> None:
    path = stored(tmp_path, gzip.compress(bytes(50_000_000), 1))
    tracemalloc.start()
    try:
        with open_source(path) as source:
            total = sum(map(len, iter(lambda: source.stream.read(100_000), b"")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 50_000_000
    assert peak < 5_000_000
