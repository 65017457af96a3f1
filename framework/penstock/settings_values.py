"""What settings there are, as their model tells: paths, which are secret, what each may be."""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

#: Section and key, as ("batch", "count").
SettingPath = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody set. `origin` names the variable, or file, line and key. The text may be a secret."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: whether it is secret, and what it may be, in words."""

    secret: bool
    allowed: str


def settings_of(model: type[BaseModel]) -> dict[SettingPath, Setting]:
    """Return every setting of a model whose fields are sections."""
    return {path: Setting(SecretStr in _types(field), _allowed(field)) for path, field in _fields(model)}


def _fields(model: type[BaseModel]) -> Iterator[tuple[SettingPath, FieldInfo]]:
    for section, holder in model.model_fields.items():
        if isinstance(holder.annotation, type) and issubclass(holder.annotation, BaseModel):
            for key, field in holder.annotation.model_fields.items():
                yield (section, key), field


def _types(field: FieldInfo) -> list[object]:
    several = get_args(field.annotation) if get_origin(field.annotation) in {Union, UnionType} else (field.annotation,)
    return [kind for kind in several if kind is not NoneType]


def _allowed(field: FieldInfo) -> str:
    match _types(field):
        case [kind] if get_origin(kind) is Literal:
            return f"one of {', '.join(get_args(kind))}"
        case [kind] if kind is bool:
            return "true or false"
        case [kind] if kind is int:
            return f"a whole number{_range(field)}"
        case [kind] if kind is float:
            return f"a number{_range(field)}"
        case _:
            return "a text"


def _range(field: FieldInfo) -> str:
    words = ""
    for bound in field.metadata:
        match bound:
            case Ge(ge=low):
                words += f" from {low}"
            case Gt(gt=low):
                words += f" above {low}"
            case Le(le=high):
                words += f" to {high}"
    return words
