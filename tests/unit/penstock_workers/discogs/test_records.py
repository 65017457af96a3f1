"""What the workers accept as a Discogs record, what they refuse, and that nothing of it is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from penstock_workers.discogs.records import (
    AnyRecord,
    Artist,
    DiscogsRecord,
    Label,
    Master,
    Reference,
    Release,
    identifier,
    natural_key,
)

ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(DiscogsRecord)
MODELS = {"artist": Artist, "label": Label, "master": Master, "release": Release}


@pytest.mark.parametrize("kind", MODELS)
def test_the_type_decides_the_model_and_an_id_is_enough(kind: str) -> None:
    record = ADAPTER.validate_python({"type": kind, "id": "5"})
    assert type(record) is MODELS[kind]
    assert natural_key(record) == (kind, "5")
    assert record.version is None


def test_the_same_id_of_two_types_is_two_natural_keys() -> None:
    keys = {natural_key(ADAPTER.validate_python({"type": kind, "id": "5"})) for kind in MODELS}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("given_id", "expected"), [("5", "5"), (5, "5"), (" 5\n", "5"), (2**70, str(2**70)), ("a", "a")]
)
def test_ids_become_text_without_white_space(given_id: object, expected: str) -> None:
    assert ADAPTER.validate_python({"type": "artist", "id": given_id}).id == expected


@pytest.mark.parametrize("bad", ["", " ", "0", " 0 ", 0, None, True, False, 1.5, [], {}])
def test_what_names_nothing_is_no_id(bad: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python({"type": "release", "id": bad})
    assert [error["loc"] for error in caught.value.errors()] == [("release", "id")]


@pytest.mark.parametrize("bad", [{"id": "1"}, {"type": "song", "id": "1"}, {"type": None, "id": "1"}, [], "x", None, 5])
def test_what_is_no_discogs_record_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(bad)


@pytest.mark.parametrize("field", ["aliases", "members", "urls"])
@pytest.mark.parametrize("bad", [None, "x", {"id": "1"}, [5]])
def test_a_list_is_a_list_of_the_right_things(field: str, bad: object) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({"type": "artist", "id": "1", field: bad})


@pytest.mark.parametrize("good", [0, 5, -(2**63), 2**63 - 1, None])
def test_versions(good: int | None) -> None:
    assert ADAPTER.validate_python({"type": "label", "id": "1", "version": good}).version == good


@pytest.mark.parametrize("bad", ["5", True, 1.0, 2**63, -(2**63) - 1])
def test_what_no_sink_could_compare_is_no_version(bad: object) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python({"type": "label", "id": "1", "version": bad})
    assert {error["loc"] for error in caught.value.errors()} == {("label", "version")}


def test_a_reference_without_an_id_keeps_its_name() -> None:
    for nothing in ("", "0", 0, None):
        reference = Reference.model_validate({"id": nothing, "name": "Someone"})
        assert reference.id is None
        assert reference.model_dump() == {"id": None, "name": "Someone"}


def test_numbers_of_other_publishers_become_text() -> None:
    record = ADAPTER.validate_python(
        {"type": "master", "id": 1, "year": 1999, "main_release": 7, "artists": [{"id": 3}]}
    )
    assert record.model_dump(exclude_unset=True) == {
        "type": "master",
        "id": "1",
        "year": "1999",
        "main_release": "7",
        "artists": [{"id": "3"}],
    }


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(
    kind=st.sampled_from(sorted(MODELS)),
    extra=st.dictionaries(st.text(st.characters(codec="ascii", categories=["Lu"]), min_size=1), VALUES),
)
def test_fields_the_workers_do_not_know_are_kept_as_they_are(kind: str, extra: dict[str, Any]) -> None:
    record = ADAPTER.validate_python({"type": kind, "id": "1", **extra})
    assert record.model_dump(exclude_unset=True) == {"type": kind, "id": "1", **extra}


@given(value=st.none() | st.text(alphabet=" \t\n0123"))
def test_an_identifier_is_stripped_and_never_empty_or_zero(value: str | None) -> None:
    found = identifier(value)
    assert found is None or (found == (value or "").strip() and found not in {"", "0"})
    assert (found is None) == ((value or "").strip() in {"", "0"})
