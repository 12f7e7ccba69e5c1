"""Breaking a helper on purpose turns its tests red: the tests are worth their time."""

import io
import multiprocessing
import os
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]


class Mutation(NamedTuple):
    """A text in a helper, what to put in its place, and the tests that must notice."""

    helper: str
    old: str
    new: str
    tests: str  # for pytest -k


MUTATIONS = {
    "a flipped kernel": Mutation(
        "models", "* kernel).sum()", "* kernel.flip(0, 1)).sum()", "does_not_flip"
    ),
    "gradients that add up": Mutation("training", "update.zero_grad()", "pass", "loop_by_hand"),
    "dropout left on": Mutation("training", "model.eval()", "pass", "switches_dropout_off"),
    "the last loss for the mean": Mutation(
        "training", "values.mean().item()", "values[-1].item()", "train_loss_is_the_mean"
    ),
    "a shift that wraps around": Mutation(
        "diagnostics",
        "torch.where(row_entered[:, None] | column_entered, background, moved)",
        "moved",
        "shift_moves",
    ),
    "an edge share without squares": Mutation(
        "diagnostics", ".T).square().sum(1)", ".T).abs().sum(1)", "scores_a_quarter"
    ),
    "selectivity against the second best": Mutation(
        "diagnostics",
        "(means.sum(1) - top) / (means.shape[1] - 1)",
        "means.topk(2).values[:, 1]",
        "class_selectivity",
    ),
    "an interval of 90 %": Mutation(
        "statistics", "CONFIDENCE = 0.95", "CONFIDENCE = 0.90", "t_interval_is_the_closed_form"
    ),
    "below for above": Mutation(
        "claims",
        '"below": (-float("inf"), test.threshold)',
        '"below": (test.threshold, float("inf"))',
        "test_the_rule",
    ),
    "disagreement ignored": Mutation(
        "claims", '{"supported", "refuted"} <= found', "False", "test_combine"
    ),
    "rates without Fisher": Mutation(
        "claims", "p = max(p, fisher_p(a, b, count))", "pass", "fisher"
    ),
    "a spread about the wrong centre": Mutation(
        "data", "(levels - mean) ** 2", "(levels - 0.5) ** 2", "standardised_with_training"
    ),
    "variance for standard deviation": Mutation(
        "data", "div_(std.to(device))", "div_(std.to(device) ** 2)", "standardised_with_training"
    ),
}


def copy_repository(folder: Path) -> Path:
    """A copy of helpers, data and tests that a mutation may spoil; data is linked, not copied."""
    shutil.copytree(ROOT / "helpers", folder / "helpers", ignore=shutil.ignore_patterns("__pyc*"))
    (folder / "data").mkdir()
    for file in (ROOT / "data").glob("*.*"):
        (folder / "data" / file.name).symlink_to(file)
    (folder / "tests").mkdir()
    for module in {mutation.helper for mutation in MUTATIONS.values()}:
        shutil.copy(ROOT / "tests" / f"test_{module}.py", folder / "tests")
    return folder


def mutate(folder: Path, mutation: Mutation) -> None:
    path = folder / "helpers" / f"{mutation.helper}.py"
    source = path.read_text()
    assert source.count(mutation.old) == 1, f"{mutation.old!r} in {path.name}"
    path.write_text(source.replace(mutation.old, mutation.new))


def run_tests(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Exit status and output of pytest in `folder`; for a fresh process, which it spoils."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    options = ["-q", "-x", "--color=no", "-p", "no:cacheprovider", "-p", "no:nbval"]
    with redirect_stdout(io.StringIO()) as output:
        status = pytest.main([*options, *arguments])
    return int(status), output.getvalue()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, tuple[int, str]]:
    """Every mutation's test run, and ("") that of the copy as it is, two at a time.

    Each in a process of its own, forked from one that has imported the slow libraries already.
    """
    selections = [f"({m.tests})" for m in MUTATIONS.values()]
    jobs = {"": ["tests", "-k", " or ".join(selections)]}
    jobs |= {n: [f"tests/test_{m.helper}.py", "-k", m.tests] for n, m in MUTATIONS.items()}
    folders = {name: copy_repository(tmp_path_factory.mktemp("mutation")) for name in jobs}
    for name, mutation in MUTATIONS.items():
        mutate(folders[name], mutation)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "hypothesis", "torch", "pandas", "scipy.stats"])
    with context.Pool(2, maxtasksperchild=1) as pool:
        calls = [(folders[name], arguments) for name, arguments in jobs.items()]
        return dict(zip(jobs, pool.starmap(run_tests, calls, chunksize=1), strict=True))


def test_the_copy_passes_as_it_is(results):
    status, output = results[""]
    assert status == pytest.ExitCode.OK, output


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_helper_turns_tests_red(name, results):
    status, output = results[name]
    assert status == pytest.ExitCode.TESTS_FAILED and "AssertionError" in output, output
