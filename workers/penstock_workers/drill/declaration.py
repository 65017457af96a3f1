"""What the workers of the drills have in common: everything but mode, mapping and sink."""

from __future__ import annotations

from pydantic import BaseModel

from penstock.worker import Binding

#: Each worker's queue gets every message.
BINDINGS = (Binding("drill"),)


class Change(BaseModel):
    """A key has come to a version. `id` is the message's own; each key's versions are published one after the other."""

    id: str
    key: int
    version: int
