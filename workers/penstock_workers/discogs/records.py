"""The Discogs records as they travel: every field is kept, those that the workers use are checked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

KEEP_ALL = ConfigDict(extra="allow")


def identifier(value: str | None) -> str | None:
    """An id without white space; None for the empty id and the id 0, which name nothing."""
    stripped = (value or "").strip()
    return None if stripped in {"", "0"} else stripped


def _number_as_text(value: object) -> object:
    """Publishers other than our reader send ids and years as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _named(value: str) -> str:
    found = identifier(value)
    if found is None:
        raise ValueError("names nothing: an id is neither empty nor 0")
    return found


Text = Annotated[str, BeforeValidator(_number_as_text)]
Id = Annotated[Text, AfterValidator(_named)]
#: None where the source names something without an id: no target of an edge.
OptionalId = Annotated[Text | None, AfterValidator(identifier)]
#: Monotonic at the source; what PostgreSQL's bigint and a graph's integer can hold.
Version = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]


class Reference(BaseModel):
    """Another record, as a record names it."""

    model_config = KEEP_ALL

    id: OptionalId = None


class Artist(BaseModel):
    """A person or a group."""

    model_config = KEEP_ALL

    type: Literal["artist"]
    id: Id
    version: Version | None = None
    name: Text | None = None
    realname: Text | None = None
    profile: Text | None = None
    data_quality: Text | None = None
    urls: list[str] = []
    namevariations: list[str] = []
    aliases: list[Reference] = []
    groups: list[Reference] = []
    members: list[Reference] = []


class Label(BaseModel):
    """A label, an imprint or a company."""

    model_config = KEEP_ALL

    type: Literal["label"]
    id: Id
    version: Version | None = None
    name: Text | None = None
    contactinfo: Text | None = None
    profile: Text | None = None
    data_quality: Text | None = None
    urls: list[str] = []
    sublabels: list[Reference] = []
    parentLabel: Reference | None = None  # noqa: N815 - the dump spells it so


class Master(BaseModel):
    """What several releases have in common."""

    model_config = KEEP_ALL

    type: Literal["master"]
    id: Id
    version: Version | None = None
    title: Text | None = None
    year: Text | None = None
    main_release: OptionalId = None
    notes: Text | None = None
    data_quality: Text | None = None
    artists: list[Reference] = []
    genres: list[str] = []
    styles: list[str] = []


class Release(BaseModel):
    """One issue of a record, with everything printed on it."""

    model_config = KEEP_ALL

    type: Literal["release"]
    id: Id
    version: Version | None = None
    status: Text | None = None
    title: Text | None = None
    country: Text | None = None
    released: Text | None = None
    notes: Text | None = None
    data_quality: Text | None = None
    master_id: OptionalId = None
    is_main_release: bool | None = None
    artists: list[Reference] = []
    labels: list[Reference] = []
    genres: list[str] = []
    styles: list[str] = []


AnyRecord = Artist | Label | Master | Release
DiscogsRecord = Annotated[AnyRecord, Field(discriminator="type")]


def natural_key(record: AnyRecord) -> tuple[str, str]:
    """Type and id: an id is given out once per type."""
    return record.type, record.id
