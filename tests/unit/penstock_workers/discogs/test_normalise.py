"""What each element of a dump becomes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from penstock_workers.discogs.normalise import normalise


def one(record: str) -> dict[str, Any]:
    return normalise(etree.fromstring(record))


def test_an_artist_with_everything() -> None:
    assert one(
        '<artist><images><image height="600" type="primary" uri="" uri150="" width="524"/></images><id>2</id>'
        "<name>Mr. James Barth &amp; A.D.</name><realname>Cari &amp; Alexi</realname>"
        "<profile>Two [a=x].\n Swedes </profile><data_quality>Correct</data_quality>"
        "<urls><url> http://a.example </url><url/><url>http://a.example</url><url>http://b.example</url></urls>"
        "<namevariations><name>A</name><name>B </name><name>A</name></namevariations>"
        '<aliases><name id="2470">Puente</name><name id="9">Other</name></aliases>'
        '<groups><name id="7">Group</name></groups>'
        '<members><id>26</id><name id="26">Alexi</name><id>27</id><name id="27">Cari</name></members></artist>'
    ) == {
        "type": "artist",
        "id": "2",
        "name": "Mr. James Barth & A.D.",
        "realname": "Cari & Alexi",
        "profile": "Two [a=x].\n Swedes ",
        "data_quality": "Correct",
        "urls": ["http://a.example", "http://b.example"],
        "namevariations": ["A", "B "],
        "aliases": [{"id": "2470", "name": "Puente"}, {"id": "9", "name": "Other"}],
        "groups": [{"id": "7", "name": "Group"}],
        "members": [{"id": "26", "name": "Alexi"}, {"id": "27", "name": "Cari"}],
        "images": [{"height": "600", "type": "primary", "width": "524"}],
    }


EMPTY = {
    "<artist><id>1</id><name> </name><urls/><aliases>\n</aliases></artist>": {
        "type": "artist",
        "id": "1",
        **{name: [] for name in ("urls", "namevariations", "aliases", "groups", "members", "images")},
    },
    "<label><id> 1\n</id><profile/></label>": {
        "type": "label",
        "id": "1",
        **{name: [] for name in ("urls", "sublabels", "images")},
    },
    '<master id="1"><year>\t</year><main_release>0</main_release></master>': {
        "type": "master",
        "id": "1",
        **{name: [] for name in ("artists", "genres", "styles", "videos", "images")},
    },
    '<release id="1" status=" "><master_id is_main_release="false"/><companies/></release>': {
        "type": "release",
        "id": "1",
        **{name: [] for name in ("artists", "extraartists", "labels", "series", "formats", "genres", "styles")},
        **{name: [] for name in ("tracklist", "identifiers", "companies", "videos", "images")},
    },
}


@pytest.mark.parametrize("record", EMPTY)
def test_empty_text_is_absent_and_lists_are_lists(record: str) -> None:
    assert one(record) == EMPTY[record]


@pytest.mark.parametrize("given_id", ["<id>0</id>", "<id/>", "<id> </id>", ""])
def test_a_record_without_an_id_is_sent_for_the_workers_to_refuse(given_id: str) -> None:
    assert one(f"<artist>{given_id}<name>x</name></artist>")["id"] is None


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('<id>1</id><name id="1">A</name>', [("1", "A")]),
        ("<id>1</id><name>A</name><id>2</id><name>B</name>", [("1", "A"), ("2", "B")]),
        ('<id>1</id><id>2</id><name id="1">A</name>', [("1", "A"), ("2", None)]),
        ('<name id="1">A</name><name id="1">A again</name>', [("1", "A")]),
        ('<id>1</id><name id="2">B</name>', [("1", None), ("2", "B")]),
        ("<name>A</name><name>A</name><name>B</name>", [(None, "A"), (None, "B")]),
        ('<name id="0">A</name><name id="">B</name><name id="0"> </name><id>0</id>', [(None, "A"), (None, "B")]),
    ],
)
def test_members_are_merged_each_id_once_and_names_without_an_id_kept(
    members: str, expected: list[tuple[str | None, str | None]]
) -> None:
    found = one(f"<artist><id>9</id><members>{members}</members></artist>")["members"]
    assert [(member["id"], member["name"]) for member in found] == expected


@given(ids=st.lists(st.sampled_from(["", "0", "1", "2", "3"])))
def test_references_are_those_ids_once_in_order(ids: list[str]) -> None:
    names = "".join(f'<name id="{number}">n{place}</name>' for place, number in enumerate(ids))
    aliases = one(f"<artist><id>9</id><aliases>{names}</aliases></artist>")["aliases"]
    linked = [alias["id"] for alias in aliases if alias["id"]]
    assert linked == list(dict.fromkeys(number for number in ids if number not in ("", "0")))
    # Of the names without an id, none is lost.
    assert sum(alias["id"] is None for alias in aliases) == sum(number in ("", "0") for number in ids)


def test_a_label_with_its_parent_and_sublabels_named_by_id_by_name_or_not_at_all() -> None:
    label = one(
        '<label><id>5</id><name>Svek</name><contactinfo>Box 1</contactinfo><parentLabel id="4711">Gold</parentLabel>'
        '<sublabels><label id="86537">Antidote</label><label>Named</label><label/></sublabels></label>'
    )
    assert label["contactinfo"] == "Box 1"
    assert label["parentLabel"] == {"id": "4711", "name": "Gold"}
    assert label["sublabels"] == [{"id": "86537", "name": "Antidote"}, {"id": None, "name": "Named"}]


def test_a_master() -> None:
    master = one(
        '<master id="113"><main_release>116925</main_release><artists><artist><id>3225</id><name>Vince</name>'
        "<anv/><join> &amp;</join><role/><tracks/></artist></artists><genres><genre>Electronic</genre></genres>"
        "<styles><style>Techno</style><style> Techno </style></styles><year>2002</year><title> Moments</title>"
        '<notes>n</notes><videos><video duration="10" embed="true" src="u"><title>T</title><description/>'
        "</video></videos></master>"
    )
    assert master == {
        "type": "master",
        "id": "113",
        "main_release": "116925",
        "artists": [{"id": "3225", "name": "Vince", "join": " &"}],
        "genres": ["Electronic"],
        "styles": ["Techno"],
        "year": "2002",
        "title": " Moments",
        "notes": "n",
        "videos": [{"duration": "10", "embed": "true", "src": "u", "title": "T"}],
        "images": [],
    }


RELEASE = """<release id="1" status="Accepted"><artists><artist><id>1</id><name>The Persuader</name><anv>P.</anv>
<join>,</join><role/><tracks/></artist></artists><title>Stockholm</title><labels><label name="Svek" catno="SK 026"
id="5"/><label name="Svek" catno="SK026" id="5"/><label name="Svek" catno="SK026" id="5"/></labels><extraartists>
<artist><id>0</id><name>Nobody</name><anv/><join/><role>Design</role><tracks>A</tracks></artist></extraartists>
<formats><format name="Vinyl" qty="2" text=""><descriptions><description>12"</description></descriptions></format>
<format name="Box Set" qty="1" text="Blue"/></formats><genres><genre>Electronic</genre></genres>
<country>Sweden</country><released>1999-03-00</released><notes>No\tnotes.</notes><data_quality>Needs Vote</data_quality>
<master_id is_main_release="true">1660109</master_id><tracklist><track><position>A</position><title>Song</title>
<duration/></track><track><position/><title>Suite</title><sub_tracks><track><position>B1</position><title>Part</title>
<extraartists><artist><id/><name>Someone</name></artist></extraartists></track></sub_tracks><artists><artist>
<id>7</id></artist></artists></track><track><position>A</position><title>Song</title></track></tracklist><identifiers>
<identifier type="Barcode" description="" value=" 1 2 "/></identifiers><companies><company><id>271046</id>
<name>Globe</name><catno/><entity_type>23</entity_type><entity_type_name>Recorded At</entity_type_name>
<resource_url>https://a.example/1</resource_url></company></companies>
<series><series name="S" catno="1" id="0"/></series></release>"""


def test_a_release_to_its_sub_tracks() -> None:
    song = {"position": "A", "title": "Song", "artists": [], "extraartists": [], "sub_tracks": []}
    part: dict[str, Any] = {"position": "B1", "title": "Part", "artists": [], "sub_tracks": []}
    part["extraartists"] = [{"id": None, "name": "Someone"}]
    suite = {"title": "Suite", "artists": [{"id": "7"}], "extraartists": [], "sub_tracks": [part]}
    company = {"id": "271046", "name": "Globe", "entity_type": "23", "entity_type_name": "Recorded At"}
    assert one(RELEASE) == {
        "type": "release",
        "id": "1",
        "status": "Accepted",
        "artists": [{"id": "1", "name": "The Persuader", "anv": "P.", "join": ","}],
        "title": "Stockholm",
        "labels": [{"id": "5", "name": "Svek", "catno": "SK 026"}, {"id": "5", "name": "Svek", "catno": "SK026"}],
        "extraartists": [{"id": None, "name": "Nobody", "role": "Design", "tracks": "A"}],
        "formats": [
            {"name": "Vinyl", "qty": "2", "descriptions": ['12"']},
            {"name": "Box Set", "qty": "1", "text": "Blue", "descriptions": []},
        ],
        "genres": ["Electronic"],
        "styles": [],
        "country": "Sweden",
        "released": "1999-03-00",
        "notes": "No\tnotes.",
        "data_quality": "Needs Vote",
        "master_id": "1660109",
        "is_main_release": True,
        "tracklist": [song, suite, song],
        "identifiers": [{"type": "Barcode", "value": " 1 2 "}],
        "companies": [{**company, "resource_url": "https://a.example/1"}],
        "series": [{"id": None, "name": "S", "catno": "1"}],
        "videos": [],
        "images": [],
    }


def test_what_no_dump_had_before_is_kept_in_lists() -> None:
    record = one('<artist><id>1</id><isni>1</isni><isni>2</isni><born year="1970"><place>Oslo</place></born></artist>')
    assert record["isni"] == ["1", "2"]
    assert record["born"] == [{"year": "1970", "place": ["Oslo"]}]
