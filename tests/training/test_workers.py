"""Packs at work: what cannot be stacked, what goes wrong meanwhile, what is found again of it."""

import errno
import os
import signal
import time
import warnings
from concurrent.futures import CancelledError
from functools import partial
from itertools import count
from pathlib import Path

import joblib
import pandas as pd
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import optim
from zoo import Branch, Item, TorchGRU, dense, shape_by_chance, toy, with_dropout

from helpers.data.threads import computing_with
from helpers.training.engine import workers
from helpers.training.engine.stacking import UnstackableError, fit_stack
from helpers.training.engine.workers import StackError
from helpers.training.many import fit_many

SETTINGS = {"steps": 3, "batch_size": 10, "n_jobs": 1}
sweep = partial(fit_many, {"a": dense}, toy(), seeds=range(6), lr=0.1, **SETTINGS)


@pytest.fixture
def trained(monkeypatch) -> list[int]:
    """Sizes of the packs that are really trained, in order."""
    sizes, train_together = [], workers._train_together

    def note(pack, job):
        sizes.append(len(pack.runs))
        return train_together(pack, job)

    monkeypatch.setattr(workers, "_train_together", note)
    return sizes


def assert_same_runs(one, other, **tolerance) -> None:
    exact = tolerance or {"check_exact": True}
    pd.testing.assert_frame_equal(one.table, other.table, **exact)
    assert list(one.models) == list(other.models)
    for key, model in one.models.items():
        limit = {"rtol": 0, "atol": 1e-6 if tolerance else 0}
        torch.testing.assert_close(model.state_dict(), other.models[key].state_dict(), **limit)


@pytest.mark.slow
def test_a_cached_source_of_a_notebook_reaches_the_workers():
    """As in a notebook, where functions belong to a module that other processes do not have."""
    notebook = {"__name__": "__main__", "toy": toy}
    exec("from functools import cache\n@cache\ndef source(seed):\n    return toy()", notebook)
    how = {**SETTINGS, "n_jobs": 2, "pack": 1, "lr": 0.1, "seeds": range(2)}
    cached = fit_many({"a": dense}, notebook["source"], **how)
    assert_same_runs(cached, fit_many({"a": dense}, toy(), **how))


# ---------------------------------------------------------------- what cannot be stacked


UNSTACKABLE = [
    ({"arms": {"a": Branch}}, "Branch cannot be stacked: .*helpers.nets instead of nn.RNN"),
    ({"arms": {"a": Item}}, "Item cannot be stacked: .*torch.where"),
    ({"arms": {"a": shape_by_chance}}, "separate arms"),
    ({"arms": {"a": dense}, "optimizer": optim.Rprop}, "Rprop cannot be stacked.*SGD"),
    ({"arms": {"a": dense}, "optimizer": optim.ASGD}, "ASGD cannot be stacked.*SGD"),
]


@pytest.mark.slow
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
    ("change", "cure"),
    [*UNSTACKABLE, ({"arms": {"a": TorchGRU}}, "TorchGRU cannot be stacked: .*helpers.nets")],
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


@pytest.mark.slow
@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_a_pack_too_large_is_halved_and_said(error, monkeypatch, trained):
    expected = sweep()
    trained.clear()
    monkeypatch.setattr(workers, "fit_stack", scarce(2, error))
    with pytest.warns(UserWarning) as caught:
        runs = sweep()
    notes = [str(warning.message) for warning in caught]
    assert notes[0] == "a: out of memory with 6 networks, going on with 3"
    assert notes[1] == "a: out of memory with 3 networks, going on with 1"
    assert trained == [6, 3, 1, 1, 1, 3, 1, 1, 1]
    assert_same_runs(runs, expected, rtol=1e-5)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    monkeypatch.setattr(workers, "fit_stack", scarce(0, RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        sweep()


def test_one_network_that_does_not_fit_is_an_error():
    def too_large(model, data, *, lr, seed):
        raise MemoryError

    with pytest.raises(MemoryError):
        fit_many({"a": dense}, toy(), seeds=(0, 1), lr=0.1, train=too_large, n_jobs=1)


# ---------------------------------------------------------------- finished packs


@pytest.fixture
def resumed(tmp_path):
    """The sweep in packs of two, which are kept in a folder."""
    return partial(sweep, pack=2, folder=tmp_path / "kept")


@pytest.mark.slow
def test_a_finished_sweep_is_found_again(resumed, trained):
    first = resumed()
    assert trained == [2, 2, 2]
    assert_same_runs(resumed(), first)
    assert trained == [2, 2, 2]
    assert_same_runs(first, sweep(pack=2))


def test_packs_are_kept_as_they_finish(resumed, trained):
    def stop_at_the_third(arm, updates):
        if len(trained) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resumed(tick=stop_at_the_third)
    assert trained == [2, 2, 2]
    runs = resumed()
    assert trained == [2, 2, 2, 2]
    assert_same_runs(runs, sweep(pack=2))


def test_what_was_found_again_counts_as_updates_too(resumed):
    for _ in range(2):
        updates = []
        resumed(tick=lambda arm, count, updates=updates: updates.append((arm, count)))
        assert sum(count for _, count in updates) == 6 * 3 and {arm for arm, _ in updates} == {"a"}


def test_packs_kept_without_their_weights_are_no_help_to_who_wants_them(resumed, trained):
    resumed(keep_models=False)
    resumed()
    assert trained == [2] * 6


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", [b"", b"x" * 99, "truncated", "gone"])
def test_a_damaged_file_is_trained_anew_and_mended(resumed, trained, tmp_path, suffix, damage):
    first = resumed()
    path, *_ = sorted((tmp_path / "kept").glob(f"*{suffix}"))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-7] if damage == "truncated" else damage)
    for _ in range(2):
        assert_same_runs(resumed(), first)
        assert trained == [2, 2, 2, 2]


def full(*others, **more):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["mkdir", "replace", "write_text"])
def test_a_full_disk_does_not_stop_the_training(resumed, monkeypatch, broken):
    expected = sweep(pack=2)
    monkeypatch.setattr(Path, broken, full)
    with pytest.warns(UserWarning, match="a finished pack cannot be kept .*No space left"):
        assert_same_runs(resumed(), expected)


# ---------------------------------------------------------------- how a pack is trained


@pytest.mark.slow
def test_what_is_measured_stands_in_the_last_row_of_a_history():
    def measure(model, data):
        assert not model.training and not torch.is_grad_enabled()
        return {"bias": model[0].bias.sum(), "examples": len(data.test.y)}

    for pack in (1, 6):
        runs = sweep(measure=measure, pack=pack, evaluate_every=2)
        for (_, seed), model in runs.models.items():
            assert runs.final("bias").a[seed] == pytest.approx(model[0].bias.sum().item())
        assert (runs.final("examples") == 31).all(axis=None)
        assert runs.table.bias[runs.table.step == 2].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize("arm", [dense, with_dropout])
def test_a_stack_that_equals_fit_passes_its_verification(arm):
    runs = fit_many({"a": arm}, toy(), seeds=range(3), lr=0.1, verify=2, **SETTINGS)
    assert_same_runs(runs, fit_many({"a": arm}, toy(), seeds=range(3), lr=0.1, **SETTINGS))


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_stack_that_trains_otherwise_is_refused(monkeypatch, place):
    def crooked(models, data, *, lr, **settings):
        lr = [rate * (1.01 if k == place else 1) for k, rate in enumerate(lr)]
        return fit_stack(models, data, lr=lr, **settings)

    monkeypatch.setattr(workers, "fit_stack", crooked)
    with pytest.raises(StackError, match=rf"a, seed {place}: network {place} of a stack of 5 diff"):
        fit_many({"a": dense}, toy(), seeds=range(5), lr=0.1, verify=2, **SETTINGS)


@pytest.mark.slow
def test_watch_and_tick_hear_of_every_update():
    seen, ticks = [], []
    sweep(watch=lambda step, model: seen.append(step), tick=lambda *news: ticks.append(news))
    assert seen == [0, 1, 2, 3] * 6 and ticks == [("a", 1)] * 18
    ticks.clear()
    sweep(pack=3, tick=lambda *news: ticks.append(news))
    assert ticks == [("a", 3)] * 6


# ---------------------------------------------------------------- workers


@pytest.mark.parametrize(
    ("jobs", "here", "cores", "expected"),
    [(1, 3, 8, 3), (1, 3, 2, 2), (4, 3, 8, 2), (4, 1, 8, 1), (4, 3, 2, 1)],
)
def test_a_worker_has_the_threads_of_its_parent_within_its_share_of_cores(
    monkeypatch, jobs, here, cores, expected
):
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)

    def threads(model, data, *, lr, seed):
        return pd.DataFrame({"step": [1], "diverged_at": [0], "n": [torch.get_num_threads()]})

    with computing_with(here):
        with joblib.parallel_config("threading"):
            runs = fit_many({"a": dense}, toy(), seeds=(0, 1), lr=1, train=threads, n_jobs=jobs)
        assert torch.get_num_threads() == here
    assert set(runs.table.n) == {expected}


@pytest.mark.slow
def test_packs_do_not_disturb_each_other_in_threads_of_one_worker():
    busy = []

    def train(model, data, *, lr, seed):
        busy.append(seed)
        time.sleep(0.001)
        assert len(busy) == 1
        return pd.DataFrame({"step": [1], "diverged_at": [0], "seed of it": [busy.pop()]})

    with joblib.parallel_config("threading"):
        runs = fit_many({"a": dense}, toy(), seeds=range(50), lr=1, train=train, n_jobs=4)
    assert (runs.table["seed of it"] == runs.table.seed).all()


class AllAtOnce(joblib.parallel.ThreadingBackend):
    """A backend that, like Ray's, cannot hand back results as they come."""

    supports_return_generator = False


class Deadly(joblib.parallel.ThreadingBackend):
    """A backend whose second result is lost, as Dask's may be when a worker dies."""

    results = count()

    def retrieve_result_callback(self, result):
        if next(self.results) == 1:
            raise CancelledError
        return super().retrieve_result_callback(result)


@pytest.mark.slow
def test_a_backend_without_generators_hands_back_everything():
    joblib.register_parallel_backend("all-at-once", AllAtOnce)
    with joblib.parallel_config("all-at-once"):
        runs = sweep(pack=2, n_jobs=2)
    assert_same_runs(runs, sweep(pack=2))


@pytest.mark.slow
def test_what_a_lost_result_had_starts_again():
    joblib.register_parallel_backend("deadly", Deadly)
    with joblib.parallel_config("deadly"), pytest.warns(UserWarning, match="packs start again"):
        runs = sweep(pack=2, n_jobs=2)
    assert_same_runs(runs, sweep(pack=2))


@pytest.mark.slow
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
    assert len(attempts) == workers.ATTEMPTS


@pytest.mark.slow
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
