"""From the environment and a file to checked settings, with errors that name where a value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from penstock.errors import SettingsError
from penstock.settings_environment import config_file, read_environment
from penstock.settings_file import read_file
from penstock.settings_values import Given, Setting, SettingPath, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], worker: str | None, config: Path | None, environ: Mapping[str, str]) -> Model:
    """Return a `model` made of `environ` over the file over its defaults. Raises SettingsError."""
    known = settings_of(model)
    given = _given(known, worker, config, environ)
    sections: dict[str, dict[str, str]] = {}
    for (section, key), value in given.items():
        sections.setdefault(section, {})[key] = value.text
    try:
        return model.model_validate(sections)
    except ValidationError as error:
        problems = [_problem(detail, given, known) for detail in error.errors(include_url=False)]
    # Raised outside the handler: pydantic's own text holds what was given, a password perhaps.
    raise SettingsError("; ".join(problems))


def origins(
    model: type[BaseModel], worker: str | None, config: Path | None, environ: Mapping[str, str]
) -> dict[SettingPath, str]:
    """Return where each setting comes from that is not left at its default. Raises SettingsError."""
    return {path: value.origin for path, value in _given(settings_of(model), worker, config, environ).items()}


def workers_in_file(model: type[BaseModel], config: Path | None, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the workers that the file has settings for. Raises SettingsError."""
    file = config_file(config, environ)
    return frozenset(read_file(file, settings_of(model), environ).workers) if file else frozenset()


def _given(
    known: Mapping[SettingPath, Setting], worker: str | None, config: Path | None, environ: Mapping[str, str]
) -> dict[SettingPath, Given]:
    file = config_file(config, environ)
    given = read_file(file, known, environ).of(worker) if file else {}
    return given | read_environment(known, environ)


def _problem(detail: ErrorDetails, given: Mapping[SettingPath, Given], known: Mapping[SettingPath, Setting]) -> str:
    words = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else ""
    match detail["loc"]:
        case (str(section), str(key), *_):
            value, setting = given[section, key], known[section, key]
            shown = "what is given" if setting.secret else repr(value.text)
            return f"{value.origin} {words}" if words else f"{value.origin}: {shown} is not {setting.allowed}"
        case (section, *_):
            return f"{', '.join(value.origin for path, value in given.items() if path[0] == section)}: {words}"
        case _:
            return words
