"""Scientific faults planted into the helpers: each must turn a test that is named here red.

`make mutants` runs all of them in copies of the repository, two at a time; `--only NAME` runs one.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 2
RED = ("AssertionError", "DID NOT RAISE")  # a test that notices, not code that crashes
INI = "[pytest]\npythonpath = . tests\nmarkers = slow: takes over three seconds\n"


class Mutation(NamedTuple):
    """A text in a helper, what to put in its place, and the tests that must notice."""

    helper: str  # below helpers/
    old: str
    new: str
    tests: str  # a file
    select: str  # for pytest -k: part of a test's name, then "and" parts of its parameters


MUTATIONS = {
    "a flipped kernel": Mutation(
        "nets/cnn.py",
        "* kernel).sum()",
        "* kernel.flip(0, 1)).sum()",
        "tests/nets/test_models.py",
        "does_not_flip",
    ),
    "gradients that add up": Mutation(
        "training/fit.py",
        "update.zero_grad()",
        "pass",
        "tests/training/test_training.py",
        "loop_by_hand",
    ),
    "dropout left on": Mutation(
        "nets/modes.py",
        "model.eval()",
        "pass",
        "tests/training/test_training.py",
        "switches_dropout_off",
    ),
    "the last loss for the mean": Mutation(
        "training/fit.py",
        "values.mean().item()",
        "values[-1].item()",
        "tests/training/test_training.py",
        "train_loss_and_peak_loss_are_mean",
    ),
    "a shift that wraps around": Mutation(
        "analysis/diagnostics.py",
        "torch.where(row_entered[:, None] | column_entered, background, moved)",
        "moved",
        "tests/analysis/test_diagnostics.py",
        "shift_moves",
    ),
    "an edge share without squares": Mutation(
        "analysis/diagnostics.py",
        ".T).square().sum(1)",
        ".T).abs().sum(1)",
        "tests/analysis/test_diagnostics.py",
        "scores_a_quarter",
    ),
    "selectivity against the second best": Mutation(
        "analysis/diagnostics.py",
        "(means.sum(1) - top) / (means.shape[1] - 1)",
        "means.topk(2).values[:, 1]",
        "tests/analysis/test_diagnostics.py",
        "class_selectivity",
    ),
    "an interval of 90 %": Mutation(
        "evidence/statistics.py",
        "CONFIDENCE = 0.95",
        "CONFIDENCE = 0.90",
        "tests/evidence/test_statistics.py",
        "t_interval_is_the_closed_form",
    ),
    "below for above": Mutation(
        "evidence/verdicts.py",
        '"below": (-float("inf"), test.threshold)',
        '"below": (test.threshold, float("inf"))',
        "tests/evidence/test_verdicts.py",
        "test_the_rule",
    ),
    "disagreement ignored": Mutation(
        "evidence/verdicts.py",
        'set(found) == {"refuted"}',
        'set(found) - {"supported"} == {"refuted"}',
        "tests/evidence/test_verdicts.py",
        "test_combine",
    ),
    "rates without Fisher": Mutation(
        "evidence/verdicts.py",
        "p = max(p, fisher_p(a, b, count))",
        "pass",
        "tests/evidence/test_verdicts.py",
        "fisher",
    ),
    "an interpolation from the wrong end": Mutation(
        "training/engine/stacking.py",
        "torch.lerp(old, w,",
        "torch.lerp(w, old,",
        "tests/training/test_stacking.py",
        "by_hand",
    ),
    "one clipping for the whole stack": Mutation(
        "training/engine/stacking.py",
        "torch.stack([w.grad.reshape(len(w), -1).norm(dim=1) for w in weights]).norm(dim=0)",
        "torch.stack([w.grad.norm() for w in weights]).norm()",
        "tests/training/test_stacking.py",
        "by_hand",
    ),
    "decay of the wrong kind": Mutation(
        "training/engine/stacking.py",
        'self.decoupled = bool(self.inner.defaults.get("decoupled_weight_decay"))',
        "self.decoupled = False",
        "tests/training/test_stacking.py",
        "alone_for_every and LayerNorm-AdamW",
    ),
    "one rate for all": Mutation(
        "training/engine/stacking.py",
        "self.lr = weights, lr",
        "self.lr = weights, lr * 0 + lr[0]",
        "tests/training/test_stacking.py",
        "alone_for_every and LayerNorm-SGD",
    ),
    "batches shared by all seeds": Mutation(
        "training/engine/stacking.py",
        "yield torch.stack(indices)[which]",
        "yield torch.stack(indices)[which * 0]",
        "tests/training/test_stacking.py",
        "alone_for_every and LayerNorm-SGD",
    ),
    "a state that is not carried": Mutation(
        "text/language.py",
        "part.copy_(new.detach())",
        "pass",
        "tests/text/test_language.py",
        "state_is_carried and RNN",
    ),
    "a state that is never emptied": Mutation(
        "text/language.py",
        "self.read % self.batches_a_pass == 0",
        "self.read < 0",
        "tests/text/test_language.py",
        "state_is_carried and RNN",
    ),
    "rows that drift apart": Mutation(
        "training/batches.py",
        "begins + step % pieces)",
        "begins * step)",
        "tests/data/test_streams.py",
        "reading_order_goes_on",
    ),
    "buffers left behind": Mutation(
        "training/engine/stacking.py",
        "value.copy_(self.buffers[name][k])",
        "pass",
        "tests/training/test_stacking.py",
        "buffers_are_brought_back",
    ),
    "the same masks for all": Mutation(
        "training/engine/stacking.py",
        'randomness="different"',
        'randomness="same"',
        "tests/training/test_stacking.py",
        "masks_are_independent",
    ),
    "dropout left on in a stack": Mutation(
        "training/engine/stacking.py",
        "self.template.eval()",
        "pass",
        "tests/training/test_stacking.py",
        "dropout_is_off",
    ),
    "a check that leaves traces": Mutation(
        "training/engine/stacking.py",
        "buffer.copy_(kept[name])",
        "pass",
        "tests/training/test_stacking.py",
        "check_leaves_no_trace",
    ),
    "the schedule ignored": Mutation(
        "training/engine/stacking.py",
        "rates * schedule((step - 1) / steps)",
        "rates",
        "tests/training/test_stacking.py",
        "alone_for_every and LayerNorm-SGD",
    ),
    "divergence a step late": Mutation(
        "training/engine/stacking.py",
        "step - len(values) + 1\n",
        "step - len(values) + 2\n",
        "tests/training/test_stacking.py",
        "divergence_is_dated",
    ),
    "packs of strangers": Mutation(
        "training/engine/plan.py",
        "name not in PER_NETWORK]",
        'name == "steps"]',
        "tests/training/test_plan.py",
        "kept_apart",
    ),
    "a run left out": Mutation(
        "training/engine/plan.py",
        "Pack(build, family[a:b])",
        "Pack(build, family[a : max(a + 1, b - 1)])",
        "tests/training/test_plan.py",
        "every_run_is_in_one_pack",
    ),
    "an order summed without its places": Mutation(
        "evidence/replay.py",
        "(total + step * int(batch[0] + 7 * batch[-1] + 3 * batch.sum()))",
        "(total + int(batch.sum()))",
        "tests/evidence/test_replay.py",
        "order_of_all_batches",
    ),
    "a replay that agrees to a tenth": Mutation(
        "evidence/replay.py",
        "TOLERANCE = 1e-6",
        "TOLERANCE = 1e-1",
        "tests/evidence/test_replay.py",
        "knows_every_place",
    ),
    "a bias forgotten": Mutation(
        "training/engine/cells.py",
        "if self.biases_meet else",
        "if False else",
        "tests/training/test_cells.py",
        "all_networks_at_once and RNN",
    ),
    "gradients that share memory": Mutation(
        "training/gradients.py",
        "w.grad = w.grad.clone()",
        "pass",
        "tests/training/test_stacking.py",
        "are_changed_once",
    ),
    "a tanh that is not stretched": Mutation(
        "training/engine/cells.py",
        "torch.sigmoid(2 * x)",
        "torch.sigmoid(x)",
        "tests/training/test_cells.py",
        "however_many_numbers",
    ),
    "a candidate that is not stretched": Mutation(
        "training/engine/cells.py",
        "[i, f, 2 * g, o]",
        "[i, f, g, o]",
        "tests/training/test_cells.py",
        "all_networks_at_once and LSTM",
    ),
    "a reset gate before the product": Mutation(
        "nets/recurrent.py",
        "n_x + r * n_h",
        "n_x + n_h",
        "tests/nets/test_recurrent.py",
        "one_number_at_a_time",
    ),
    "a look into the future": Mutation(
        "nets/recurrent.py",
        "for x_t in x.unbind(1):",
        "for x_t in x.flip(1).unbind(1):",
        "tests/nets/test_recurrent.py",
        "does_not_know_the_future",
    ),
    "halves of a pack exchanged": Mutation(
        "training/engine/workers.py",
        "job) for k in starts]",
        "job) for k in reversed(starts)]",
        "tests/training/test_workers.py",
        "too_large_is_halved",
    ),
    "a spread about the wrong centre": Mutation(
        "data/loading.py",
        "(levels - mean) ** 2",
        "(levels - 0.5) ** 2",
        "tests/data/test_data.py",
        "standardised_with_training",
    ),
    "variance for standard deviation": Mutation(
        "data/loading.py",
        "div_(std.to(device))",
        "div_(std.to(device) ** 2)",
        "tests/data/test_data.py",
        "standardised_with_training",
    ),
}


def misfits(mutation: Mutation, root: Path = ROOT) -> list[str]:
    """What keeps a mutation from being planted and noticed; nothing is run."""
    helper, tests = root / "helpers" / mutation.helper, root / mutation.tests
    if missing := [str(path) for path in (helper, tests) if not path.is_file()]:
        return [f"{path} is missing" for path in missing]
    found = []
    if (count := helper.read_text().count(mutation.old)) != 1:
        found.append(f"{mutation.old!r} occurs {count} times in helpers/{mutation.helper}")
    named = mutation.select.split(" and ")[0]
    functions = [
        n for n in ast.walk(ast.parse(tests.read_text())) if isinstance(n, ast.FunctionDef)
    ]
    if not any(f.name.startswith("test_") and named in f.name for f in functions):
        found.append(f"no test in {mutation.tests} is called {named!r}")
    return found


def copy_repository(folder: Path) -> None:
    """A copy of helpers and tests that a mutation may spoil; data is linked, not copied."""
    for part in ("helpers", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pyc*"))
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "pytest.ini").write_text(INI)


def plant(folder: Path, mutation: Mutation) -> None:
    """Put the new text in the old one's place."""
    path = folder / "helpers" / mutation.helper
    path.write_text(path.read_text().replace(mutation.old, mutation.new))


def run_tests(mutation: Mutation | None, files: list[str], select: str) -> tuple[int, str]:
    """Exit status and output of pytest, in a copy and a process of their own."""
    with tempfile.TemporaryDirectory(prefix="mutant") as name:
        copy_repository(Path(name))
        if mutation:
            plant(Path(name), mutation)
        options = ["-q", "-x", "-rf", "--color=no", "-p", "no:cacheprovider", "-p", "no:nbval"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *files, "-k", select],
            cwd=name,
            env=os.environ | {"PYTHONPATH": name, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    return done.returncode, done.stdout + done.stderr


def caught_by(status: int, output: str) -> str | None:
    """The test that failed because it noticed; None where none did, or something else broke."""
    failed = re.search(r"^FAILED \S+?::(.+?)(?: - .*)?$", output, re.MULTILINE)
    noticed = status == 1 and failed and any(word in output for word in RED)
    return failed[1] if noticed else None


def main() -> int:
    """Run the mutants, print what caught each; 1 if one survives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MUTATIONS, metavar="NAME", help="a single mutant")
    only = parser.parse_args().only
    if stale := [f"{name}: {what}" for name, m in MUTATIONS.items() for what in misfits(m)]:
        print("\n".join(stale))
        return 1
    chosen = {only: MUTATIONS[only]} if only else MUTATIONS
    files = list(dict.fromkeys(m.tests for m in chosen.values()))
    together = " or ".join(dict.fromkeys(f"({m.select})" for m in chosen.values()))
    survivors = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        as_it_is = pool.submit(run_tests, None, files, together)
        jobs = {n: pool.submit(run_tests, m, [m.tests], m.select) for n, m in chosen.items()}
        status, output = as_it_is.result()
        if status:
            pool.shutdown(cancel_futures=True)
            print(output, "the copy is red with nothing planted", sep="\n")
            return 1
        width = max(map(len, chosen))
        print(f"{'mutant':{width}}  caught  by")
        for name, job in jobs.items():
            test = caught_by(*job.result())
            print(f"{name:{width}}  {'yes' if test else 'NO':6}  {test or '-'}", flush=True)
            if not test:
                survivors.append(f"--- {name}\n{job.result()[1][-2000:]}")
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} mutants are caught", *survivors, sep="\n"
    )
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
