"""A lane: a process that runs drills on servers of its own, one after the other, so that several run side by side.

It reads names from its standard input, a line each, and answers on its standard output with lines of JSON:
{"say": text} for people, and at the end of each drill {"found": the Tally's fields} or {"error": why there is none}.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from penstock.cli.interrupt import Interrupt
from penstock.drill.definition import Scale, Tally
from penstock.drill.grounds import Grounds
from penstock.drill.registry import find
from penstock.drill.runner import run_one
from penstock.drill.servers.daemon import as_user
from penstock.log import configure
from penstock.settings import Log

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import IO

    from penstock.drill.definition import Drill
    from penstock.drill.report import Result


class Lane:
    """Such a process as its caller sees it. Begin and end it in one thread: it dies with the thread that began it.

    What it prints beside its answers goes to `log`; to the caller's standard error if there is none.
    """

    def __init__(self, scale: Scale, log: IO[str] | None = None) -> None:
        command = [sys.executable, "-m", "penstock.drill.lane", str(scale.messages), str(scale.time)]
        self._process = subprocess.Popen(
            [*as_user(None), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # A Ctrl-C is for the caller, which tells it to end.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:
            # Without another name it ends by itself, its servers first.
            self._pipe(self._process.stdin).close()

    def run(self, drill: Drill, say: Callable[[str], None]) -> Result:
        """Run a drill there: what it found, or why it came to no end."""
        try:
            print(drill.name, file=self._pipe(self._process.stdin), flush=True)
        except BrokenPipeError:
            return self._died()
        for line in self._pipe(self._process.stdout):
            match json.loads(line):
                case {"say": text}:
                    say(text)
                case {"found": found}:
                    return Tally(**found)
                case {"error": text}:
                    return str(text)
        return self._died()

    @property
    def alive(self) -> bool:
        """Whether it can run another drill."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Have it end what it does, and everything that it has started. May be called from another thread."""
        self._process.send_signal(signal.SIGTERM)

    def _died(self) -> str:
        return f"its process ended with {self._process.wait()}"

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None, "both were asked for"
        return pipe


def main(messages: str, time: str) -> None:
    """Be the process."""
    # What anything else prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**words: object) -> None:
        print(json.dumps(words), file=answers, flush=True)

    configure(Log(level="warning", format="console"), (), sys.stderr, libraries=logging.CRITICAL)
    scale = Scale(int(messages), float(time))
    with Interrupt().watched(), Grounds() as grounds:
        for name in sys.stdin:
            [drill] = find([name.strip()])
            result = run_one(drill, grounds, scale, lambda text: answer(say=text))
            if isinstance(result, Tally):
                answer(found=asdict(result))
            else:
                answer(error=result)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)
