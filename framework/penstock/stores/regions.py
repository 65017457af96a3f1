"""Where the servers of a sink stand, whatever their kind."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.sink import Endpoint


def in_regions(found: Sequence[Endpoint], regions: str) -> Sequence[Endpoint]:
    """The endpoints, each in its region; `regions` names as many, separated by white space, or none."""
    if not regions.strip():
        return found
    return [replace(endpoint, region=region) for endpoint, region in zip(found, regions.split(), strict=True)]
