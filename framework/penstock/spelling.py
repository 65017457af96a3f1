"""What somebody may have meant."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Below this likeness (0 to 1) a suggestion would only puzzle.
_LIKE_ENOUGH = 0.7


def by_likeness(word: str, words: Iterable[str]) -> list[str]:
    """Return `words`, the one most like `word` first."""
    return sorted(words, key=lambda other: (-_likeness(word, other), other))


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return "; did you mean X?" for the one of `words` that is like `word`, or nothing."""
    meant = nearest(word, words)
    return f"; did you mean {meant}?" if meant else ""


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the one of `words` that is most like `word`, or nothing where none is like it."""
    best = next(iter(by_likeness(word, words)), "")
    return best if _likeness(word, best) >= _LIKE_ENOUGH else ""


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio()
