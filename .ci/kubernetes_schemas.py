#!/usr/bin/env python3
"""Schemas for kubeconform: Kubernetes' own out of kubernetes-validate, KEDA's and Prometheus's out of their CRDs.

kubernetes_schemas.py FOLDER GO_MODULES writes FOLDER/<kind>-<group>-<version>.json, as kubeconform names them. Each
stands alone, and refuses fields it does not know.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What `penstock k8s` prints and overlays add.
KINDS = (
    "configmap-v1",
    "cronjob-batch-v1",
    "deployment-apps-v1",
    "namespace-v1",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "secret-v1",
    "service-v1",
    "statefulset-apps-v1",
)
CUSTOM = (
    "kedacore/keda/v2@*/config/crd/bases/keda.sh_scaledobjects.yaml",
    "kedacore/keda/v2@*/config/crd/bases/keda.sh_triggerauthentications.yaml",
    "prometheus-operator/prometheus-operator@*/example/prometheus-operator-crd/*_servicemonitors.yaml",
    "prometheus-operator/prometheus-operator@*/example/prometheus-operator-crd/*_prometheusrules.yaml",
)


def main(folder: Path, modules: Path) -> None:
    """Write all schemas."""
    folder.mkdir(parents=True)
    for name, schema in (*of_kubernetes(), *of_resources(modules)):
        (folder / f"{name}.json").write_text(json.dumps(schema), encoding="utf-8")


def of_kubernetes() -> Iterator[tuple[str, Any]]:
    """Yield name and schema of each kind of Kubernetes, with those definitions in it that it refers to."""
    package = find_spec("kubernetes_validate")
    if package is None or package.origin is None:
        raise SystemExit("kubernetes-validate is not installed")
    [*_, source] = sorted(
        (Path(package.origin).parent / "kubernetes-json-schema").glob("v*-local-strict"),
        key=lambda folder: [int(number) for number in folder.name[1:].partition("-")[0].split(".")],
    )
    definitions = json.loads((source / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    for kind in KINDS:
        schema = json.loads((source / f"{kind}.json").read_text(encoding="utf-8"))
        needed: dict[str, Any] = {}
        waiting = list(referred(schema))
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = definitions[name]
                waiting += referred(definitions[name])
        yield kind, local({**schema, "$defs": needed})


def referred(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    match schema:
        case {"$ref": str(reference)}:
            yield reference.rpartition("/")[2]
        case dict():
            for part in schema.values():
                yield from referred(part)
        case list():
            for part in schema:
                yield from referred(part)


def local(schema: Any) -> Any:
    """The schema with references to definitions of its own instead of another file's."""
    match schema:
        case {"$ref": str(reference)}:
            return {"$ref": f"#/$defs/{reference.rpartition('/')[2]}"}
        case dict():
            return {key: local(part) for key, part in schema.items()}
        case list():
            return [local(part) for part in schema]
        case _:
            return schema


def of_resources(modules: Path) -> Iterator[tuple[str, Any]]:
    """Yield name and schema of each version of the custom resources."""
    for pattern in CUSTOM:
        [file] = modules.glob(pattern)
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
        group = spec["group"].partition(".")[0]
        for version in spec["versions"]:
            name = f"{spec['names']['singular']}-{group}-{version['name']}"
            yield name, strict(version["schema"]["openAPIV3Schema"])


def strict(schema: Any) -> Any:
    """The schema as JSON Schema has it, refusing unknown fields, as the API server drops them."""
    match schema:
        case {"x-kubernetes-int-or-string": True}:
            return {"type": ["integer", "string"]}
        case {"properties": dict(properties)}:
            kept = {key: strict(part) for key, part in schema.items() if key != "properties"}
            closed = {} if "x-kubernetes-preserve-unknown-fields" in schema else {"additionalProperties": False}
            return {**closed, **kept, "properties": {name: strict(part) for name, part in properties.items()}}
        case dict():
            return {key: strict(part) for key, part in schema.items()}
        case list():
            return [strict(part) for part in schema]
        case _:
            return schema


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
