"""Records out of a dump of any size; broken, cut off and hostile dumps."""

from __future__ import annotations

import io
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.errors import UsageError
from penstock_workers.discogs.xml import records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

MEMORY = Path("/proc/self/statm")


def ids(xml: str | bytes) -> list[str | None]:
    data = xml.encode() if isinstance(xml, str) else xml
    return [element.findtext("id") for element in records(io.BytesIO(data), "dump.xml")]


class Pipe(io.RawIOBase):
    """Bytes made as they are read: `start`, then the piece until `size` bytes of it are out, then `end`."""

    def __init__(self, piece: bytes, size: int, start: bytes = b"", end: bytes = b"") -> None:
        super().__init__()
        self.pieces: Iterator[bytes] = chain([start], repeat(piece, size // len(piece)), [end])
        self.ahead = bytearray()

    def readable(self) -> bool:
        return True

    def readinto(self, target: WriteableBuffer) -> int:
        view = memoryview(target).cast("B")
        while len(self.ahead) < len(view) and (piece := next(self.pieces, None)) is not None:
            self.ahead += piece
        taken = bytes(self.ahead[: len(view)])
        del self.ahead[: len(taken)]
        view[: len(taken)] = taken
        return len(taken)


def test_only_elements_under_the_root_are_records() -> None:
    inner = '<sublabels><label id="2">B</label></sublabels><label><id>3</id></label>'
    assert ids(f"<labels><label><id>1</id>{inner}</label></labels>") == ["1"]


def test_comments_and_instructions_are_no_part_of_a_record() -> None:
    dump = b"<!-- a --><artists><?x y?><artist><!-- b --><id>1</id><name>A<!-- c -->B</name></artist></artists>"
    [found] = [[(part.tag, part.text) for part in element] for element in records(io.BytesIO(dump), "dump.xml")]
    assert found == [("id", "1"), ("name", "AB")]


GOOD = "<artists>\n<artist><id>1</id></artist>\n<artist><id>2</id></artist>\n"


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ("", 4),
        ("<artist><id>3</id>", 4),
        ("<artist><id>3", 4),
        ("\n<artist><id>3</artist>", 5),
        ("<artist><name>\x01</name></artist></artists>", 4),
        ("<artist><name>&nbsp;</name></artist></artists>", 4),
        ("</artists>\n<artist/>", 5),
    ],
)
def test_broken_xml_names_file_and_line_after_the_records_before_it(rest: str, line: int) -> None:
    elements = records(io.BytesIO((GOOD + rest).encode()), "dump.xml")
    assert [next(elements).findtext("id") for _ in range(2)] == ["1", "2"]
    with pytest.raises(UsageError, match=rf"^dump\.xml, line {line}: broken or cut off XML: ") as caught:
        next(elements)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b" \n", b"id,name\n1,x\n", b"\x00\x01", b"PK\x03\x04"])
def test_a_file_that_is_no_xml_at_all_is_named(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"^dump\.xml, line \d+: broken or cut off XML: ") as caught:
        ids(data)
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_named_so() -> None:
    with pytest.raises(UsageError, match=r"^dump\.xml: is empty; fetch the file again$"):
        ids(b"")


@pytest.mark.parametrize("root", ["html", "artist", "release-list", "Artists"])
def test_other_xml_is_refused_by_its_root(root: str) -> None:
    with pytest.raises(UsageError, match=rf"^dump\.xml: its root element is <{root}>, not one of a Discogs dump"):
        ids(f"<{root}><artist><id>1</id></artist></{root}>")


def test_a_root_that_never_comes_is_not_waited_for() -> None:
    with pytest.raises(UsageError, match=r"^dump\.xml: no root element in its first 1048576 bytes"):
        next(records(io.BufferedReader(Pipe(b"<!-- a comment -->", 1 << 40)), "dump.xml"))


SECRET = "the content of another file"


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY x SYSTEM "file://{secret}">',
        '<!ENTITY x "expanded">',
        '<!ENTITY % y SYSTEM "file://{secret}"> %y;',
    ],
)
def test_nothing_is_expanded_or_fetched(tmp_path: Path, declaration: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    doctype = f"<!DOCTYPE artists [{declaration.format(secret=secret)}]>"
    with pytest.raises(UsageError, match=r"^dump\.xml: has a DOCTYPE") as caught:
        ids(f"{doctype}<artists><artist><id>1</id><name>&x;</name></artist></artists>")
    assert SECRET not in str(caught.value)


def test_a_bomb_in_the_roots_own_attribute_does_not_go_off() -> None:
    entities = "".join(f'<!ENTITY b{level} "{f"&b{level - 1};" * 10}">' for level in range(1, 12))
    with pytest.raises(UsageError, match="broken or cut off XML: Maximum entity amplification"):
        ids(f'<!DOCTYPE artists [<!ENTITY b0 "lol">{entities}]><artists x="&b11;"/>')


def resident() -> int:
    """Bytes of memory the process holds: libxml2's own too, which tracemalloc does not see."""
    return int(MEMORY.read_text().split()[1]) * 4096


SMALL = b"<label><id>1</id></label>\n"
BIG = b"<label><id>1</id><profile>" + 100_000 * b"x" + b"</profile></label>\n"


@pytest.mark.skipif(not MEMORY.exists(), reason="the memory of libxml2 is read from /proc, which is Linux's")
@pytest.mark.parametrize(
    ("record", "count"), [(b"<label><id>1</id></label>\n", 150_000), (BIG, 500)], ids=["many", "big"]
)
def test_memory_does_not_grow_with_the_dump(record: bytes, count: int) -> None:
    pipe = Pipe(record, count * len(record), b"<labels>", b"</labels>")
    elements = records(io.BufferedReader(pipe), "dump.xml")
    warm = count // 10
    for _ in range(warm):
        next(elements)
    before = highest = resident()
    seen = warm
    for _ in elements:
        seen += 1
        if seen % warm == 0:
            highest = max(highest, resident())
    assert seen == count
    assert highest - before < 4_000_000
