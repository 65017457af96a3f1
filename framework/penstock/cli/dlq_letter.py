"""A letter as text for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.filesize import decimal

from penstock.cli.output import printable
from penstock.deadletter.letter_json import properties_to_json
from penstock.deadletter.words import death_in_words, why

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.deadletter.view import Letter

#: Characters of a body that are shown.
LONGEST_BODY = 20_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def letter_text(letter: Letter, now: float) -> str:
    """All of a letter, in some lines; `now` in epoch seconds."""
    properties = properties_to_json(letter.properties)
    headers = properties.pop("headers", {})
    age = letter.age(now)
    failed = f"{moment(letter.failed_at)} ({in_short(age)} ago)" if age is not None else "not known"
    turns = f"{letter.attempts} attempts, {letter.replays} replays"
    place = f"exchange '{letter.exchange}'" if letter.exchange else "the default exchange"
    lines = [
        f"letter {letter.position} of {letter.queue}, group {letter.group}",
        f"  why        {why(letter)}",
        f"  failed     {failed}; {turns}",
        f"  published  to {place} with key '{letter.routing_key}'",
        f"  key        {letter.key or 'none'}",
        *(f"  x-death    {death_in_words(death)}" for death in letter.deaths),
        *_block("headers", headers),
        *_block("properties", properties),
        f"  body       {decimal(len(letter.body))}",
    ]
    return "\n".join(map(printable, lines)) + "\n" + body_text(letter.body) + "\n"


def body_text(body: bytes) -> str:
    """A body, indented where it is JSON; what is not UTF-8, or cannot be shown on a terminal, as escapes."""
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "backslashreplace")
    lines = "\n".join(map(printable, text[:LONGEST_BODY].split("\n")))
    left = len(text) - LONGEST_BODY
    return f"{lines}\n… {left:,} characters more: see them with --json" if left > 0 else lines


def moment(time: datetime | None) -> str:
    """A time to the second, in UTC as all of Penstock's times are; a dash for none."""
    return "-" if time is None else f"{time:%Y-%m-%d %H:%M:%S}Z"


def in_short(seconds: float) -> str:
    """An age in its largest unit."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _block(title: str, values: dict[str, object]) -> list[str]:
    """One line a value; the first one with the title."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in sorted(values.items())]
    return [f"  {title if number == 0 else '':10} {line}" for number, line in enumerate(lines)]
