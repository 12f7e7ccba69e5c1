"""Experiments: proved, brought back, made one's own, interrupted, killed, and refused in words."""

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch
from experiments import ARMS, CHECK, DESIGN, PROVE, READ, SETTINGS, TUNED, changed, gru

from helpers.evidence import experiment, store
from helpers.evidence.experiment import Circumstances, Design, Experiment, conduct
from helpers.evidence.store import EvidenceError
from helpers.training.engine import workers
from helpers.training.engine.plan import Run
from helpers.training.engine.workers import StackError
from helpers.training.fit import ADAM, SGD, evaluate

SMALL = replace(DESIGN, arms={"GRU": gru}, seeds=(40, 41))
OTHER = changed(DESIGN, batch_size=5)  # a reader's change


def prove(design: Design) -> Experiment:
    return conduct(design, 0, PROVE)


def trained(monkeypatch) -> list[tuple]:
    """The runs that are trained from now on."""
    seen, before = [], workers._train

    def note(pack, job):
        seen.extend(run.key for run in pack.runs)
        return before(pack, job)

    monkeypatch.setattr(workers, "_train", note)
    return seen


# ---------------------------------------------------------------- proved, then checked


def test_a_check_brings_back_what_was_proved(evidence, monkeypatch):
    proved = prove(DESIGN)
    assert proved.line == "toy: 6 stored networks, 2 of them replayed here: equal"
    seen = trained(monkeypatch)
    checked = conduct(DESIGN, 1, CHECK)
    pd.testing.assert_frame_equal(checked.table, proved.table)
    assert sorted(seen) == [("GRU", 40), ("RNN", 40)] == sorted(checked.models)
    assert checked.line == proved.line + "; 2 trained here" and not checked.own
    assert checked.final("test_loss").attrs == {"here": [40], "own": False}
    assert checked.seeds == [40, 41, 42] and list(checked.final("norm")) == ["RNN", "GRU"]


@pytest.mark.slow
def test_the_table_is_what_training_gives_to_six_digits(evidence):
    prove(SMALL)
    table = conduct(SMALL, 0, READ).table
    fresh = SMALL.train_all({}, n_jobs=1).table
    assert list(table) == list(fresh)
    for name in ("train_loss", "valid_loss", "test_loss", "norm", "mean"):
        assert table[name].tolist() == pytest.approx(fresh[name].tolist(), rel=1e-5, nan_ok=True)
    assert table[["seed", "step"]].equals(fresh[["seed", "step"]])


def test_a_network_trained_here_is_the_one_of_the_table(evidence):
    prove(SMALL)
    found = conduct(SMALL, 2, READ)
    for (_, seed), model in found.models.items():
        loss = evaluate(model, SMALL.data.test, SETTINGS["loss_function"])["loss"]
        assert loss == pytest.approx(found.final("test_loss").at[seed, "GRU"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "axis",
    [
        {"lr": [0.001, 10**-2.5]},
        {"clip": [None, 0.5]},
        {"clip": {"without": None, "with": 0.5}},
        {"optimizer": {"SGD": SGD, "Adam": ADAM}},
        {"evaluate_every": [None, 4, 8]},
    ],
)
def test_every_kind_of_grid_comes_back(evidence, axis):
    settings = {name: value for name, value in SETTINGS.items() if name not in axis}
    design = replace(SMALL, grid=axis, settings=settings)
    fresh = design.train_all({}, n_jobs=1)
    prove(design)
    checked = conduct(design, 1, CHECK)
    (name, values), table = next(iter(axis.items())), checked.final("test_loss")
    assert checked.networks == 2 * len(values) == len(store.numbered(checked.table).unique())
    assert table.shape == (2, len(values))
    expected = fresh.final("test_loss")
    assert table.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)
    assert [key[1] for key in checked.models] == list(values)
    assert set(fresh.table[name].dropna()) == set(checked.table[name].dropna())


@pytest.mark.slow
def test_arms_may_have_seeds_of_their_own(evidence):
    design = replace(DESIGN, seeds={"RNN": (40,), "GRU": (50, 51)})
    prove(design)
    found = conduct(design, 1, CHECK)
    assert list(found.models) == [("RNN", 40), ("GRU", 50)] and found.networks == 3


@pytest.mark.slow
def test_a_network_that_diverges_is_kept_as_diverged(evidence):
    design = replace(changed(DESIGN, optimizer=SGD, lr=1e30), measure=None)
    prove(design)
    found = conduct(design, 1, CHECK)
    assert found.networks == 6 and (found.table.groupby("seed").diverged_at.max() > 0).all()
    assert found.final("test_loss").isna().all(axis=None)
    assert (found.final("test_loss", diverged=9.0) == 9).all(axis=None)


@pytest.mark.slow
def test_arms_of_different_length_stay_apart(evidence):
    settings = SETTINGS | {"steps": {"RNN": 4, "GRU": 8}, "evaluate_every": None}
    design = replace(DESIGN, settings=settings)
    prove(design)
    last = conduct(design, 0, CHECK).table.groupby("arm").step.max()
    assert last.to_dict() == {"RNN": 4, "GRU": 8}
    assert conduct(design, 0, CHECK).networks == 6


# ---------------------------------------------------------------- tuning


@pytest.mark.slow
def test_rates_are_chosen_on_tuning_seeds_and_kept(evidence, monkeypatch):
    seen = trained(monkeypatch)
    proved = prove(TUNED)
    assert {key[-1] for key in seen if len(key) == 3} == {100}
    assert {key[-1] for key in seen if len(key) == 2} == {40, 41, 42}
    assert proved.chosen == {"lr": {"RNN": 0.01, "GRU": 0.01}}
    assert proved.tuning.shape == (3, 2) and (proved.tuning.idxmin() == 0.01).all()
    checked = conduct(TUNED, 0, CHECK)
    pd.testing.assert_frame_equal(checked.tuning, proved.tuning)
    assert (checked.table.lr == 0.01).all()


@pytest.mark.slow
def test_labelled_settings_can_be_tuned(evidence):
    settings = {name: value for name, value in SETTINGS.items() if name != "lr"} | {"lr": 0.1}
    grid = {"optimizer": {"SGD": SGD, "Adam": ADAM}, "clip": {"none": None, "tight": 1e-6}}
    design = replace(SMALL, settings=settings, tune=grid, tuning_seeds=(100,))
    proved = prove(design)
    assert proved.chosen == {"optimizer": {"GRU": "SGD"}, "clip": {"GRU": "none"}}
    fresh = changed(SMALL, lr=0.1, optimizer=SGD).train_all({}, n_jobs=1)
    found = conduct(design, 1, CHECK).final("test_loss")["GRU"]
    assert found.tolist() == pytest.approx(fresh.final("test_loss")["GRU"].tolist(), rel=1e-5)


def test_a_rate_at_the_edge_of_its_grid_is_refused_by_name(evidence):
    design = replace(TUNED, tune={"lr": [0.01, 100.0]})
    void = r"tuned: void: best value at the edge of its grid, extend it: RNN: lr 0.01, GRU: lr"
    with pytest.raises(EvidenceError, match=void):
        prove(design)
    assert not evidence.exists()


@pytest.mark.slow
def test_smoke_trains_each_arm_once_at_the_middle_of_the_grid(evidence):
    found = experiment.rehearse_briefly(TUNED)
    assert list(found.models) == [("RNN", 40), ("GRU", 40)]
    assert (found.table.lr == 0.01).all() and found.tuning.shape == (3, 2)
    assert not evidence.exists()


# ---------------------------------------------------------------- a reader's own


@pytest.mark.slow
def test_without_evidence_an_experiment_is_the_readers_own(evidence):
    found = conduct(replace(SMALL, seeds=range(40, 50)), 1, READ)
    assert found.own and found.stored is None and found.networks == experiment.OWN_SEEDS == 4
    assert found.line.startswith("toy: your own experiment, 4 networks trained here (")
    assert not evidence.exists()


@pytest.mark.slow
@pytest.mark.parametrize("count", [None, 2])
def test_a_change_trains_few_seeds_beside_the_stored_ones(evidence, monkeypatch, count):
    proved = prove(DESIGN)
    seen = trained(monkeypatch)
    found = conduct(replace(OTHER, seeds=range(40, 48)), 1, replace(READ, seeds=count))
    assert found.own and len(seen) == 2 * (count or 4) == found.networks == len(found.models)
    assert found.why == "settings batch_size is 5 here, 8 in the evidence"
    pd.testing.assert_frame_equal(found.stored.table, proved.table)
    assert found.final("test_loss").attrs["own"] and "your own experiment" in found.line


@pytest.mark.slow
def test_another_arm_is_tuned_and_known_ones_keep_their_rates(evidence, monkeypatch):
    prove(TUNED)
    seen = trained(monkeypatch)
    found = conduct(replace(TUNED, arms={**ARMS, "wide": gru}), 1, replace(READ, seeds=1))
    assert [key for key in seen if len(key) == 3] == [("wide", r, 100) for r in (1e-5, 0.01, 100.0)]
    assert list(found.tuning) == list(found.models and ["RNN", "GRU", "wide"])
    assert found.chosen["lr"]["RNN"] == 0.01 and found.own


@pytest.mark.slow
def test_an_own_grid_is_searched_anew_and_may_end_at_its_edge(evidence):
    prove(TUNED)
    found = conduct(replace(TUNED, tune={"lr": [0.01, 100.0]}), 1, replace(READ, seeds=1))
    assert found.chosen == {"lr": {"RNN": 0.01, "GRU": 0.01}}
    assert found.tuning.index.tolist() == [0.01, 100.0]


@pytest.mark.slow
def test_fewer_seeds_train_nothing(evidence, monkeypatch):
    proved = prove(DESIGN)
    seen = trained(monkeypatch)
    found = conduct(replace(DESIGN, seeds=(41, 42)), 0, READ)
    assert seen == [] and not found.own and found.seeds == [41, 42]
    expected = proved.table[proved.table.seed > 40].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.table, expected)


@pytest.mark.slow
def test_more_seeds_train_only_the_missing_ones_and_only_once(evidence, monkeypatch):
    prove(TUNED)
    seen = trained(monkeypatch)
    more = replace(TUNED, seeds=(41, 42, 43, 44))
    first, again = conduct(more, 0, READ), conduct(more, 0, READ)
    assert sorted(seen) == [("GRU", 43), ("GRU", 44), ("RNN", 43), ("RNN", 44)]
    assert first.own and first.networks == 8 and first.why == "seeds beyond those of the evidence"
    assert first.seeds == [41, 42, 43, 44] and (first.table.lr == 0.01).all()
    pd.testing.assert_frame_equal(first.table, again.table)
    assert set(again.models) == set(seen)


def interrupt_at(count: int) -> Callable[[str, int], None]:
    left = iter(range(count))

    def tick(arm: str, updates: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return tick


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on_with_all_its_networks(evidence, monkeypatch):
    how = replace(READ, seeds=2)
    undisturbed = conduct(OTHER, 1, replace(how, mode="read"))
    experiment.shutil.rmtree(experiment.build_folder())
    seen = trained(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        conduct(OTHER, 1, replace(how, tick=interrupt_at(20)))
    assert seen == [("GRU", 40), ("GRU", 41), ("RNN", 40)]
    found = conduct(OTHER, 1, how)
    assert seen[3:] == [("RNN", 40), ("RNN", 41)]
    pd.testing.assert_frame_equal(found.table, undisturbed.table)
    for key, model in undisturbed.models.items():
        for name, weight in model.state_dict().items():
            assert torch.equal(found.models[key].state_dict()[name], weight)


@pytest.mark.slow
def test_an_interrupted_search_for_rates_goes_on(evidence, monkeypatch):
    how = replace(READ, seeds=1)
    with pytest.raises(KeyboardInterrupt):
        conduct(TUNED, 1, replace(how, tick=interrupt_at(20)))
    seen = trained(monkeypatch)
    conduct(TUNED, 1, how)
    assert seen[0] == ("GRU", 100.0, 100) and len(seen) == 6 - 2 + 2


@pytest.mark.slow
def test_what_was_kept_of_other_code_is_not_taken(evidence, monkeypatch):
    how = replace(READ, seeds=1)
    conduct(OTHER, 1, how)
    seen = trained(monkeypatch)
    conduct(changed(OTHER, batch_size=6), 1, how)
    conduct(replace(OTHER, arms={**ARMS, "RNN": gru}), 1, how)
    assert len(seen) == 4


@pytest.mark.slow
def test_kept_weights_that_are_damaged_are_trained_anew(evidence, monkeypatch, tmp_path):
    how = replace(READ, seeds=1)
    conduct(OTHER, 1, how)
    one, other = sorted((tmp_path / "build").rglob("*.safetensors"))
    one.write_bytes(one.read_bytes()[:100])
    other.unlink()
    seen = trained(monkeypatch)
    assert conduct(OTHER, 1, how).networks == len(seen) == 2


def test_a_disk_that_takes_nothing_is_no_readers_trouble(evidence, monkeypatch):
    monkeypatch.setattr(experiment, "build_folder", lambda: Path("/proc/none/build"))
    assert conduct(OTHER, 1, replace(READ, seeds=1)).networks == 2


@pytest.mark.slow
def test_updates_are_announced_and_counted(evidence):
    announced, ticked = [], []
    how = replace(READ, seeds=1, expect=announced.append, tick=lambda arm, n: ticked.append(n))
    for _ in range(2):  # what was kept counts as well
        conduct(TUNED, 1, how)
        assert sum(announced) == sum(ticked) == 8 * (6 + 2)
        announced.clear(), ticked.clear()


# ---------------------------------------------------------------- refused in words

RENEWED = r"make prove NOTEBOOK=01 EXPERIMENT=toy"


@pytest.mark.slow
@pytest.mark.parametrize("how", [READ, CHECK])
def test_damaged_evidence_is_refused_everywhere(evidence, how):
    prove(SMALL)
    file = store.place("01_toy", "toy")
    file.write_text(file.read_text()[:-100])
    with pytest.raises(EvidenceError, match=rf"toy\.json is malformed .*{RENEWED}"):
        conduct(SMALL, 1, how)


@pytest.mark.slow
def test_a_network_trained_here_that_strays_is_refused(evidence):
    prove(SMALL)
    file = store.place("01_toy", "toy")
    record = store.read(file)
    record.table["valid_loss"] += 100.0
    store.write(record, file)
    with pytest.raises(EvidenceError, match=rf"GRU, 40: the last valid_loss is .*{RENEWED}"):
        conduct(SMALL, 1, CHECK)


@pytest.mark.slow
@pytest.mark.parametrize("how", [READ, PROVE, CHECK])
def test_an_arm_that_cannot_be_built_is_named(evidence, how):
    prove(SMALL)

    def broken():
        raise RuntimeError("no such layer")

    design = replace(SMALL, arms={"GRU": gru, "broken": broken})
    with pytest.raises(EvidenceError, match="toy: the network of arm 'broken' cannot be built"):
        conduct(design, 1, how)
    assert store.read(store.place("01_toy", "toy")).table.arm.unique() == ["GRU"]


def test_a_read_only_disk_ends_a_proof_before_it_trains(evidence, monkeypatch):
    monkeypatch.setattr(store.os, "access", lambda *_: False)
    seen = trained(monkeypatch)
    with pytest.raises(EvidenceError, match=rf"read-only.*{RENEWED}"):
        prove(SMALL)
    assert seen == []


def test_timings_and_networks_are_not_taken_for_each_other(evidence):
    declared = {"repetitions": 1, "measures": ["a"]}
    table = pd.DataFrame({"repetition": [0], "step": [1], "a": [2.0]})
    store.write(store.Record("01_toy", "toy", declared, table), store.place("01_toy", "toy"))
    with pytest.raises(EvidenceError, match="is networks that are trained here, timings in the"):
        conduct(SMALL, 1, CHECK)
    assert conduct(SMALL, 1, READ).own


# ---------------------------------------------------------------- proofs


@pytest.mark.slow
def test_an_audit_tells_of_every_network_that_was_drawn(evidence, shown, tmp_path):
    conduct(SMALL, 0, PROVE)
    report = tmp_path / "audit.jsonl"
    conduct(SMALL, 0, Circumstances("audit", audited={"toy": [1, 0]}, report=report))
    said = [json.loads(line) for line in report.read_text().splitlines()]
    equal = {"experiment": "01_toy/toy", "found": "equal", "why": ""}
    keys = [str(run.key) for run in SMALL.runs({})]
    assert said == [equal | {"network": keys[1]}, equal | {"network": keys[0]}]


@pytest.mark.slow
def test_a_proof_that_goes_on_skips_what_it_finished(evidence, monkeypatch):
    begun = replace(PROVE, proof="a")
    conduct(SMALL, 0, begun)
    seen = trained(monkeypatch)
    conduct(SMALL, 0, begun), conduct(SMALL, 0, replace(PROVE, stale=True))
    assert seen == []
    conduct(SMALL, 0, replace(PROVE, proof="b"))
    assert len(seen) == 2
    conduct(changed(SMALL, batch_size=5), 0, replace(PROVE, stale=True))
    assert len(seen) == 4


@pytest.mark.slow
def test_a_stack_that_trains_otherwise_never_becomes_evidence(evidence, monkeypatch):
    def wrong(models, data, *, lr, **settings):
        return stacked(models, data, lr=[1.001 * rate for rate in lr], **settings)

    stacked = workers.fit_stack
    stack = replace(SMALL, pack=2)
    monkeypatch.setattr(workers, "fit_stack", wrong)
    with pytest.raises(StackError, match=r"GRU, seed 40: network 0 of a stack of 2 differs"):
        prove(stack)
    assert not evidence.exists()
    monkeypatch.setattr(workers, "fit_stack", stacked)
    prove(stack)
    assert conduct(SMALL, 0, CHECK).networks == 2


@pytest.mark.slow
def test_a_replication_takes_the_rates_and_other_seeds(evidence, tmp_path, monkeypatch):
    prove(TUNED)
    seen = trained(monkeypatch)
    how = Circumstances(mode="replicate", root=tmp_path / "replica")
    found = conduct(replace(TUNED, seeds=(5000, 5001)), 0, how)
    assert {key[-1] for key in seen} == {5000, 5001} and len(seen) == 4
    assert found.seeds == [5000, 5001] and (found.table.lr == 0.01).all()
    assert store.read(store.place("01_toy", "tuned")).declared["seeds"] == [40, 41, 42]
    with pytest.raises(EvidenceError, match=r"tuned: seeds \[42\] are in the evidence"):
        conduct(replace(TUNED, seeds=(42, 5000)), 1, how)
    with pytest.raises(EvidenceError, match="settings batch_size"):
        conduct(replace(changed(TUNED, batch_size=5), seeds=(5000,)), 1, how)
    others = replace(how, only="one other")
    assert (
        conduct(replace(TUNED, seeds=(6000,)), 0, others).seeds == [40, 41, 42] and len(seen) == 4
    )


# ---------------------------------------------------------------- killed


def content(file: Path) -> dict:
    kept = json.loads(file.read_text())
    return {name: kept[name] for name in kept if name not in ("made", "sha256")}


def killed_at(moment: int, design: Design) -> bool:
    """Prove in a process that is killed when it touches a file for the `moment`-th time."""

    def work() -> None:
        left = iter(range(moment))

        def perhaps_die() -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        def dying(method: Callable, half: bool) -> Callable:
            def replaced(path, first, *rest, **named):
                perhaps_die()
                if half:
                    method(path, first[: len(first) // 2], *rest, **named)
                    perhaps_die()
                done = method(path, first, *rest, **named)
                perhaps_die()
                return done

            return replaced

        Path.write_text = dying(Path.write_text, half=True)
        Path.replace = dying(Path.replace, half=False)
        conduct(design, 0, PROVE)

    process = get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.slow
def test_a_proof_killed_at_any_moment_ends_in_the_same_file(evidence):
    design = replace(TUNED, arms={"GRU": gru}, seeds=(40, 41), tuning_seeds=(100,), updates=2)
    design = changed(design, steps=4)
    file = store.place("01_toy", "tuned")
    prove(design)
    undisturbed = content(file)
    file.unlink()
    kills = 0
    while killed_at((2, 4, 5)[kills % 3], design):  # every third one ends a file
        assert not file.exists() or content(file) == undisturbed
        kills += 1
    assert kills >= 10 and content(file) == undisturbed
    assert [path.name for path in file.parent.iterdir() if path.suffix == ".json"] == [file.name]


def test_a_full_disk_ends_a_proof_in_words_and_what_was_trained_is_kept(evidence, monkeypatch):
    def full(path: Path, text: str) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(store, "write_whole", full)
        with pytest.raises(EvidenceError, match=rf"cannot be written \(.*No space.*{RENEWED}"):
            prove(SMALL)
    seen = trained(monkeypatch)
    prove(SMALL)
    assert seen == []


@pytest.mark.slow
def test_evidence_survives_a_kill_while_it_is_renewed(evidence):
    prove(SMALL)
    file = store.place("01_toy", "toy")
    other = changed(SMALL, batch_size=5)
    before, moment = file.read_bytes(), 1
    while killed_at(moment, other):
        assert file.read_bytes() == before or not math.isnan(store.read(file).table.step.max())
        moment += 4
    assert store.read(file).declared["settings"]["batch_size"] == 5 and moment > 10


def test_a_run_that_names_no_updates_counts_as_one_in_the_progress_bar():
    announced = []
    runs = [Run("A", 0, {}, ()), Run("B", 0, {"steps": 3}, ())]
    experiment._announce(runs, replace(READ, expect=announced.append))
    assert announced == [4]
