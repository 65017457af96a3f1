"""Sink workers for RabbitMQ that do not lose data, and a publisher that does not either.

`penstock.Publisher` is imported when first asked for: a command that publishes nothing does without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.publisher import Confirmed, Publisher, Stored

__all__ = ["Confirmed", "Publisher", "Stored"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from penstock import publisher  # noqa: PLC0415 see above

    found: object = getattr(publisher, name)
    return found
