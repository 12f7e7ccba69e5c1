"""Running notebooks: parameters, repeatability, failures, and a kill in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.commands import runner
from helpers.commands.cli import main
from helpers.commands.course import closing
from helpers.commands.runner import NotebookError, execute, normalise
from helpers.evidence.closing import MIME
from helpers.evidence.files import ROOT

pytestmark = pytest.mark.slow
PARAMETERS = 'profile = "standard"\nseeds = None\ndevice = "cpu"'
RICH = """import base64, io, sys
from IPython.display import HTML, display
from matplotlib.figure import Figure

figure, buffer = Figure(figsize=(1, 1)), io.BytesIO()
figure.subplots().plot([1, 2])
figure.savefig(buffer)
picture = base64.b64encode(buffer.getvalue()).decode()
display({"image/png": picture, "text/plain": "a line"}, raw=True, metadata={"alt": "a line"})
display(HTML(f"<b>{profile}</b>"))
print("to stderr", file=sys.stderr)
print(profile, seeds)"""
RECORD = {"networks": 4, "here": 1, "verdicts": {"a": "refuted"}}
CLOSING = f"display({{'text/plain': 'done', {MIME!r}: {RECORD}}}, raw=True)\n1 + 1"


def write(folder: Path, *sources: str) -> Path:
    """A notebook with a title, a parameters cell and the given code cells."""
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Title"), parameters, *map(new_code_cell, sources)]
    path = folder / "00_tiny.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=runner.KEPT_METADATA), path)
    return path


def code_cells(path: Path) -> list:
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


# ---------------------------------------------------------------- a run that succeeds


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    """A folder with a notebook executed twice, once through the command line."""
    folder = tmp_path_factory.mktemp("runner")
    source = write(folder, RICH, CLOSING)
    execute(source, folder / "build" / "one.ipynb", {"profile": "smoke", "seeds": 3})
    arguments = [str(source), str(folder / "build" / "two.ipynb"), "--profile", "smoke"]
    assert main(["execute", *arguments, "--seeds", "3", "--device", "cpu"]) == 0
    return folder


def test_parameters_reach_the_notebook_and_leave_no_trace(executed):
    cells = code_cells(executed / "build" / "one.ipynb")
    assert [cell.source for cell in cells] == [PARAMETERS, RICH, CLOSING]
    printed = "".join(o.text for o in cells[1].outputs if o.output_type == "stream")
    assert printed == "smoke 3\n"


def test_outputs_are_kept_but_for_stderr(executed):
    outputs = code_cells(executed / "build" / "one.ipynb")[1].outputs
    kinds = [set(o.data) - {"text/plain"} if "data" in o else o.name for o in outputs]
    assert kinds == [{"image/png"}, {"text/html"}, "stdout"]


def test_cells_are_numbered_in_order_without_other_metadata(executed):
    cells = code_cells(executed / "build" / "one.ipynb")
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    assert [cell.metadata for cell in cells] == [{"tags": ["parameters"]}, {}, {}]
    assert cells[2].outputs[-1].execution_count == 3


def test_two_runs_are_byte_identical(executed):
    one, two = ((executed / "build" / f"{name}.ipynb").read_bytes() for name in ("one", "two"))
    assert one == two and len(one) > 3000


def test_a_run_leaves_nothing_but_its_target(executed):
    assert sorted(p.name for p in executed.iterdir()) == ["00_tiny.ipynb", "build"]
    assert sorted(p.name for p in (executed / "build").iterdir()) == ["one.ipynb", "two.ipynb"]


def test_the_closing_record_is_found(executed):
    notebook = nbformat.read(executed / "build" / "one.ipynb", as_version=4)
    assert closing(notebook) == RECORD
    assert closing(new_notebook(cells=[new_markdown_cell("no code")])) == {
        "networks": 0,
        "here": 0,
        "verdicts": {},
    }


# ---------------------------------------------------------------- a run that fails


def test_a_failing_cell_is_named_and_the_target_spared(tmp_path):
    source, target = write(tmp_path, "x = 1", "x / 0", "print('never')"), tmp_path / "done.ipynb"
    target.write_text("as it was")
    with pytest.raises(NotebookError) as failure:
        execute(source, target, {"profile": "smoke"})
    message = str(failure.value)
    assert message.startswith(f"{source}: cell 3\n")  # as numbered in the author's notebook
    assert "x / 0" in message and message.endswith("ZeroDivisionError: division by zero")
    assert target.read_text() == "as it was"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00_tiny.ipynb", "done.ipynb"]


@pytest.fixture
def no_kernel(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr(runner.papermill, "execute_notebook", refuse)


def test_an_unknown_parameter_is_named_before_running(tmp_path, no_kernel):
    source = write(tmp_path, "print(1)")
    with pytest.raises(NotebookError, match=r"unknown parameter \['seed'\]: .*'profile', 'seeds'"):
        execute(source, tmp_path / "build" / "done.ipynb", {"seed": 3})
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "fast"], "PROFILE is 'fast': choose from smoke, standard"),
        (["--profile", ""], "PROFILE is ''"),
        (["--device", "gpu"], "unknown device 'gpu': use 'auto', 'cpu', 'cuda'"),
        (["--seeds", "many"], "SEEDS is 'many': give a whole number"),
        (["--seeds", "-3"], "SEEDS is '-3'"),
        (["--seeds", "2.5"], "SEEDS is '2.5'"),
        (["--seeds", "²"], "SEEDS is '²'"),
    ],
)
def test_bad_options_end_with_a_message_and_status_one(
    tmp_path, no_kernel, capsys, options, message
):
    source = write(tmp_path, "print(1)")
    assert main(["execute", str(source), str(tmp_path / "done.ipynb"), *options]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("FAILED ") and message in printed.err
    assert printed.out == "" and not (tmp_path / "done.ipynb").exists()


@pytest.mark.parametrize("content", [None, "", "not a notebook"])
def test_a_source_that_is_no_notebook_is_named(tmp_path, no_kernel, capsys, content):
    source = tmp_path / "00_tiny.ipynb"
    if content is not None:
        source.write_text(content)
    assert main(["execute", str(source), str(tmp_path / "done.ipynb")]) == 1
    assert str(source) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("errors", "tries"),
    [(["Address already in use"], 2), (["Kernel died before replying"] * 2, 2), (["other"], 1)],
)
def test_only_a_race_between_kernels_is_tried_again(tmp_path, monkeypatch, errors, tries):
    calls = []

    def fail(source, target, *_, **__):
        calls.append(source)
        if len(calls) <= len(errors):
            raise RuntimeError(errors[len(calls) - 1])
        nbformat.write(new_notebook(), target)

    monkeypatch.setattr(runner.papermill, "execute_notebook", fail)
    source, target = write(tmp_path, "print(1)"), tmp_path / "done.ipynb"
    if errors == ["Address already in use"]:
        execute(source, target, {})
        assert target.exists()
    else:
        with pytest.raises(NotebookError, match=errors[-1]):
            execute(source, target, {})
        assert not target.exists()
    assert len(calls) == tries


DEADLY = {
    "exit": "import os; os._exit(3)",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "native crash": "import ctypes; ctypes.string_at(0)",
}


@pytest.mark.parametrize("cause", DEADLY)
def test_a_kernel_that_dies_is_one_sentence_with_its_cell(tmp_path, cause):
    source = write(tmp_path, "x = 1", DEADLY[cause], "print('never')")
    for parameters in ({"profile": "smoke"}, {}):
        with pytest.raises(NotebookError) as failure:
            execute(source, tmp_path / "done.ipynb", parameters)
        message = str(failure.value)
        assert message.startswith(f"{source}: cell 3: the kernel died here") and "JOBS=1" in message
        assert "\n" not in message and not (tmp_path / "done.ipynb").exists()


def test_a_cell_that_takes_too_long_is_one_sentence(tmp_path):
    source = write(tmp_path, "import time", "time.sleep(600)")
    with pytest.raises(NotebookError) as failure:
        execute(source, tmp_path / "done.ipynb", {"profile": "smoke"}, timeout=1)
    assert str(failure.value).startswith(f"{source}: cell 3: this took more than 1 seconds")
    assert "\n" not in str(failure.value)


RUN_ALL = """
import sys
from pathlib import Path
from helpers.commands.course import Choice, run_all

folder, *notebooks = map(Path, sys.argv[1:])
sys.exit(run_all(Choice(notebooks, "smoke", device="cpu"), folder))
"""


def test_lost_notebooks_are_named_and_the_others_are_kept(tmp_path):
    parent = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    notebooks = []
    for name, cell in {"a": DEADLY["exit"], "b": parent, "c": "1"}.items():
        (tmp_path / name).mkdir()
        notebooks.append(write(tmp_path / name, cell))
        notebooks[-1] = notebooks[-1].rename(tmp_path / name / f"{name}.ipynb")
    command = [sys.executable, "-c", RUN_ALL, tmp_path / "build", *notebooks]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1
    assert "1 of 3 notebooks" in said.stdout and "Traceback" not in said.stderr
    failed = sorted(line for line in said.stderr.splitlines() if line.startswith("FAILED"))
    assert failed[0].startswith(f"FAILED {notebooks[0]}: cell 2: the kernel died here")
    assert failed[1].startswith(f"FAILED {notebooks[1]}: stopped by signal 9") and len(failed) == 2
    assert [path.name for path in (tmp_path / "build").glob("*.ipynb")] == ["c.ipynb"]


# ---------------------------------------------------------------- a run that is killed


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_the_old_target_and_nothing_trusted(sent, status, tmp_path):
    sleeping = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
    source, target = (
        write(tmp_path, sleeping + "time.sleep(600)"),
        tmp_path / "build" / "done.ipynb",
    )
    target.parent.mkdir()
    target.write_text("as it was")
    command = [sys.executable, "-m", "helpers", "execute", str(source), str(target)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, and all it starts, ignores interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid = tmp_path / "pid"
    wait_until(lambda: process.poll() is not None or (pid.exists() and pid.read_text()))
    assert process.poll() is None
    os.killpg(process.pid, sent)
    said = process.communicate()[1]
    assert process.returncode == status
    assert ("INTERRUPTED" in said) == (sent == signal.SIGINT)

    assert target.read_text() == "as it was"
    assert list(target.parent.glob("*.ipynb")) == [target]  # what make and readers look at
    assert all(p.name.startswith(".running-") for p in target.parent.iterdir() if p != target)
    wait_until(lambda: not running(int(pid.read_text())))  # the kernel does not outlive the run


# ---------------------------------------------------------------- what is kept


def test_normalise_twice_changes_nothing():
    cell = new_code_cell("1", metadata={"tags": ["a"], "execution": {"iopub": "now"}})
    notebook = normalise(new_notebook(cells=[cell], metadata={"papermill": {"duration": 3}}))
    assert "papermill" not in notebook.metadata and notebook.cells[0].metadata == {"tags": ["a"]}
    assert normalise(nbformat.from_dict(notebook)) == notebook


@pytest.mark.parametrize(
    ("tags", "metadata"),
    [
        (
            ["folded", "a"],
            {
                "tags": ["folded", "a", "hide-input"],
                "jupyter": {"source_hidden": True},
                "_kg_hide-input": True,
            },
        ),
        (["a", "hide-input"], {"tags": ["a"]}),  # no longer folded
        (["hide-input"], {}),
    ],
)
def test_folded_cells_are_folded_in_jupyterlab_on_kaggle_and_on_the_site(tags, metadata):
    cell = new_code_cell("1", metadata={"tags": tags, "jupyter": {"source_hidden": True}})
    notebook = normalise(new_notebook(cells=[cell]))
    assert notebook.cells[0].metadata == metadata
    assert normalise(nbformat.from_dict(notebook)) == notebook


def test_text_printed_in_pieces_is_joined():
    """The kernel flushes by the clock, so where one print ends is not the same in two runs."""
    pieces = [("stdout", "a\n"), ("stderr", "w"), ("stdout", "b\n"), ("stdout", "c\n")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    notebook = normalise(new_notebook(cells=[new_code_cell("", outputs=outputs)]))
    assert [o.text for o in notebook.cells[0].outputs] == ["a\nb\nc\n"]


def test_two_runs_at_once_share_no_folder(tmp_path, monkeypatch):
    source, target, partial = write(tmp_path, "1"), tmp_path / "build" / "done.ipynb", []

    def another_meanwhile(source, part, *_, **__):
        partial.append(Path(part))
        if len(partial) == 1:
            execute(Path(source), target, {})
        assert Path(part).parent.is_dir()
        nbformat.write(new_notebook(cells=[new_markdown_cell(str(len(partial)))]), part)

    monkeypatch.setattr(runner.papermill, "execute_notebook", another_meanwhile)
    execute(source, target, {})
    assert partial[0] != partial[1] and target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["done.ipynb"]
