"""The sample for those who have no dump: it is read, it is true, and it shows every part of the graph."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from pydantic import TypeAdapter

import penstock_workers.discogs
from integration.discogs_counts import Graph, graph_of
from penstock.source import open_source
from penstock_workers.discogs.reader import reader
from penstock_workers.discogs.records import AnyRecord, Artist, DiscogsRecord, Label, Master, Release, natural_key

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SAMPLE = Path(penstock_workers.discogs.__file__).parent / "sample"
ROOTS = ("artists", "labels", "masters", "releases")
#: Type and id.
Records = dict[tuple[str, str], "Element"]


@pytest.fixture(scope="module")
def records() -> list[AnyRecord]:
    adapter: TypeAdapter[AnyRecord] = TypeAdapter(DiscogsRecord)
    found = []
    for path in reader.files(SAMPLE):
        with open_source(path) as source:
            found += [adapter.validate_json(message.body) for message in reader.read(source.stream, source.name)]
    return found


@pytest.fixture(scope="module")
def counted() -> Graph:
    return graph_of(SAMPLE)


@pytest.fixture(scope="module")
def written() -> Records:
    return elements(SAMPLE)


@pytest.fixture(scope="module")
def dumped(sample_data: Path) -> Records:
    return elements(sample_data / "discogs")


def elements(folder: Path) -> Records:
    """The records as the standard library reads them."""
    found: Records = {}
    for root in ROOTS:
        [path] = folder.glob(f"discogs_20200806_{root}.xml*")
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for element in ET.fromstring(content):  # noqa: S314 - the files are ours, and expat expands no bombs
            identifier = element.get("id") or element.findtext("id") or ""
            found[element.tag, identifier] = element
    return found


def text(element: Element) -> str:
    return (element.text or "").strip()


def contains(whole: Element, part: Element) -> bool:
    """Whether all that `part` says is said in `whole` too, in the same order; it may say less."""
    if whole.tag != part.tag or text(whole) != text(part) or not set(part.items()) <= set(whole.items()):
        return False
    rest = iter(whole)
    return all(any(contains(candidate, child) for candidate in rest) for child in part)


def without(element: Element, tag: str) -> Element:
    copy = ET.Element(element.tag, element.attrib)
    copy.extend(child for child in element if child.tag != tag)
    return copy


def test_every_record_is_read_and_there_are_some_of_each_type(records: list[AnyRecord]) -> None:
    assert Counter(record.type for record in records) == {"artist": 18, "label": 14, "master": 14, "release": 17}
    assert len({natural_key(record) for record in records}) == len(records)


def test_the_files_say_what_they_are() -> None:
    for root in ROOTS:
        head = (SAMPLE / f"discogs_20200806_{root}.xml").read_text("utf-8").partition(f"<{root}>")[0]
        assert all(words in head for words in ("Discogs data dump of 2020-08-06", "CC0", "facts only", root))


def test_every_record_agrees_with_the_dump(written: Records, dumped: Records) -> None:
    assert written.keys() <= dumped.keys()
    assert [key for key in written if not contains(dumped[key], without(written[key], "sublabels"))] == []


def test_the_sublabels_name_in_the_dump_the_label_that_lists_them(written: Records, dumped: Records) -> None:
    told = [
        (label.findtext("id"), label.findtext("name"), sublabel.get("id", ""), sublabel.text)
        for label in written.values()
        for sublabel in label.iterfind("sublabels/label")
    ]
    for parent, parent_name, sublabel, name in told:
        record = dumped["label", sublabel]
        assert record.findtext("name") == name
        assert [(found.get("id"), found.text) for found in record.iterfind("parentLabel")] == [(parent, parent_name)]


def test_it_shows_every_label_and_every_edge(counted: Graph) -> None:
    assert counted.node_counts() == {"Artist": 61, "Label": 20, "Master": 28, "Release": 17, "Genre": 5, "Style": 15}
    assert counted.edge_counts() == {
        "ALIAS_OF": 37,
        "MEMBER_OF": 26,
        "SUBLABEL_OF": 8,
        "BY": 35,
        "IS": 80,
        "ON": 18,
        "DERIVED_FROM": 15,
    }
    assert (len(counted.records), len(counted.nodes), len(counted.edges)) == (63, 146, 219)


def test_shared_edges_are_told_from_both_sides(records: list[AnyRecord]) -> None:
    artists = [record for record in records if isinstance(record, Artist)]
    labels = [record for record in records if isinstance(record, Label)]
    by_group = {(member.id, group.id) for group in artists for member in group.members}
    by_member = {(member.id, group.id) for member in artists for group in member.groups}
    assert by_group & by_member == {
        ("26", "2"),
        ("27", "2"),
        ("25", "22"),
        ("32", "36"),
        ("62", "61"),
        ("98", "79"),
    }
    by_parent = {(sublabel.id, parent.id) for parent in labels for sublabel in parent.sublabels}
    by_sublabel = {(label.id, label.parentLabel.id) for label in labels if label.parentLabel}
    assert by_parent & by_sublabel == {("8", "60"), ("46", "43"), ("61", "63")}


def test_a_master_and_its_main_release_name_each_other(records: list[AnyRecord]) -> None:
    releases = {record.id: record for record in records if isinstance(record, Release)}
    [master] = [record for record in records if isinstance(record, Master) and record.main_release in releases]
    main = releases[master.main_release or ""]
    assert (main.master_id, main.is_main_release) == (master.id, True)


def test_the_dirt_of_a_real_dump_is_in_it(written: Records) -> None:
    assert written["release", "1"].findtext("released") == "1999-03-00"
    assert [credit.findtext("id") for credit in written["release", "7"].iterfind("extraartists/artist")] == ["0", "57"]
    assert [label.get("id") for label in written["release", "2"].iterfind("labels/label")] == ["5", "5"]
    assert [artist.findtext("id") for artist in written["master", "196"].iterfind("artists/artist")].count("15223") == 2
    assert written["release", "14"].find("master_id") is None
