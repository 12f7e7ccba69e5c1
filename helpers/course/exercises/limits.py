"""Calling what may never come to an end."""

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
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
    outcome: Future[Any] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    if not wait([outcome], seconds).done:
        raise TimeUp
    return outcome.result()


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
