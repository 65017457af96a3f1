"""Letters counted by what they have in common: of one DLQ in short, and group by group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.deadletter.view import Letter


@dataclass(slots=True)
class Span:
    """Letters counted, and when the oldest and the newest of them failed; None where no letter says."""

    count: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, failed_at: datetime | None) -> None:
        """Count one more."""
        self.count += 1
        if failed_at is not None:
            self.oldest = failed_at if self.oldest is None else min(self.oldest, failed_at)
            self.newest = failed_at if self.newest is None else max(self.newest, failed_at)


@dataclass(slots=True)
class Group:
    """Letters of one worker, reason, error class and fingerprint."""

    id: str
    worker: str
    reason: str
    error_class: str
    fingerprint: str
    span: Span = field(default_factory=Span)

    def as_json(self) -> dict[str, Any]:
        """The group as JSON can say it; times in ISO 8601."""
        return {
            "group": self.id,
            "worker": self.worker,
            "reason": self.reason,
            "error_class": self.error_class,
            "fingerprint": self.fingerprint,
            **span_as_json(self.span),
        }


class Groups:
    """Counts letters by their group. It holds one entry a group, however many letters there are."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def add(self, letter: Letter) -> None:
        """Count a letter with its own."""
        found = self._groups.get(letter.group)
        if found is None:
            found = Group(letter.group, letter.worker, letter.reason, letter.error_class, letter.fingerprint)
            self._groups[found.id] = found
        found.span.add(letter.failed_at)

    def largest_first(self) -> list[Group]:
        """All groups; those of one size by what they are."""
        return sorted(
            self._groups.values(), key=lambda group: (-group.span.count, group.worker, group.reason, group.fingerprint)
        )


@dataclass(slots=True)
class Summary:
    """A DLQ in short. `reasons` counts the letters that were looked at."""

    queue: str
    span: Span = field(default_factory=Span)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, letter: Letter) -> None:
        """Count a letter."""
        self.span.add(letter.failed_at)
        self.reasons[letter.reason] += 1

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON can say it; times in ISO 8601."""
        return {"queue": self.queue, **span_as_json(self.span), "reasons": dict(self.reasons.most_common())}


def span_as_json(span: Span) -> dict[str, Any]:
    """Count, oldest and newest."""
    return {
        "count": span.count,
        "oldest": span.oldest.isoformat() if span.oldest else None,
        "newest": span.newest.isoformat() if span.newest else None,
    }
