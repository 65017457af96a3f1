"""Workers, readers and demos that installed packages offer, found by name without importing the others."""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, entry_points, requires
from typing import TYPE_CHECKING, Any, get_args

from penstock.demo.declaration import Demo
from penstock.errors import UsageError
from penstock.spelling import by_likeness
from penstock.worker import Binding, Mode, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

    from penstock.reader import Reader

WORKERS = "penstock.workers"
#: Workers that are found by name alone: those of the drills.
DRILLS = "penstock.drills"
READERS = "penstock.readers"
DEMOS = "penstock.demos"

_KINDS = {WORKERS: "worker", DRILLS: "worker", READERS: "reader", DEMOS: "demo"}

#: A requirement that comes with an extra, as packages declare it: `asyncpg>=0.30; extra == "table"`.
_EXTRA = re.compile(r"""(?P<package>[A-Za-z0-9._-]+).*;.*\bextra\s*==\s*["'](?P<extra>[^"']+)["']""")


def worker_names() -> list[str]:
    """Return the names of all installed workers, sorted."""
    return _names(WORKERS)


def reader_names() -> list[str]:
    """Return the names of all installed readers, sorted."""
    return _names(READERS)


def demo_names() -> list[str]:
    """Return the names of all installed demos, sorted."""
    return _names(DEMOS)


def worker_package(name: str) -> str:
    """Return the package, with its version, that offers a worker. Raises UsageError for an unknown name."""
    package = _entry_point(WORKERS, name).dist
    return f"{package.name} {package.version}" if package else "?"


def load_worker(name: str) -> Worker:
    """Import a worker. Raises UsageError, naming its package: unknown, offered twice, broken, no (proper) Worker."""
    group = DRILLS if name in _names(DRILLS) and name not in _names(WORKERS) else WORKERS
    found = _load(group, name)
    if not isinstance(found, Worker):
        raise UsageError(f"{_describe(group, name)} is no penstock.worker.Worker but a {type(found).__name__}")
    if found.name != name:
        raise UsageError(f"{_describe(group, name)} calls itself {found.name}: both names must be the same")
    if faults := "; ".join(_faults(found)):
        raise UsageError(f"{_describe(group, name)} cannot be used: {faults}")
    return found


def load_reader(name: str) -> Reader:
    """Import a reader. Raises UsageError, naming its package: unknown, offered twice, broken, no Reader."""
    reader: Reader = _load(READERS, name)
    missing = [attribute for attribute in ("exchange", "files", "read") if not hasattr(reader, attribute)]
    if missing:
        raise UsageError(f"{_describe(READERS, name)} is no penstock.reader.Reader: it has no {', '.join(missing)}")
    return reader


def load_demo(name: str) -> Demo:
    """Import a demo. Raises UsageError, naming its package: unknown, offered twice, broken, no Demo."""
    found = _load(DEMOS, name)
    if not isinstance(found, Demo):
        raise UsageError(f"{_describe(DEMOS, name)} is no penstock.demo.declaration.Demo but a {type(found).__name__}")
    return found


def _faults(worker: Worker) -> Iterator[str]:
    """What the declaration of another package got wrong and a type checker would have told it."""
    if not isinstance(worker.bindings, tuple) or not all(isinstance(one, Binding) for one in worker.bindings):
        yield "its bindings must be a tuple of Binding, as in (Binding('shop', 'order'),)"
    if not isinstance(worker.key_fields, tuple) or not all(isinstance(one, str) for one in worker.key_fields):
        yield "its key_fields must be a tuple of names, as in ('number',)"
    if worker.mode not in get_args(Mode):
        yield f"its mode must be one of {', '.join(get_args(Mode))}"
    for name in ("port", "mapping_version"):
        if not isinstance(getattr(worker, name), int):
            yield f"its {name} must be a whole number"
    for name in ("natural_key", "mapping", "sink", "endpoints", "version"):
        value = getattr(worker, name)
        if not callable(value) and not (name == "version" and value is None):
            yield f"its {name} must be a function"


def _names(group: str) -> list[str]:
    return sorted({entry_point.name for entry_point in entry_points(group=group)})


def _entry_point(group: str, name: str) -> EntryPoint:
    offers = list(entry_points(group=group, name=name))
    match offers:
        case [entry_point]:
            return entry_point
        case []:
            known = ", ".join(by_likeness(name, _names(group))) or "none is installed"
            raise UsageError(f"there is no {_KINDS[group]} {name}; there are: {known}")
        case _:
            packages = " and ".join(sorted(offer.dist.name if offer.dist else "?" for offer in offers))
            raise UsageError(f"the {_KINDS[group]} {name} is offered by {packages}: uninstall one of them")


def _load(group: str, name: str) -> Any:
    entry_point = _entry_point(group, name)
    try:
        return entry_point.load()
    except ModuleNotFoundError as error:
        remedy = _remedy(entry_point, (error.name or "").partition(".")[0])
        raise UsageError(f"{_describe(group, name)} needs {error.name}, which is not installed{remedy}") from error
    except (Exception, SystemExit) as error:
        # What another package does when it is imported must not break what the others do.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{_describe(group, name)} cannot be imported: {reason}") from error


def _remedy(entry_point: EntryPoint, module: str) -> str:
    """Say which extra brings a module: of the worker's own package, or of Penstock, whose sinks it may use."""
    for package in (entry_point.dist.name if entry_point.dist else "penstock", "penstock"):
        offers = [match for requirement in _requirements(package) if (match := _EXTRA.match(requirement))]
        sizes = Counter(offer["extra"] for offer in offers)
        fitting = [offer["extra"] for offer in offers if offer["package"].replace("-", "_").lower() == module.lower()]
        if fitting:
            # The one that brings the least else: not `all`.
            return f": pip install '{package}[{min(fitting, key=lambda extra: sizes[extra])}]'"
    return ""


def _requirements(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:
        return []


def _describe(group: str, name: str) -> str:
    package = _entry_point(group, name).dist
    return f"the {_KINDS[group]} {name} of {package.name if package else '?'}"
