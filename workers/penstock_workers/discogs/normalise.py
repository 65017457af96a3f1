"""A record of a Discogs dump as JSON: one shape whatever the dump's age, and nothing of it lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from penstock_workers.discogs.elements import (
    ATTRIBUTES,
    Shape,
    Values,
    each,
    each_identified,
    id_text,
    identified,
    reference,
    references,
    text,
    texts,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element


def tracks(element: _Element) -> list[Values]:
    """The tracks, which may have tracks of their own."""
    return each(element, TRACK)


def is_main_release(element: _Element) -> Values:
    """Whether a release is its master's main release; nothing where it has no master or the dump does not say."""
    master = element.find("master_id")
    stated = None if master is None or id_text(master) is None else master.get("is_main_release")
    return {} if stated is None else {"is_main_release": stated == "true"}


CREDIT = Shape(dict.fromkeys(("name", "anv", "join", "role", "tracks"), text) | {"id": id_text})
credits_ = partial(each_identified, shape=CREDIT)
entries = partial(each_identified, shape=ATTRIBUTES)
bare = partial(each, shape=ATTRIBUTES)

TRACK = Shape(
    dict.fromkeys(("position", "title", "duration"), text),
    {"artists": credits_, "extraartists": credits_, "sub_tracks": tracks},
)
COMPANY = Shape(
    dict.fromkeys(("name", "catno", "entity_type", "entity_type_name", "resource_url"), text) | {"id": id_text},
)
FORMAT = Shape(lists={"descriptions": texts})
VIDEO = Shape(dict.fromkeys(("title", "description"), text))

ARTIST = Shape(
    dict.fromkeys(("name", "realname", "profile", "data_quality"), text) | {"id": id_text},
    {
        "urls": words,
        "namevariations": texts,
        "aliases": references,
        "groups": references,
        "members": references,
        "images": bare,
    },
)
LABEL = Shape(
    dict.fromkeys(("name", "contactinfo", "profile", "data_quality"), text) | {"id": id_text, "parentLabel": reference},
    {"urls": words, "sublabels": references, "images": bare},
)
MASTER = Shape(
    dict.fromkeys(("title", "year", "notes", "data_quality"), text) | {"main_release": id_text},
    {
        "artists": credits_,
        "genres": words,
        "styles": words,
        "videos": partial(each, shape=VIDEO),
        "images": bare,
    },
)
RELEASE = Shape(
    dict.fromkeys(("title", "country", "released", "notes", "data_quality"), text) | {"master_id": id_text},
    {
        "artists": credits_,
        "extraartists": credits_,
        "labels": entries,
        "series": entries,
        "formats": partial(each, shape=FORMAT),
        "genres": words,
        "styles": words,
        "tracklist": tracks,
        "identifiers": bare,
        "companies": partial(each_identified, shape=COMPANY),
        "videos": partial(each, shape=VIDEO),
        "images": bare,
    },
)
SHAPES: Mapping[str, Shape] = {"artist": ARTIST, "label": LABEL, "master": MASTER, "release": RELEASE}


def normalise(element: _Element) -> dict[str, Any]:
    """The record of a top-level element as {type, id, …}.

    Lists are always lists, ids strings without the empty one and 0, dates text as it stands;
    what holds nothing is absent. A record without an id has the id None: its readers refuse it.
    """
    kind = str(element.tag)
    return {"type": kind} | identified(element, SHAPES[kind]) | is_main_release(element)
