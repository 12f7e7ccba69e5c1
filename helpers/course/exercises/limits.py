"""Calling what may never come to an end."""

import signal
import threading
from collections.abc import Callable
from typing import Any

LIMIT = 5.0  # seconds for all calls of a reader's function


class TimeUp(BaseException):
    """A call took too long; no Exception, which the code that is called may catch."""


def limited(call: Callable[[], Any], seconds: float) -> Any:
    """What `call` returns. Raises TimeUp after so many seconds, and whatever the call raises.

    The alarm of POSIX interrupts the call itself. It rings in the main thread alone: in others, and
    where there is none, the call is left to a thread that ends with the program.
    """
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
        return _under_alarm(call, seconds)
    done: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            done.append((call(), None))
        except BaseException as error:
            done.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise TimeUp
    value, error = done[0]
    if error:
        raise error
    return value


def _under_alarm(call: Callable[[], Any], seconds: float) -> Any:
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(*_: Any) -> None:
    raise TimeUp
