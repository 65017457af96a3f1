"""The stack: three servers of one folder, started, watched and ended together."""

from __future__ import annotations

import asyncio
import errno
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from platformdirs import user_data_path

from penstock.embedded.broker import BrokerPart
from penstock.embedded.folder import held
from penstock.embedded.graph import GraphPart
from penstock.embedded.members import Member, members_in
from penstock.embedded.places import FILE, Places
from penstock.embedded.postgres import PostgresPart
from penstock.errors import StackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from penstock.embedded.part import Part, Place

    Say = Callable[[str], None]

T = TypeVar("T")

PARTS: tuple[Part, ...] = (BrokerPart(), PostgresPart(), GraphPart())
#: Seconds a server may take until it answers, on a machine that is busy with other things.
READY_SECONDS = 90.0
#: Seconds between two questions to a server that does not answer yet, and the time limit of each.
ASK_INTERVAL = 0.05
ASK_SECONDS = 10.0
#: Free space the three need at the least to start and to work a while, in bytes.
ROOM = 128 * 1024 * 1024


def data_folder() -> Path:
    """Return the user's data folder for Penstock: XDG_DATA_HOME, else what is usual here. Raises UsageError."""
    try:
        return user_data_path("penstock", appauthor=False)
    except RuntimeError as error:  # HOME is not set, and this user is not in /etc/passwd
        text = f"there is no folder for the data of this user ({error}): set HOME, or XDG_DATA_HOME"
        raise UsageError(text) from error


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """How one member is. `state`: up, silent (it runs and does not answer) or down; `address` without password."""

    name: str
    state: str
    pid: int | None
    address: str
    note: str


class Stack:
    """The embedded servers of one folder. Nothing outside of that folder is changed.

    Every method that starts or ends something holds the folder's lock and raises StackError where another
    command has it, where a server cannot be started, or where there is no room on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._members = {part.name: Member(part.name, self.folder) for part in PARTS}

    async def up(self, say: Say) -> None:
        """Start every server that does not run and wait until all answer; those of this call end if one fails."""
        with self._lock():
            self._check_ours()
            self._check_room()
            missing = [part for part in PARTS if self._members[part.name].pid is None]
            try:
                await _all_of([self._start(part, say) for part in missing])
                await _all_of([self._until_it_answers(part) for part in PARTS])
            except BaseException:
                await _all_of([self._stop(part) for part in missing])
                raise
            if not missing:
                say("the stack is up already")

    async def down(self, say: Say) -> None:
        """End all members: first what was adopted, then the servers. Data stays."""
        if not self.folder.exists():
            say("the stack is down already")
            return
        with self._lock():
            self._check_ours()
            adopted = [member for member in members_in(self.folder) if member.name not in self._members]
            ended = await _all_of([self._end(member, signal.SIGTERM, say) for member in adopted])
            ended += await _all_of([self._end(self._members[part.name], part.stop_signal, say) for part in PARTS])
            if not any(ended):
                say("the stack is down already")

    async def start(self, name: str) -> None:
        """Start one server and wait until it answers."""
        with self._lock():
            part = _part(name)
            if self._members[name].pid is None:
                await self._start(part, lambda _: None)
            await self._until_it_answers(part)

    async def stop(self, name: str) -> None:
        """End one server and wait for its end."""
        with self._lock():
            await self._stop(_part(name))

    def adopt(self, name: str, pid: int) -> None:
        """Take a running process into the stack: `status` shows it, `down` ends it by SIGTERM before the servers."""
        Member(name, self.folder).adopt(pid)

    async def status(self) -> list[MemberStatus]:
        """Return the state of the three servers, then of what was adopted."""
        with told():
            servers = await _all_of([self._status(part) for part in PARTS])
            adopted = [member for member in members_in(self.folder) if member.name not in self._members]
            others = [MemberStatus(one.name, "up" if one.pid else "down", one.pid, "-", "") for one in adopted]
            return [*servers, *others]

    def environment(self) -> dict[str, str]:
        """Return the settings that point Penstock at the stack, passwords included. Raises StackError before `up`."""
        with told():
            places = self._places()
        return {part.variable: part.url(place) for part, place in places.items()}

    def running(self) -> bool:
        """Whether all three servers run; they may not answer yet."""
        return all(member.pid is not None for member in self._members.values())

    def remove(self) -> None:
        """Delete the stack and all its data, and the folder where nothing else is in it.

        Raises StackError while a member runs, and where the folder holds no stack.
        """
        if not self.folder.exists():
            return
        with self._lock():
            self._check_ours()
            if running := [member.name for member in members_in(self.folder) if member.pid is not None]:
                raise StackError(f"{', '.join(running)} still uses {self.folder}: run penstock stack down first")
            for part in PARTS:
                with suppress(FileNotFoundError):
                    shutil.rmtree(self.folder / part.name)
            for pattern in ("*.log", "*.log.1", "*.pid", "*.new", FILE):  # that file last: it says whose the rest is
                for file in self.folder.glob(pattern):
                    file.unlink()
            with suppress(OSError):  # somebody else's things are in it
                self.folder.rmdir()

    def _places(self) -> Mapping[Part, Place]:
        places = Places(self.folder)
        found = {part: place for part in PARTS if (place := places.place(part)) is not None}
        if len(found) < len(PARTS):
            raise StackError(f"there is no stack in {self.folder} yet: run penstock stack up")
        return found

    async def _start(self, part: Part, say: Say) -> None:
        place, taken = Places(self.folder).settle(part)
        if taken is not None:
            again = 'run eval "$(penstock stack env)" again'
            say(f"port {taken} of the {part.name} is taken by another program: it has {place.port} now; {again}")
        await asyncio.to_thread(part.prepare, place)
        self._members[part.name].spawn(part.command(place), place.folder)

    async def _until_it_answers(self, part: Part) -> None:
        member, place = self._members[part.name], self._places()[part]
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    return await part.ping(place)
            except Exception as error:
                if member.pid is None:
                    said = member.last_line() or "without a word"
                    raise StackError(f"the {part.name} ended while starting: {said} (its log: {member.log})") from error
                if time.monotonic() > deadline:
                    text = f"the {part.name} runs and does not answer within {READY_SECONDS:.0f} s"
                    raise StackError(f"{text}: run penstock stack down and up again (its log: {member.log})") from error
            await asyncio.sleep(ASK_INTERVAL)

    async def _stop(self, part: Part) -> None:
        await self._members[part.name].stop(part.stop_signal)

    async def _end(self, member: Member, number: signal.Signals, say: Say) -> bool:
        ended = await member.stop(number)
        if ended:
            say(f"{member.name} ended")
        return ended

    async def _status(self, part: Part) -> MemberStatus:
        member, place = self._members[part.name], Places(self.folder).place(part)
        address = f"127.0.0.1:{place.port}" if place else "-"
        if member.pid is None or place is None:
            said = member.last_line() or "without a word"
            again = f"it died; penstock stack up starts it again. Its log, {member.log}, ends with: {said}"
            note = again if member.died else ""
            return MemberStatus(part.name, "down", None, address, note)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await part.ping(place)
        except Exception as error:  # noqa: BLE001 - see _until_it_answers
            note = f"does not answer: {type(error).__name__} (its log: {member.log})"
            return MemberStatus(part.name, "silent", member.pid, address, note)
        return MemberStatus(part.name, "up", member.pid, address, "")

    def _check_ours(self) -> None:
        """Keep away from a folder that is somebody else's."""
        if not (self.folder / FILE).exists() and any(one.suffix != ".new" for one in self.folder.iterdir()):
            text = f"{self.folder} holds other things, and no stack (it has no {FILE})"
            raise StackError(f"{text}: choose another folder with --folder")

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < ROOM:
            mib = 1024 * 1024
            text = f"{free // mib} MiB are free where {self.folder} is, and the stack needs {ROOM // mib}"
            raise StackError(f"{text}: free some space, or choose another place with --folder")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the folder, made where it is missing, against other commands at work on it."""
        busy = f"another command is at work on the stack in {self.folder}: wait for its end"
        with held(self.folder, mend="choose another with --folder", busy=busy), told():
            yield


@contextmanager
def told() -> Iterator[None]:
    """Tell what the machine lacks in one line."""
    try:
        yield
    except OSError as error:
        hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see to that, and run it again"
        raise StackError(f"{error.filename or 'the stack'}: {error.strerror or error}: {hint}") from error


async def _all_of(actions: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all at the same time, each to its end; then raise the first error there was."""
    results = await asyncio.gather(*actions, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _part(name: str) -> Part:
    for part in PARTS:
        if part.name == name:
            return part
    raise UsageError(f"the stack has no {name}; it has: {', '.join(part.name for part in PARTS)}")
