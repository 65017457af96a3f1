"""The tools that deployment files are held against: found, or the test says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")
TOOLS = CACHE / "tools"


def kubeconform(manifests: str) -> subprocess.CompletedProcess[str]:
    """Hold YAML against the strict schemas of Kubernetes, KEDA and Prometheus's operator. 0: all of it is valid."""
    schemas = sorted(TOOLS.glob("schemas-*"))
    if not schemas:
        _absent(f"the schemas of Kubernetes are not in {TOOLS}")
    location = f"{schemas[-1]}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    return _run([_tool("kubeconform"), "-strict", "-summary", "-schema-location", location], manifests)


def kustomize(folder: Path) -> str:
    """What an overlay comes to."""
    own = TOOLS / "kustomize"
    command = [str(own), "build"] if own.exists() else [_tool("kubectl"), "kustomize"]
    result = _run([*command, str(folder)])
    assert result.returncode == 0, result.stderr
    return result.stdout


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Prometheus's tool."""
    return _run([_tool("promtool"), *map(str, words)])


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}")
    return found or _absent(f"{name} is absent")


def _absent(problem: str) -> str:
    if os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{problem} (PENSTOCK_REQUIRE_SERVICES=1 makes this a failure)", pytrace=False)
    pytest.skip(f"{problem}: run make servers")


def _run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
