"""The worker `discogs-graph`: artists, labels, masters and releases as nodes, and how they hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from penstock.stores.neo4j import endpoints
from penstock_workers.discogs.declaration import discogs_worker
from penstock_workers.discogs.records import AnyRecord, Artist, Label, Master, Release
from penstock_workers.graph.pattern import Edge, Node, Pattern
from penstock_workers.graph.row import NodeRow
from penstock_workers.graph.sink import graph_sink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock_workers.discogs.records import Reference

BY = Edge("artists", "BY", "out", "Artist")
IS = (
    Edge("genres", "IS", "out", "Genre", other_key="name"),
    Edge("styles", "IS", "out", "Style", other_key="name"),
)
#: A membership is told by the group and by the member, a sublabel by itself and by its parent: these are shared.
PATTERN = Pattern(
    (
        Node(
            "artist",
            "Artist",
            (
                Edge("aliases", "ALIAS_OF", "in", "Artist"),
                Edge("members", "MEMBER_OF", "in", "Artist", shared=True),
                Edge("groups", "MEMBER_OF", "out", "Artist", shared=True),
            ),
        ),
        Node(
            "label",
            "Label",
            (
                Edge("sublabels", "SUBLABEL_OF", "in", "Label", shared=True),
                Edge("parentLabel", "SUBLABEL_OF", "out", "Label", shared=True),
            ),
        ),
        Node("master", "Master", (BY, *IS)),
        Node(
            "release",
            "Release",
            (
                BY,
                Edge("labels", "ON", "out", "Label"),
                Edge("master_id", "DERIVED_FROM", "out", "Master"),
                *IS,
            ),
        ),
    )
)
#: The fields that become properties of a node; tracks, credits and the like are in the tables.
PROPERTIES = {
    "artist": ("name", "realname", "profile", "data_quality", "urls", "namevariations"),
    "label": ("name", "contactinfo", "profile", "data_quality", "urls"),
    "master": ("title", "year", "main_release", "notes", "data_quality"),
    "release": ("title", "country", "released", "status", "is_main_release", "notes", "data_quality"),
}


def mapping(record: AnyRecord) -> NodeRow:
    """A record as a node; what it names without an id, and a blank genre or style, is no edge."""
    return NodeRow(record.type, record.id, properties(record), edges(record))


def properties(record: AnyRecord) -> dict[str, Any]:
    """The texts and lists of texts that the record holds."""
    values = {name: getattr(record, name) for name in PROPERTIES[record.type]}
    return {name: value for name, value in values.items() if value not in (None, [])}


def edges(record: AnyRecord) -> dict[str, list[str]]:
    """The keys at the other end by the field that names them, each once."""
    match record:
        case Artist():
            return {
                "aliases": ids(record.aliases),
                "members": ids(record.members),
                "groups": ids(record.groups),
            }
        case Label():
            return {
                "sublabels": ids(record.sublabels),
                "parentLabel": ids([record.parentLabel] if record.parentLabel else []),
            }
        case Master():
            return {
                "artists": ids(record.artists),
                "genres": names(record.genres),
                "styles": names(record.styles),
            }
        case Release():
            return {
                "artists": ids(record.artists),
                "labels": ids(record.labels),
                "master_id": [record.master_id] if record.master_id else [],
                "genres": names(record.genres),
                "styles": names(record.styles),
            }
        case _:
            assert_never(record)


def ids(references: Iterable[Reference]) -> list[str]:
    """The ids that are there, each once, in order."""
    return list(dict.fromkeys(reference.id for reference in references if reference.id))


def names(words: Iterable[str]) -> list[str]:
    """The words without white space around them, the blank ones left out, each once, in order."""
    return list(dict.fromkeys(word for word in map(str.strip, words) if word))


worker = discogs_worker(
    name="discogs-graph",
    port=8001,
    description="Discogs records as a graph in Neo4j",
    mapping=mapping,
    sink=graph_sink(PATTERN),
    endpoints=endpoints,
)
