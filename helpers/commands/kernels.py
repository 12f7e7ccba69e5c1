"""Kernels that start at once: forked from a process that has done a notebook's imports already.

Importing PyTorch, SciPy and the helpers takes several seconds of a core, once a process. Forked, a
kernel begins with all of it, and with nothing else: no thread, no random number drawn, no data.
"""

import atexit
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

# All that notebooks import; torch's compiler comes with the first optimizer.
IMPORTED = ["ipykernel.kernelapp", "ipykernel.ipkernel", "helpers.commands.runner", "torch._dynamo"]
IMPORTED += ["helpers.course.lab", "helpers.course.exercises", "helpers.analysis", "helpers.text"]
FORKING = sys.platform == "linux"  # elsewhere libraries do not survive it


def context(environment: Mapping[str, str]) -> BaseContext:
    """How processes are started: forked from one that has imported all, in this environment."""
    if not FORKING:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(IMPORTED)
    before = dict(os.environ)
    try:
        os.environ |= environment
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ |= before
    return forking


def offer(kernels: Iterable["Kernel"]) -> None:
    """Let Jupyter, in this process, take these kernels before it launches others."""
    from jupyter_client.provisioning import local_provisioner

    usual, ready = local_provisioner.launch_kernel, iter(kernels)

    def launch(command: Sequence[str], **how: Any) -> Any:
        kernel = next(ready, None)
        return kernel.start(command, **how) if kernel else usual(command, **how)

    local_provisioner.launch_kernel = launch


def forked(environment: Mapping[str, str]) -> Iterator["Kernel"]:
    """As many kernels as are taken, each forked when it is; none where that cannot be."""
    if FORKING:
        forking = context(environment)
        while True:
            yield Kernel(forking)


@contextmanager
def one_forked() -> Iterator[None]:
    """Offer a kernel forked from this process, which is at its beginning."""
    if not FORKING:
        yield
        return
    kernel = Kernel(multiprocessing.get_context("fork"))
    offer([kernel])
    try:
        yield
    finally:
        kernel.pipe.close()  # one that was not asked for ends


class Kernel:
    """A kernel in a process of its own, with as much of Popen's interface as Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, context: BaseContext):
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_become_kernel, args=(theirs, self.pipe))
        self.process.start()
        theirs.close()
        self.pid = self.process.pid

    def start(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str | None = None, **_: Any
    ) -> "Kernel":
        """Begin, with the arguments that Jupyter gives `command`; in a session of its own."""
        self.pipe.send((list(command), dict(env), cwd or os.getcwd()))
        self.pipe.recv()  # before, a signal to its group would be one to ours
        return self

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


def _become_kernel(pipe: Connection, other_end: Connection) -> None:
    """Wait for the command, then be the kernel until it is shut down."""
    other_end.close()
    try:
        command, environment, folder = pipe.recv()
    except EOFError:
        return
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    # By it a kernel notices that the process that launched it is gone.
    os.environ |= environment | {"JPY_PARENT_PID": str(os.getppid())}
    pipe.send("ready")
    import pandas as pd
    from ipykernel import kernelapp

    pd.set_option("display.max_columns", 20)  # as it is where pandas is imported in a notebook
    try:
        kernelapp.launch_new_instance(argv=command[command.index("ipykernel_launcher") + 1 :])
    finally:
        atexit._run_exitfuncs()  # a forked process ends without them
