"""What answers a prediction stays closed until the reader opens it, wherever the page is shown.

Programs that can hide a cell's output show it again as soon as the cell runs: what a cell shows
inside `answer` comes out as one closed fold instead.
"""

import contextlib
import html
import io
from collections.abc import Iterator
from typing import Any

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.getipython import get_ipython
from IPython.display import display

CLOSED = "Open it when you have guessed"


@contextlib.contextmanager
def answer(title: str = CLOSED) -> Iterator[None]:
    """Everything that is printed and displayed inside, in its order, as one closed fold.

    What was shown before an error is shown before the error. Outside a notebook nothing changes.
    """
    shell = get_ipython()
    if shell is None:
        yield
        return
    before, kept = shell.display_pub, CapturingDisplayPublisher()
    shell.display_pub = kept
    try:
        with contextlib.redirect_stdout(_Printed(kept.outputs)):
            yield
    finally:
        shell.display_pub = before
        if kept.outputs:
            display(_fold(title, [output["data"] for output in kept.outputs]), raw=True)


class _Printed(io.TextIOBase):
    """Takes what is printed as one more thing that is displayed."""

    def __init__(self, outputs: list[dict[str, Any]]):
        self.outputs = outputs

    def write(self, text: str) -> int:
        if not (self.outputs and self.outputs[-1].get("printed")):
            self.outputs.append({"data": {"text/plain": ""}, "printed": True})
        self.outputs[-1]["data"]["text/plain"] += text
        return len(text)


def _fold(title: str, shown: list[dict[str, str]]) -> dict[str, str]:
    pages = (d.get("text/html") or f"<pre>{html.escape(d['text/plain'])}</pre>" for d in shown)
    page = f"<details><summary>{html.escape(title)}</summary>{''.join(pages)}</details>"
    return {"text/html": page, "text/plain": "\n".join(d["text/plain"].rstrip() for d in shown)}
