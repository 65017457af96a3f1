"""`penstock k8s`: what Kubernetes is to run."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.names import Names
from penstock.deploy.manifests import as_yaml, files_of, kustomization
from penstock.deploy.placement import Deployed, Placement, in_cluster
from penstock.deploy.scaling import needed_keys
from penstock.discovery import load_worker
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.cli.session import Session

Image = Annotated[
    str | None,
    typer.Option("--image", help="The image: one with the packages of the workers. Else penstock:VERSION."),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The namespace of all resources.")]
Secret = Annotated[str, typer.Option("--secret", help="The Secret that holds the passwords; it is yours to make.")]
Monitoring = Annotated[str, typer.Option("--monitoring", metavar="NAMESPACE", help="Where Prometheus runs.")]
Connections = Annotated[
    int | None,
    typer.Option(
        "--connections",
        min=1,
        help="What the sink grants each worker, all its replicas together. Else 80 % of what a server usually allows.",
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output-dir", "-o", metavar="DIR", help="Write a base for kustomize there, a file each worker."),
]


def k8s(
    context: typer.Context,
    names: Names,
    image: Image = None,
    namespace: Namespace = Placement.namespace,
    secret: Secret = Placement.secret,
    monitoring: Monitoring = Placement.monitoring,
    connections: Connections = None,
    output_dir: OutputDir = None,
) -> None:
    """Print the manifests that run workers in Kubernetes, scaled by KEDA and watched by Prometheus.

    Values come from the settings as they are here. A server that is not named
    is taken for the Service rabbitmq, postgres or neo4j. Passwords are not
    printed: they are looked for in a Secret, whose keys standard error names.

    \b
    Examples:
      penstock k8s discogs-table discogs-graph | kubectl apply -f -
      penstock k8s shop-orders --image registry.example/shop:1.0.0
      penstock --config penstock.yaml k8s shop-orders --output-dir k8s/base
    """
    session: Session = context.obj
    placement = Placement(
        image=image or f"penstock:{version('penstock')}",
        namespace=namespace,
        secret=secret,
        monitoring=monitoring,
        connections=connections,
    )
    several = [
        Deployed(worker=load_worker(name), settings=in_cluster(session.settings(name)), placement=placement)
        for name in dict.fromkeys(names)
    ]
    files = files_of(several)
    if output_dir is None:
        typer.echo("".join(as_yaml(documents) for documents in files.values()), nl=False)
    else:
        _write(output_dir, {name: as_yaml(documents) for name, documents in files.items()})
    keys = dict.fromkeys(key for deployed in several for key in needed_keys(deployed))
    typer.echo(f"penstock: the Secret {secret} of {namespace} has to have the keys {', '.join(keys)}", err=True)


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write files beside what is there. Raises UsageError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**texts, "kustomization.yaml": as_yaml([kustomization(texts)])}.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output-dir: {folder} cannot be written: {error.strerror}") from error
