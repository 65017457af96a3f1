"""Dead letters: writing them, and working with those that are in a DLQ, which loses none of them.

    async with browsing(settings.rabbitmq, worker.dead_letter_queue) as letters:
        async for held in letters:
            print(held.letter.position, held.letter.group, why(held.letter))
    tally = await replay(worker, settings, Filter(reason="foreign_key"), Manner(limit=100))

What changes a DLQ (`replay` and so on) is imported when first asked for: it needs the data path, which needs this
package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from penstock.deadletter.browse import Held, Letters, browsing
from penstock.deadletter.filter import BodyPath, Filter
from penstock.deadletter.fingerprint import fingerprint
from penstock.deadletter.groups import Group, Groups, Span, Summary
from penstock.deadletter.letter_json import letter_from_json, letter_to_json
from penstock.deadletter.view import Death, Letter
from penstock.deadletter.words import why

if TYPE_CHECKING:
    from penstock.deadletter.editing import edit, the_only
    from penstock.deadletter.importing import import_letters, read_letters
    from penstock.deadletter.moving import move, purge
    from penstock.deadletter.replaying import replay
    from penstock.deadletter.transfer import Manner, Tally

__all__ = [
    "BodyPath",
    "Death",
    "Filter",
    "Group",
    "Groups",
    "Held",
    "Letter",
    "Letters",
    "Manner",
    "Span",
    "Summary",
    "Tally",
    "browsing",
    "edit",
    "fingerprint",
    "import_letters",
    "letter_from_json",
    "letter_to_json",
    "move",
    "purge",
    "read_letters",
    "replay",
    "the_only",
    "why",
]

#: What is imported when it is first asked for, and from where.
_LATER = {
    "Manner": "transfer",
    "Tally": "transfer",
    "edit": "editing",
    "import_letters": "importing",
    "move": "moving",
    "purge": "moving",
    "read_letters": "importing",
    "replay": "replaying",
    "the_only": "editing",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found
