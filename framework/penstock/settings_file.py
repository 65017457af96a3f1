"""Settings out of a YAML file, with ${VAR} and ${VAR:default}, and every error at its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from penstock.errors import SettingsError
from penstock.settings_values import Given, SettingPath
from penstock.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

#: `$${` stands for `${` itself.
_VARIABLE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_]\w*)(?P<default>:[^}]*)?\}|\$\{")
_WORKERS = "workers"

_OPEN = "a quote or bracket is never closed, or a comma is missing"
_ANY_FAULT = "put quotes around a value with special characters"
#: What the parser says at the beginning of its text, and what we say for it.
_FAULTS = {
    r"found unexpected end of stream|expected ',' or|expected the node content, but found '<stream end>'": _OPEN,
    r"found character '\\t'": "there is a tab; indent with spaces",
    r"mapping values are not allowed": "a colon too many: put quotes around a value with one, or mend the indentation",
    r"expected <block end>|could not find expected ':'": "the indentation is wrong, or a colon is missing after a key",
}
#: Deeper than any setting: what is deeper is an alias that holds itself.
_DEEPEST = 5


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What a file sets: for every worker, and for each of those it names."""

    common: dict[SettingPath, Given]
    workers: dict[str, dict[SettingPath, Given]]

    def of(self, worker: str | None) -> dict[SettingPath, Given]:
        """Return the settings of one worker, or those of none."""
        return self.common | self.workers.get(worker or "", {})


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands behind a key. An empty text is a value left out; an empty section too; None is a list."""

    line: int
    value: str | dict[str, _Entry] | None


def read_file(path: Path, known: Collection[SettingPath], environ: Mapping[str, str]) -> FileSettings:
    """Read `path`; an empty value sets nothing.

    Raises SettingsError naming file, line and key: unreadable file, broken YAML, unknown key, missing variable.
    """
    entries = _parsed(path, environ)
    workers = _section(path, _WORKERS, entries.pop(_WORKERS)) if _WORKERS in entries else {}
    return FileSettings(
        _settings(path, "", entries, known),
        {
            name: _settings(path, f"{_WORKERS}.{name}.", _section(path, f"{_WORKERS}.{name}", entry), known)
            for name, entry in workers.items()
        },
    )


def _settings(
    path: Path, prefix: str, sections: Mapping[str, _Entry], known: Collection[SettingPath]
) -> dict[SettingPath, Given]:
    found = {}
    names = {section for section, _ in known} | ({_WORKERS} if not prefix else set())
    for section, entry in sections.items():
        if section not in names:
            same = [f"{prefix}{one}.{key}" for one, key in sorted(known) if key == section]
            raise _unknown(path, entry, prefix + section, [prefix + name for name in names], same)
        for key, leaf in _section(path, prefix + section, entry).items():
            name = f"{prefix}{section}.{key}"
            if (section, key) not in known:
                same = [f"{prefix}{one}.{other}" for one, other in sorted(known) if other == key]
                raise _unknown(path, leaf, name, [f"{prefix}{one}.{other}" for one, other in known], same)
            if text := _text(path, name, leaf):
                found[section, key] = Given(text, f"{path}:{leaf.line}: {name}")
    return found


def _text(path: Path, name: str, leaf: _Entry) -> str:
    match leaf.value:
        case str(text):
            return text
        case None:
            raise SettingsError(f"{path}:{leaf.line}: {name} is a list; write one value")
        case _:
            raise SettingsError(f"{path}:{leaf.line}: {name} takes one value, not a section")


def _section(path: Path, name: str, entry: _Entry) -> dict[str, _Entry]:
    if isinstance(entry.value, dict):
        return entry.value
    if entry.value != "":
        raise SettingsError(f"{path}:{entry.line}: {name} is a section: give its keys below it, indented")
    return {}


def _unknown(path: Path, entry: _Entry, name: str, names: Collection[str], same: Sequence[str]) -> SettingsError:
    """`same` are the settings with the last word of `name` in other sections: it may only stand in the wrong place."""
    hint = f"; did you mean {' or '.join(same)}?" if same else did_you_mean(name, names)
    return SettingsError(f"{path}:{entry.line}: there is no setting {name}{hint or '; remove it'}")


def _parsed(path: Path, environ: Mapping[str, str]) -> dict[str, _Entry]:
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        tree = _Tree(path, loader, environ).value(root) if root else {}
    except OSError as error:
        raise SettingsError(f"{path} (--config, PENSTOCK_CONFIG) cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path} (--config, PENSTOCK_CONFIG) is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        raise _broken(path, error) from None
    except yaml.YAMLError:
        raise SettingsError(f"{path}: not YAML: it holds characters that YAML does not allow") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: holds no settings; write sections and keys, as in batch: {{count: 500}}")
    return tree


def _broken(path: Path, error: yaml.MarkedYAMLError) -> SettingsError:
    """Say where and why, in words of our own: the parser's may repeat a piece of a password."""
    problem = error.problem or ""
    fault = next((words for pattern, words in _FAULTS.items() if re.match(pattern, problem)), _ANY_FAULT)
    # What is never closed is noticed at the end of the file, and to be mended where it begins.
    mark = (fault == _OPEN and error.context_mark) or error.problem_mark or error.context_mark
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
    return SettingsError(f"{where}: not YAML: {fault}")


@dataclass(frozen=True, slots=True)
class _Tree:
    """Makes entries of YAML nodes: keys once each, merges (<<) followed, variables put in."""

    path: Path
    loader: yaml.SafeLoader
    environ: Mapping[str, str]

    def value(self, node: yaml.Node, depth: int = 0) -> str | dict[str, _Entry] | None:
        """Return the text of a scalar as it is written, what a mapping holds, or None for a list."""
        match node:
            case yaml.ScalarNode():
                return "" if node.tag == "tag:yaml.org,2002:null" else self._substituted(node)
            case yaml.MappingNode() if depth < _DEEPEST:
                self._refuse_twins(node)
                self.loader.flatten_mapping(node)
                return {key.value: _Entry(_line(key), self.value(value, depth + 1)) for key, value in node.value}
            case yaml.SequenceNode():
                return None
            case _:
                raise self._error(node, "no setting takes so deep a section")

    def _refuse_twins(self, node: yaml.MappingNode) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be a plain name")
            if key.value in lines:
                raise SettingsError(
                    f"{self.path}:{_line(key)}: {key.value} is there already, in line {lines[key.value]}"
                )
            lines[key.value] = _line(key)

    def _substituted(self, node: yaml.ScalarNode) -> str:
        def text(match: re.Match[str]) -> str:
            if match["escaped"]:
                return match["escaped"]
            name, default = match["name"], match["default"]
            if name is None:
                raise self._error(node, "${ begins no ${VAR}; write $${ for the characters themselves")
            if value := self.environ.get(name):
                return value
            if default is None:
                raise self._error(node, f"the variable {name} is not set; set it, or give a default: ${{{name}:…}}")
            return default[1:]

        return _VARIABLE.sub(text, node.value)

    def _error(self, node: yaml.Node, problem: str) -> SettingsError:
        return SettingsError(f"{self.path}:{_line(node)}: {problem}")


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
