"""What goes wrong while a sweep is trained, and what is found again of it afterwards."""

import errno
import multiprocessing
import os
import random
import signal
import time
import warnings
from functools import partial

import joblib
import pandas as pd
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import nn, optim
from zoo import dense, sweep_to_kill, toy, wide, with_dropout

from helpers import training
from helpers.course import lab
from helpers.training.engine import execution, packs
from helpers.training.engine.stacking import UnstackableError, fit_stack
from helpers.training.many import fit_many

SETTINGS = {"steps": 3, "batch_size": 10, "n_jobs": 1}
sweep = partial(fit_many, {"a": dense}, toy(), seeds=range(6), lr=0.1, **SETTINGS)


@pytest.fixture
def trained(monkeypatch) -> list[int]:
    """Sizes of the packs that are really trained, in order."""
    sizes, train_together = [], execution._train_together

    def count(data, build, runs, *others):
        sizes.append(len(runs))
        return train_together(data, build, runs, *others)

    monkeypatch.setattr(execution, "_train_together", count)
    return sizes


def assert_same_runs(one, other, **tolerance) -> None:
    exact = tolerance or {"check_exact": True}
    pd.testing.assert_frame_equal(one.table, other.table, **exact)
    assert list(one.models) == list(other.models)
    for key, model in one.models.items():
        limit = {"rtol": 0, "atol": 1e-6 if tolerance else 0}
        torch.testing.assert_close(model.state_dict(), other.models[key].state_dict(), **limit)


# ---------------------------------------------------------------- what cannot be stacked


class Branch(nn.Module):
    """Decides by a value, which a stack cannot."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        x = self.layer(x)
        return x if x.mean() > 0 else 2 * x


class Item(Branch):
    """Takes a number out of its tensor."""

    def forward(self, x):
        return self.layer(x) * (1 + x.mean().item())


class TorchGRU(nn.Module):
    """A recurrent kernel without a rule for stacks."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.cell(x[:, None])[0][:, -1])


def shape_by_chance() -> nn.Module:
    return nn.Sequential(nn.Linear(4, size := int(torch.randint(2, 9, ()))), nn.Linear(size, 3))


UNSTACKABLE = [
    ({"arms": {"a": Branch}}, "helpers.recurrent"),
    ({"arms": {"a": Item}}, "torch.where"),
    ({"arms": {"a": shape_by_chance}}, "separate arms"),
    ({"arms": {"a": dense}, "optimizer": optim.Rprop}, "Rprop cannot be stacked.*SGD"),
    ({"arms": {"a": dense}, "optimizer": optim.ASGD}, "ASGD cannot be stacked.*SGD"),
]


@pytest.mark.parametrize(("change", "cure"), UNSTACKABLE)
def test_what_cannot_be_stacked_is_trained_alone_and_said(change, cure, trained):
    run = partial(fit_many, data=toy(), seeds=range(3), lr=0.1, **SETTINGS, **change)
    with pytest.warns(UserWarning, match=rf"a: one network at a time\. .*{cure}") as caught:
        runs = run()
    assert len(caught) == 1 and caught[0].filename == __file__
    assert trained == [3, 1, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_runs(runs, run(pack=1))


@pytest.mark.parametrize(
    ("change", "cure"), [*UNSTACKABLE, ({"arms": {"a": TorchGRU}}, "helpers.recurrent")]
)
def test_a_stack_that_was_asked_for_and_cannot_be_is_an_error(change, cure):
    with pytest.raises(UnstackableError, match=rf"{cure}.*pack=1"):
        fit_many(data=toy(), seeds=range(3), lr=0.1, pack=8, **SETTINGS, **change)


def test_torchs_recurrent_kernels_are_trained_alone_on_a_cpu(trained):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_many({"a": TorchGRU}, toy(), seeds=range(3), lr=0.1, **SETTINGS)
    assert trained == [1, 1, 1]


# ---------------------------------------------------------------- memory runs out


def scarce(most: int, error: Exception):
    """`fit_stack` on a machine that holds `most` networks."""

    def stack(models, *others, **settings):
        if len(models) > most:
            raise error
        return fit_stack(models, *others, **settings)

    return stack


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_a_pack_too_large_is_halved_and_said(error, monkeypatch, trained):
    expected = sweep()
    trained.clear()
    monkeypatch.setattr(execution, "fit_stack", scarce(2, error))
    with pytest.warns(UserWarning) as caught:
        runs = sweep()
    notes = [str(warning.message) for warning in caught]
    assert notes[0] == "a: out of memory with 6 networks, going on with 3"
    assert notes[1] == "a: out of memory with 3 networks, going on with 1"
    assert trained == [6, 3, 1, 2, 3, 1, 2]
    assert_same_runs(runs, expected, rtol=1e-5)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    monkeypatch.setattr(execution, "fit_stack", scarce(0, RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        sweep()


def test_one_network_that_does_not_fit_is_an_error():
    def too_large(model, data, *, lr, seed):
        raise MemoryError

    with pytest.raises(MemoryError):
        fit_many({"a": dense}, toy(), seeds=(0, 1), lr=0.1, train=too_large, n_jobs=1)


# ---------------------------------------------------------------- finished packs


@pytest.fixture
def cache(tmp_path):
    execution.use_cache(tmp_path / "cache")
    return tmp_path / "cache"


def test_a_finished_sweep_is_found_again(cache, trained):
    first, counted = sweep(), training.networks_trained()
    assert trained == [6]
    assert_same_runs(sweep(), first)
    assert trained == [6]
    assert training.networks_trained() == counted + 6  # they count as trained wherever they are


def test_without_a_cache_nothing_is_found(trained):
    sweep(), sweep()
    assert trained == [6, 6]


def changed_data():
    data = toy()
    data.train.x[0, 0] += 1
    return data


CHANGES = {
    "setting": {"steps": 4},
    "rate": {"lr": 0.2},
    "clipping": {"clip": 1.0},
    "optimizer": {"optimizer": training.SGD},
    "seed": {"seeds": range(1, 7)},
    "fewer seeds": {"seeds": range(5)},
    "pack": {"pack": 3},
    "models": {"keep_models": False},
    "build": {"arms": {"a": wide}},
    "loss": {"loss_function": lambda prediction, y: (prediction**2).mean()},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_sweep_is_trained_anew(cache, trained, change):
    run = partial(fit_many, **{"data": toy(), "lr": 0.1, **SETTINGS})
    run(arms={"a": dense}, seeds=range(6))
    before = sum(trained)
    run(**{"arms": {"a": dense}, "seeds": range(6)} | CHANGES[change])
    assert sum(trained) - before == len(CHANGES[change].get("seeds", range(6)))


def test_changed_data_helpers_or_torch_are_trained_anew(cache, trained, monkeypatch):
    run = partial(fit_many, {"a": dense}, seeds=range(6), lr=0.1, **SETTINGS)
    run(toy())
    run(changed_data())
    monkeypatch.setattr(packs, "fingerprint_of_code", lambda device: "other helpers")
    run(toy())
    monkeypatch.undo()
    assert len(trained) == 3
    sizes = []
    train_together = execution._train_together
    monkeypatch.setattr(
        execution, "_train_together", lambda *a: (sizes.append(1), train_together(*a))[1]
    )
    monkeypatch.setattr(torch, "__version__", "2.99")
    run(toy())
    run(toy())
    assert len(sizes) == 1


def test_a_changed_lambda_is_trained_anew_and_a_moved_one_is_not(cache, trained):
    """As in a notebook, where a cell is run again or edited."""

    def cell(body, above=""):
        names = {"nn": nn}
        exec(f"{above}build = {body}", names)
        return names["build"]

    def run(build):
        before = len(trained)
        fit_many({"a": build}, toy(), seeds=range(2), lr=0.1, **SETTINGS)
        return len(trained) > before

    one = "lambda: nn.Linear(4, 3)"
    assert run(cell(one))
    assert not run(cell(one, above="\n\n# moved\n"))
    assert run(cell("lambda: nn.Linear(4, 3, bias=False)"))
    assert run(cell("lambda width=4: nn.Linear(width, 3)"))
    assert run(cell("(lambda width: lambda: nn.Linear(4, width))(3)"))
    assert run(cell("(lambda width: lambda: nn.Linear(4, width))(5)"))
    assert not run(cell(one))


def stored(cache):
    return sorted(cache.rglob("output.pkl"))


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "garbage"])
def test_a_damaged_file_is_never_read(cache, trained, damage, caplog):
    first = sweep()
    (path,) = stored(cache)
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    damaged = {"empty": b"", "truncated": content[:-7], "flipped": flipped, "garbage": b"x" * 99}
    path.write_bytes(damaged[damage])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same_runs(sweep(), first)
    assert trained == [6, 6] and "Exception while loading" in caplog.text
    assert_same_runs(sweep(), first)
    assert trained == [6, 6]  # mended


def full(*others, **more):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "broken",
    [
        "joblib._store_backends.numpy_pickle.dump",
        "joblib._store_backends.concurrency_safe_write",
        "joblib._store_backends.mkdirp",
    ],
)
def test_a_full_disk_does_not_stop_the_training(tmp_path, monkeypatch, broken):
    expected = sweep()
    execution.use_cache(tmp_path / "cache")
    monkeypatch.setattr(broken, full)
    with pytest.warns(Warning, match="No space left"):
        assert_same_runs(sweep(), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        execution.use_cache(tmp_path / "another")
        assert_same_runs(sweep(), expected)


def test_a_disk_that_fills_up_between_two_packs_does_not_stop_the_training(cache, monkeypatch):
    expected = sweep()
    monkeypatch.setattr(joblib.memory.MemorizedFunc, "__call__", full)
    with pytest.warns(UserWarning, match="finished packs cannot be kept .*No space left"):
        assert_same_runs(sweep(), expected)


def test_packs_are_kept_as_they_finish(cache, trained):
    run = partial(sweep, pack=2)
    seen = []

    def stop_after_two(*arguments):
        seen.append(arguments)
        if len(seen) > 2:
            raise KeyboardInterrupt
        return kept(*arguments)

    kept = execution._train_together
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "_train_together", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert trained == [2, 2]
    runs = run()
    assert trained == [2, 2, 2]
    execution.use_cache(None)
    assert_same_runs(runs, run())


def test_a_notebook_that_was_interrupted_goes_on_and_one_that_closed_starts_anew(
    tmp_path, monkeypatch, trained
):
    monkeypatch.setattr(lab.evidence, "build_folder", lambda: tmp_path)
    for _ in range(2):
        book = lab.Lab("01_cnn_filters", device="cpu")
        first = sweep()
    assert trained == [6]
    lab.Lab("02_cnn_training_loop", device="cpu")
    sweep()
    assert trained == [6, 6]  # another notebook has a folder of its own
    book = lab.Lab("01_cnn_filters", device="cpu")
    assert_same_runs(sweep(), first)
    assert trained == [6, 6]
    book.close()
    assert not stored(tmp_path / "cache" / "01_cnn_filters")
    assert stored(tmp_path / "cache" / "02_cnn_training_loop")
    book = lab.Lab("01_cnn_filters", device="cpu")
    sweep()
    assert trained == [6, 6, 6]


# ---------------------------------------------------------------- killed


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    """SIGKILL at random moments, until one attempt comes through."""
    settings = {"steps": 40, "batch_size": 10, "lr": 0.1, "n_jobs": 1, "pack": 1}
    undisturbed = fit_many({"a": dense}, toy(), seeds=range(30), **settings).table
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "pandas", "cloudpickle", "psutil"])
    moments, kills, counts = random.Random(0), 0, []
    while True:
        process = context.Process(
            target=sweep_to_kill, args=(tmp_path / "kept", tmp_path / "table")
        )
        process.start()
        if kills < 3:
            goal = len(stored(tmp_path / "kept")) + 3  # has got somewhere, however slow the machine
            while process.is_alive() and len(stored(tmp_path / "kept")) < goal:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.1))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        process.join()
        counts.append(len(stored(tmp_path / "kept")))
        if process.exitcode == 0:
            break
    assert kills >= 2 and counts == sorted(counts) and 3 <= counts[0] < 30 == counts[-1]
    resumed = pd.read_pickle(tmp_path / "table")
    pd.testing.assert_frame_equal(resumed, undisturbed, check_exact=True)


def test_a_worker_that_dies_loses_nothing(tmp_path):
    flag, here = tmp_path / "died", os.getpid()

    def deadly():
        if os.getpid() != here and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return dense()

    run = partial(fit_many, data=toy(), seeds=range(6), lr=0.1, pack=1, **SETTINGS)
    with pytest.warns(UserWarning, match=r"a worker process died, \d packs start again"):
        runs = run({"a": deadly}, n_jobs=2)
    assert flag.exists()
    assert_same_runs(runs, run({"a": dense}))


def test_workers_that_keep_dying_are_an_error(monkeypatch):
    """Three attempts; the error is joblib's, which says what may have happened."""
    attempts = []

    class Dying:
        def __init__(self, **settings):
            attempts.append(settings)

        def __call__(self, calls):
            raise TerminatedWorkerError("killed")
            yield

    monkeypatch.setattr(joblib, "Parallel", Dying)
    with pytest.raises(TerminatedWorkerError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sweep()
    assert len(attempts) == execution.ATTEMPTS


def test_notes_of_workers_are_said_here():
    run = partial(fit_many, {"a": Branch}, toy(), seeds=range(4), lr=0.1, steps=2, batch_size=10)
    with pytest.warns(UserWarning, match="a: one network at a time") as caught:
        run(n_jobs=2)
    assert len(caught) >= 1


def test_masks_repeat_whatever_else_is_trained():
    """With the same pack; in another pack a network draws other masks."""
    settings = {"seeds": range(3), "lr": 0.1, "pack": 3} | SETTINGS
    first = fit_many({"a": with_dropout}, toy(), **settings)
    second = fit_many({"b": dense, "a": with_dropout}, toy(), **settings)
    pd.testing.assert_frame_equal(first.final(), second.final()[["a"]], check_exact=True)
