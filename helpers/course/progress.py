"""A progress bar for what trains in a cell: arm, clock and expected time; gone when it is done."""

import html
import time
from types import TracebackType
from typing import Self

from IPython.display import display
from tqdm import tqdm

PAUSE = 0.2  # seconds between two pictures
LOOK = "margin:0;padding:0 5px;word-break:normal"  # as other text in a cell; no word is cut in two


class Progress:
    """Counts updates against those expected; `line`, when all is done, takes the bar's place."""

    def __init__(self, name: str, show: bool):
        self.name, self.show = name, show
        self.done = self.total = 0
        self.arm, self.line = "", ""
        self.begun = self.drawn = time.monotonic()
        self.handle = None

    def __enter__(self) -> Self:
        return self

    def expect(self, updates: int) -> None:
        """More updates are coming."""
        self.total += updates

    def tick(self, arm: str, updates: int) -> None:
        """So many updates of an arm's networks are done."""
        self.done, self.arm = self.done + updates, arm
        if self.show and time.monotonic() - self.drawn > PAUSE:
            self.drawn = time.monotonic()
            self._draw(self._bar())

    def _bar(self) -> str:
        elapsed = time.monotonic() - self.begun
        bar = tqdm.format_meter(
            self.done, max(self.total, self.done), elapsed, ncols=72, unit=" updates", ascii=False
        )
        return f"{self.name}, {self.arm}: {bar}"

    def _draw(self, text: str) -> None:
        page = f'<pre style="{LOOK}">{html.escape(text)}</pre>'
        shown = {"text/plain": text, "text/html": page}
        if self.handle is None:
            self.handle = display(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            self.line = f"{self.name}: interrupted; what is finished is kept, run the cell to go on"
        if self.handle is None and self.line:
            display({"text/plain": self.line}, raw=True)
        elif self.handle is not None:
            self._draw(self.line or f"{self.name}: broke off")
