"""Which files of a folder are read, and what is sent for each record."""

from __future__ import annotations

import io
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from penstock.errors import UsageError
from penstock_workers.discogs.reader import reader


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def found(folder: Path) -> list[str]:
    return [path.name for path in reader.files(folder)]


def test_a_file_is_itself_whatever_its_name(tmp_path: Path) -> None:
    assert reader.files(tmp_path / "x") == (tmp_path / "x",)
    assert reader.files(Path("-")) == (Path("-"),)


def test_the_files_of_a_folder_come_in_the_order_of_references(tmp_path: Path) -> None:
    touch(tmp_path, *(f"discogs_20200806_{root}.xml.gz" for root in ("releases", "masters", "labels", "artists")))
    touch(tmp_path, "README.md", "discogs_20200806_CHECKSUM.txt", "discogs_20200806_artists.xml.gz.part")
    assert found(tmp_path) == [
        f"discogs_20200806_{root}.xml.gz" for root in ("artists", "labels", "masters", "releases")
    ]


def test_only_the_newest_of_several_dumps_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "discogs_20191201_artists.xml.gz", "discogs_20191201_labels.xml.gz")
    touch(tmp_path, "discogs_20200806_labels.xml.gz", "discogs_20200806_artists.xml")
    assert found(tmp_path) == ["discogs_20200806_artists.xml", "discogs_20200806_labels.xml.gz"]


def test_a_file_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "discogs_20200806_artists.xml", "discogs_20200806_artists.xml.gz")
    assert found(tmp_path) == ["discogs_20200806_artists.xml.gz"]


def test_a_folder_without_a_dump_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "artists.csv")
    with pytest.raises(UsageError) as caught:
        reader.files(tmp_path)
    expected = f"{tmp_path}: holds no Discogs dump; looked for *_{{artists|labels|masters|releases}}.xml"
    assert str(caught.value) == f"{expected} and the same with .gz"


def test_a_message_goes_to_the_exchange_with_its_type_as_routing_key() -> None:
    [message] = reader.read(io.BytesIO(b"<labels><label><id>5</id></label></labels>"), "x")
    assert (message.exchange, message.routing_key) == ("discogs", "label")


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1)


@given(
    name=names, ids=st.lists(st.integers(1, 10**9).map(str), max_size=20), encoding=st.sampled_from(["utf-8", "utf-16"])
)
def test_text_and_order_survive_every_encoding(name: str, ids: list[str], encoding: str) -> None:
    root = etree.Element("artists")
    for number in ids:
        artist = etree.SubElement(root, "artist")
        etree.SubElement(artist, "id").text = number
        etree.SubElement(artist, "name").text = name
    messages = reader.read(io.BytesIO(etree.tostring(root, xml_declaration=True, encoding=encoding)), "dump.xml")
    records = [orjson.loads(message.body) for message in messages]
    assert [record["id"] for record in records] == ids
    assert {record.get("name") for record in records} <= {None if name.isspace() else name}
