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

ROOT = Path(__file__).resolve().parents[2]


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
        "training", "values.mean().item()", "values[-1].item()", "train_loss_and_peak_loss_are_mean"
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
    "an interpolation from the wrong end": Mutation(
        "stacking", "torch.lerp(old, w,", "torch.lerp(w, old,", "by_hand"
    ),
    "one clipping for the whole stack": Mutation(
        "stacking",
        "torch.stack([w.grad.reshape(len(w), -1).norm(dim=1) for w in weights]).norm(dim=0)",
        "torch.stack([w.grad.norm() for w in weights]).norm()",
        "by_hand",
    ),
    "decay of the wrong kind": Mutation(
        "stacking",
        'self.decoupled = bool(self.inner.defaults.get("decoupled_weight_decay"))',
        "self.decoupled = False",
        "alone_for_every and LayerNorm-AdamW",
    ),
    "one rate for all": Mutation(
        "stacking",
        "self.lr = weights, lr",
        "self.lr = weights, lr * 0 + lr[0]",
        "alone_for_every and LayerNorm-SGD",
    ),
    "batches shared by all seeds": Mutation(
        "stacking",
        "yield torch.stack(drawn)[which]",
        "yield torch.stack(drawn)[which * 0]",
        "alone_for_every and LayerNorm-SGD",
    ),
    "a state that is not carried": Mutation(
        "language", "part.copy_(new.detach())", "pass", "state_is_carried and RNN"
    ),
    "a state that is never emptied": Mutation(
        "language", "self.read % self.pieces == 0", "self.read < 0", "state_is_carried and RNN"
    ),
    "streams that drift apart": Mutation(
        "streams", "streams + step % pieces)", "streams * step)", "reading_order_goes_on"
    ),
    "buffers left behind": Mutation(
        "stacking", "value.copy_(self.buffers[name][k])", "pass", "buffers_are_brought_back"
    ),
    "the same masks for all": Mutation(
        "stacking", 'randomness="different"', 'randomness="same"', "masks_are_independent"
    ),
    "dropout left on in a stack": Mutation(
        "stacking", "self.template.eval()", "pass", "dropout_is_off"
    ),
    "a check that leaves traces": Mutation(
        "stacking", "buffer.copy_(kept[name])", "pass", "check_leaves_no_trace"
    ),
    "the schedule ignored": Mutation(
        "stacking",
        "rates * schedule((step - 1) / steps)",
        "rates",
        "alone_for_every and LayerNorm-SGD",
    ),
    "divergence a step late": Mutation(
        "stacking", "step - len(values) + 1\n", "step - len(values) + 2\n", "divergence_is_dated"
    ),
    "packs of strangers": Mutation(
        "packs", "name not in PER_NETWORK]", 'name == "steps"]', "kept_apart"
    ),
    "a run left out": Mutation(
        "packs",
        "family[a:b]) for",
        "family[a : max(a + 1, b - 1)]) for",
        "every_run_is_in_one_pack",
    ),
    "a fingerprint without defaults": Mutation(
        "packs",
        "(obj.__defaults__, obj.__kwdefaults__,",
        "(None, None,",
        "whatever_a_function_does",
    ),
    "a bias forgotten": Mutation(
        "recurrent", "if self.biases_meet else", "if False else", "one_number_at_a_time"
    ),
    "gradients that share memory": Mutation(
        "stacking", "w.grad = w.grad.clone()", "pass", "are_changed_once"
    ),
    "a tanh that is not stretched": Mutation(
        "recurrent", "torch.sigmoid(2 * x)", "torch.sigmoid(x)", "however_many_numbers"
    ),
    "a candidate that is not stretched": Mutation(
        "recurrent", "[i, f, 2 * g, o]", "[i, f, g, o]", "one_number_at_a_time"
    ),
    "a reset gate before the product": Mutation(
        "recurrent", "n_x + r * n_h", "n_x + n_h", "one_number_at_a_time"
    ),
    "a look into the future": Mutation(
        "recurrent",
        "self.project(x).unbind(0):",
        "self.project(x).flip(0).unbind(0):",
        "does_not_know_the_future",
    ),
    "halves of a pack exchanged": Mutation(
        "execution",
        "parts = [runs[:half], runs[half:]]",
        "parts = [runs[half:], runs[:half]]",
        "too_large_is_halved",
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
    for shared in ("zoo", "conftest"):
        shutil.copy(ROOT / "tests" / f"{shared}.py", folder / "tests")
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
    context.set_forkserver_preload(
        ["pytest", "hypothesis", "torch._dynamo", "pandas", "scipy.stats"]
    )
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
