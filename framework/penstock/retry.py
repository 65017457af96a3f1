"""How long to wait between two tries, everywhere in Penstock: doubled, bounded, jittered."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_never

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.clock import Clock
    from penstock.settings import RetrySettings

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: Tries at start-up that are announced as "attempt n of 5"; after them the longest delay is kept.
START_ATTEMPTS = 5


def backoff(attempt: int, settings: RetrySettings, clock: Clock) -> float:
    """Seconds to wait after the n-th failed try (from 1): min × 2^(n-1), at most max, ± jitter."""
    base = min(settings.max, settings.min * 2.0 ** min(attempt - 1, 32))
    return base * clock.uniform(1 - settings.jitter, 1 + settings.jitter)


async def until_it_works(
    action: Callable[[], Awaitable[T]],
    *,
    what: str,
    errors: type[Exception] | tuple[type[Exception], ...],
    settings: RetrySettings,
    clock: Clock,
    give_up: bool,
) -> T:
    """Start-up: call `action` until it does not raise `errors`; each failure is logged.

    With `give_up` the error of the fifth try is raised; else it goes on at the longest delay.
    """

    def wait(state: RetryCallState) -> float:
        n = state.attempt_number
        return backoff(n, settings, clock) if n < START_ATTEMPTS else settings.max

    def say(state: RetryCallState) -> None:
        failed = state.outcome.exception() if state.outcome else None
        n, seconds = state.attempt_number, round(state.upcoming_sleep, 1)
        if n < START_ATTEMPTS:
            text = f"attempt {n} of {START_ATTEMPTS}, next in {seconds} s"
        elif n == START_ATTEMPTS:
            text = f"attempt {n} of {START_ATTEMPTS}, from now on every {seconds} s"
        else:
            text = f"attempt {n}, still trying, next in {seconds} s"
        log.warning("start_waits", what=what, attempt=n, text=text, error=str(failed))

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(errors),
        wait=wait,
        stop=stop_after_attempt(START_ATTEMPTS) if give_up else stop_never,
        before_sleep=say,
        sleep=clock.sleep,
        reraise=True,
    )
    return await retrying(action)
