"""The stand-ins for docker and kubectl refuse what the real ones would, and touch nothing."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from penstock.drill.servers import Unavailable
from support.stand_ins import stand_in
from support.tools import absent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVICES = "services:\n  worker:\n    image: penstock:0.1.0\n"
#: One that only the profile has.
PROFILED = f"{SERVICES}    profiles: [core]\n"
MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: penstock}\ndata: {LOG_LEVEL: info}\n"


def environment(name: str, folder: Path) -> dict[str, str]:
    """A shell's environment with a stand-in, which takes what .ci/install-servers brings."""
    try:
        return stand_in(name, folder / "stand-in", os.environ)
    except Unavailable as reason:
        absent(reason)


def code(script: str, folder: Path, environment: Mapping[str, str]) -> int:
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, check=False
    ).returncode


def test_docker_compose_is_rendered_and_validated(tmp_path: Path) -> None:
    shell = environment("docker", tmp_path)
    file = tmp_path / "compose.yaml"
    for script in ("docker compose up --detach --wait", "docker compose --file compose.yaml --profile core up"):
        file.write_text(PROFILED)
        assert code(script, tmp_path, shell) == 0
        file.write_text(PROFILED.replace("image:", "imag:"))
        assert code(script, tmp_path, shell) != 0
    calls = (tmp_path / "stand-in" / "calls").read_text().splitlines()
    assert calls[0] == "docker compose up --detach --wait"


def test_what_kubectl_applies_is_validated(tmp_path: Path) -> None:
    shell = environment("kubectl", tmp_path)
    (tmp_path / "kustomization.yaml").write_text("resources: [map.yaml]\n")
    for script in ("kubectl apply -f map.yaml", "cat map.yaml | kubectl apply -f -", "kubectl apply -k ."):
        (tmp_path / "map.yaml").write_text(MANIFEST)
        assert code(script, tmp_path, shell) == 0
        (tmp_path / "map.yaml").write_text(MANIFEST.replace("data:", "dota:"))
        assert code(script, tmp_path, shell) != 0
    # A command that printed nothing has failed, whatever its own exit code was.
    assert code("true | kubectl apply -f -", tmp_path, shell) != 0
    assert code("kubectl rollout status deployment/discogs-table", tmp_path, shell) == 0
