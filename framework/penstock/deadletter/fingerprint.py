"""The fingerprint of an error message: its values replaced, so that the same fault has the same print."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache

#: Characters of a print. A longer message is mostly values, and was cut somewhere among them.
LONGEST_PRINT = 300

#: What stands for a value.
HOLE = "…"

#: What servers quote that is no value: after one of these words stands the name of a thing.
_THING = r"(?:column|relation|table|constraint|type|function|schema|index|domain|property|label|database|role)"
_QUOTED = r'"[^"]*"|(?<!\w)\'[^\']*\'(?!\w)'
_CLOCK = r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?"
_TIME = rf"\d{{4}}-\d\d-\d\d(?:[T ]{_CLOCK})?(?:Z|[+-]\d\d:?\d\d(?!\d))?|\b{_CLOCK}\b"
_UUID = r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
#: Bare hex digits count as a value where there are many, and a digit among them: "defaced" is a word.
_HEX = r"\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b"
_NUMBER = r"(?<![\w.])[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?|\d+"
#: PostgreSQL's details: Key (id)=(five) …, Failing row contains (…).
_DETAIL = r"(?<==)\([^)]*\)|(?<=contains )\(.*\)"

_KEPT_OR_VALUE = re.compile(
    rf"(?P<kept>\b{_THING}s? (?:{_QUOTED})|`[^`]*`)|{_QUOTED}|{_DETAIL}|{_UUID}|{_TIME}|{_HEX}|{_NUMBER}"
)


def fingerprint(message: str) -> str:
    """The message without its numbers, quoted text, hex digits, uuids and times; one line of 300 characters at most.

    Names of columns, constraints and the like stay: another column is another fault.
    """
    replaced = _KEPT_OR_VALUE.sub(lambda found: found["kept"] or HOLE, message)
    return " ".join(replaced.split())[:LONGEST_PRINT]


@lru_cache(maxsize=1024)
def group_id(worker: str, reason: str, error_class: str, message_print: str) -> str:
    """The name of the group of letters that have these four in common: ten hex digits, the same everywhere."""
    what = json.dumps([worker, reason, error_class, message_print])
    return hashlib.sha256(what.encode()).hexdigest()[:10]
