"""The CronJob that prunes the ledger of an append worker: else it grows for ever."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from penstock.deploy.names import LEDGER_PRUNE, metadata, resource_name
from penstock.deploy.pod import prune_pod

if TYPE_CHECKING:
    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed


def prune_job(deployed: Deployed) -> Manifest:
    """Once a night, each worker at a minute of its own; one at a time, and an hour at most."""
    minute = zlib.crc32(deployed.worker.name.encode()) % 60
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(deployed, name=f"{resource_name(deployed)}-{LEDGER_PRUNE}", component=LEDGER_PRUNE),
        "spec": {
            "schedule": f"{minute} 3 * * *",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "spec": {
                    "activeDeadlineSeconds": 3600,
                    "backoffLimit": 2,
                    "ttlSecondsAfterFinished": 86_400,
                    "template": prune_pod(deployed),
                }
            },
        },
    }
