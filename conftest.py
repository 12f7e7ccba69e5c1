"""Pytest set-up for nbval, which re-runs every notebook and compares stored outputs."""

import os
import time
from queue import Empty

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel

from helpers.commands import course, kernels
from helpers.evidence.closing import MIME

# Kernels inherit it: evidence of another experiment is an error, and no widget is drawn.
os.environ |= {"EVIDENCE": "check", "OUTPUTS": "stored"}

# Shown but not compared: HTML always comes with a text that is; the closing record holds seconds.
NOT_COMPARED = ("stderr", "text/html", MIME)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Tell nbval what not to compare."""
    if collector.path is not None and collector.path.suffix == ".ipynb":
        collector.skip_compare += NOT_COMPARED


class Kernel(RunningKernel):
    """nbval's kernel, with two faults of version 0.11 mended."""

    def execute_cell_input(self, cell_input, allow_stdin=None):
        """Keep the history, without which a trailing semicolon does not silence a cell."""
        return self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)

    def get_message(self, stream, timeout=None):
        """Notice within a second that the kernel has died, instead of at the cell's timeout."""
        deadline = time.monotonic() + (timeout or float("inf"))
        while True:
            try:
                return super().get_message(stream, min(1, deadline - time.monotonic()))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the notebook's kernel died") from None
                if time.monotonic() >= deadline:
                    raise


nbval.plugin.RunningKernel = Kernel
kernels.offer(kernels.forked(course.surroundings()))
