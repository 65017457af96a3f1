"""What manifests of Kubernetes and rules of Prometheus are held against. `make servers` installs it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from penstock.drill.servers import Unavailable
from penstock.drill.servers.debian import cache
from support.tools import absent, tool

if TYPE_CHECKING:
    from pathlib import Path


def kubeconform(manifests: str) -> subprocess.CompletedProcess[str]:
    """Hold YAML against the strict schemas of Kubernetes, KEDA and Prometheus's operator. 0: all of it is valid."""
    try:
        command = find_kubeconform()
    except Unavailable as reason:
        absent(reason)
    return _run(command, manifests)


def kustomize(folder: Path) -> str:
    """What an overlay comes to."""
    try:
        command = find_kustomize()
    except Unavailable as reason:
        absent(reason)
    result = _run([*command, str(folder)])
    assert result.returncode == 0, result.stderr
    return result.stdout


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Prometheus's tool."""
    return _run([tool("promtool", "prometheus"), *map(str, words)])


def find_kubeconform() -> list[str]:
    """The command that takes YAML on its standard input. Raises Unavailable."""
    tools = cache() / "tools"
    schemas = sorted(tools.glob("schemas-*"))
    if not schemas or not (tools / "kubeconform").exists():
        raise Unavailable(f"kubeconform and its schemas are not in {tools}: run `make servers`")
    location = f"{schemas[-1]}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    return [str(tools / "kubeconform"), "-strict", "-summary", "-schema-location", location]


def find_kustomize() -> list[str]:
    """The command that takes an overlay's folder: our own, else kubectl's. Raises Unavailable."""
    own = cache() / "tools" / "kustomize"
    if own.exists():
        return [str(own), "build"]
    if found := shutil.which("kubectl"):
        return [found, "kustomize"]
    raise Unavailable("neither kustomize nor kubectl is installed: run `make servers`")


def _run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
