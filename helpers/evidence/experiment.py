"""An experiment: declared in one call, proved once on all seeds, replayed wherever it runs.

`conduct` decides by circumstance. Where declaration and replay agree with the evidence, the stored
table of all seeds comes back, and one network of every arm is trained here to look into. Where a
reader changed something, it trains here on few seeds and is the reader's own. In a check that is an
error. A proof trains everything and writes the evidence anew.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from helpers.data.dataset import SPLITS, Dataset
from helpers.data.seeded import Elsewhere, Source, drawn
from helpers.evidence import frozen, replay, store
from helpers.evidence.files import build_folder, write_whole
from helpers.evidence.machine import machine
from helpers.evidence.replay import Difference
from helpers.evidence.store import EvidenceError, Record
from helpers.nets.cnn import parameter_count
from helpers.nets.starts import Build, initialise
from helpers.training import sweeps
from helpers.training.fit import fit
from helpers.training.many import Run, fit_many, losses, planned, unwrapped
from helpers.training.sweeps import Runs

OWN_SEEDS = 4  # on which a reader's own experiment trains
MODES = ("read", "check", "refresh", "prove", "replicate", "audit", "explore", "register")
STRICT = ("check", "refresh", "audit")  # networks trained here are compared with the evidence
SLACK = 0.01  # relative: how far a network trained anew may lie from the stored one

Grid = Mapping[str, Sequence | Mapping[str, Any]]
Here = int | Mapping[str, int]  # how many networks of every arm, or of these, are trained here


@dataclass(frozen=True)
class Design:
    """All that is declared of an experiment; `Lab.experiment` says what the parts mean."""

    notebook: str
    name: str
    arms: Mapping[str, Build]
    data: Source
    seeds: Sequence[int] | Mapping[str, Sequence[int]]
    settings: Mapping[str, Any]
    tune: Grid | None = None
    tuning_seeds: Sequence[int] = ()
    trials: Mapping[str, Any] = field(default_factory=dict)  # settings of the tuning runs alone
    metric: str = "valid_loss"
    grid: Grid | None = None
    train: Callable[..., pd.DataFrame] = fit
    measure: Callable[..., Mapping[str, float]] | None = None
    updates: int = replay.UPDATES
    pack: int | None = None

    def runs(self, chosen: Mapping[str, Any]) -> list[Run]:
        """The runs that are judged. Raises ValueError for settings that `train` does not know."""
        train, settings = unwrapped(self.train, self._settled(chosen))
        return planned(self.arms, self.seeds, dict(self.grid or {}), train, settings)

    def _settled(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """All settings, with what the chosen labels of the tuned grid stand for."""
        settings = dict(self.settings)
        for name, labels in chosen.items():
            axis = (self.tune or {})[name]
            named = isinstance(axis, Mapping)
            settings[name] = {arm: axis[label] if named else label for arm, label in labels.items()}
        return settings

    def middle(self) -> dict[str, Any]:
        """What stands in the middle of every grid that is tuned, for every arm."""
        middles = {name: list(axis)[len(axis) // 2] for name, axis in (self.tune or {}).items()}
        return {name: dict.fromkeys(self.arms, label) for name, label in middles.items()}

    def best(self, tuning: pd.DataFrame | None) -> dict[str, Any]:
        """The settings of the lowest loss, by arm. Raises EvidenceError at the edge of a grid."""
        try:
            return {} if tuning is None else sweeps.best(tuning)
        except ValueError as error:
            raise EvidenceError(f"{self.name}: {error}") from error

    def declared(self) -> dict[str, Any]:
        """What was asked, in words and numbers that JSON keeps.

        Functions are not named: what they do is the replay's business, but a schedule's course.
        """
        _, settings = unwrapped(self.train, self.settings)
        found = {
            "arms": {arm: self._size(arm) for arm in self.arms},
            "data": self._shapes(),
            "seeds": _described(self.seeds),
            "grid": _axes(self.grid),
            "tune": _axes(self.tune),
            "settings": _described(settings),
        }
        if self.tune:
            found |= {"tuning seeds": list(self.tuning_seeds), "chosen by": self.metric}
            trials = {name: value for name, value in self.trials.items() if name != "data"}
            found |= {"trials": _described(trials)}
        return json.loads(json.dumps(found))

    @property
    def elsewhere(self) -> bool:
        """Whether its data is a public set that is not here."""
        return isinstance(self.data, Elsewhere)

    def _shapes(self) -> dict[str, Any]:
        """Shapes of x and y of every split."""
        if self.elsewhere:
            return {}
        data = drawn(self.data, frozen.all_seeds(self.seeds)[0])
        splits = {name: getattr(data, name) for name in SPLITS}
        found = {name: [list(part.shape) for part in split] for name, split in splits.items()}
        return found if isinstance(self.data, Dataset) else found | {"drawn": "by the seed"}

    def _size(self, arm: str) -> int:
        try:
            return parameter_count(initialise(self.arms[arm], 0))
        except Exception as error:
            where = f"{self.name}: the network of arm {arm!r} cannot be built"
            raise EvidenceError(f"{where} ({error!r}): mend its function") from error

    def rehearsed(
        self, chosen: Mapping[str, Any], nudge: replay.Nudge | None = None
    ) -> dict[str, Any]:
        """The replay of the code that is here, at the rates that were chosen."""
        train, _ = unwrapped(self.train, self.settings)
        runs = replay.first_of_each(self.runs(chosen), self.grid or ())
        how = (train, self.measure, self.updates, nudge)
        found = replay.replay(runs, self.arms, self.data, *how)
        if self.tune and "data" in self.trials:
            data = drawn(self.trials["data"], self.tuning_seeds[0])
            found["data of the trials"] = replay.summary(data)
        return found

    def search(self, seeds: Sequence[int], arms: Sequence[str], **how: Any) -> pd.DataFrame:
        """Losses of these arms over the grid that is tuned, on tuning seeds."""
        given = {**self.settings, **self.trials}
        data = given.pop("data", self.data)
        build = {arm: self.arms[arm] for arm in arms}
        how |= {"seeds": seeds, "grid": self.tune, "train": self.train, "pack": self.pack}
        return losses(fit_many(build, data, keep_models=False, **how, **given), self.metric)

    def train_all(self, chosen: Mapping[str, Any], **how: Any) -> Runs:
        """The runs that are judged, trained."""
        given: dict[str, Any] = {"seeds": self.seeds, "grid": self.grid, "measure": self.measure}
        given |= how | {"train": self.train, "pack": self.pack}
        return fit_many(self.arms, self.data, **given, **self._settled(chosen))


def _axes(grid: Grid | None) -> dict[str, Any]:
    """What is tried of every setting: values, or labels and what stands behind each.

    Raises EvidenceError for values without a name that a table could hold.
    """
    axes = {}
    for axis, values in (grid or {}).items():
        named = isinstance(values, Mapping)
        for label in values:
            if not isinstance(label, str if named else str | Real | None):
                cure = "give every value its name, as in {'SGD': SGD, 'Adam': ADAM}"
                raise EvidenceError(f"{axis}: {label!r} cannot stand in a table: {cure}")
        axes[axis] = _described(dict(values) if named else list(values), axis)
    return axes


def _described(value: Any, name: str = "") -> Any:
    """A setting as JSON keeps it; a schedule at eleven points of progress.

    What is behind a function or an object, whatever its name, is the replay's business.
    """
    if isinstance(value, Mapping):
        return {str(key): _described(part, name or str(key)) for key, part in value.items()}
    if name == "schedule" and callable(value):
        return [float(f"{value(k / 10):.9g}") for k in range(11)]
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, np.integer | np.floating):
        return value.item()
    if isinstance(value, Sequence):
        return [_described(part, name) for part in value]
    return "a function" if callable(value) else "an object"


@dataclass(frozen=True)
class Experiment(Runs):
    """Runs of an experiment, with how they came about.

    `models` holds the networks trained here; `tuning` the losses that chose `chosen`, each arm's
    settings as `fit_many` takes them; `own` says that it is not the one in the evidence, which then
    stands in `stored`.
    """

    name: str = ""
    tuning: pd.DataFrame | None = field(default=None, repr=False)
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    line: str = ""
    own: bool = False
    stored: Runs | None = field(default=None, repr=False)
    why: str = ""  # it is the reader's own
    declared: Mapping[str, Any] = field(default_factory=dict, repr=False)  # where it is registered

    def final(self, metric: str = "test_accuracy", diverged: float = math.nan) -> pd.DataFrame:
        """As `Runs.final`; its `attrs` tell figures which seeds were trained here, and by whom."""
        table = super().final(metric, diverged)
        table.attrs = {"here": sorted({key[-1] for key in self.models}), "own": self.own}
        return table


@dataclass(frozen=True)
class Circumstances:
    """How an experiment is conducted here."""

    mode: str = "read"
    root: Path | None = None  # evidence is written there; None: data/evidence
    jobs: int = 1
    seeds: int | None = None  # a reader's own number
    only: str = ""  # the experiments to prove, with blanks between; empty: all
    first_seed: int = 0  # of a replication
    audited: Mapping[str, Sequence[int]] = field(default_factory=dict)  # networks to train again
    report: Path | None = None  # where an audit says what it found
    proof: str = ""  # the name of the proof that goes on: evidence that it made is finished
    stale: bool = False  # all evidence is finished that this code would make
    tick: Callable[[str, int], None] | None = None
    expect: Callable[[int], None] | None = None  # hears how many updates are coming

    def meant(self, name: str) -> bool:
        """Whether a proof or a replication is of this experiment, too."""
        return not self.only or name in self.only.split()


def conduct(design: Design, here: Here, how: Circumstances) -> Experiment:
    """The experiment as it is fitting here. Raises EvidenceError where a check fails."""
    if set(design.tuning_seeds) & set(frozen.all_seeds(design.seeds)):
        raise EvidenceError(f"{design.name}: seeds for tuning are never judged, and some are here")
    if how.mode == "register":
        return _registered(design)
    if how.mode == "explore":
        return _explored(design, how)
    if how.mode == "replicate":
        return _replicated(design, here, how)
    proving = how.mode == "prove" and how.meant(design.name) and not design.elsewhere
    if proving and not _finished(design, how):
        _prove(design, how)
    if how.mode == "prove" and not store.place(design.notebook, design.name, how.root).exists():
        return _registered(design)  # its turn has not come: another one is proved
    record, found = _look_up(design, how)
    if record and not found and how.mode == "audit":
        _audit(design, record, how)
    if record and (not found or how.mode == "prove"):  # while others are proved, the old must do
        return _stored(design, record, here, how)
    if how.mode != "read":
        raise EvidenceError(_refusal(design, found))
    return _own(design, record, found, how)


def _refusal(design: Design, found: Sequence[Difference]) -> str:
    listed = "; ".join(map(str, found[:3])) + (f"; and {len(found) - 3} more" * (len(found) > 3))
    cure = store.renewal(design.notebook, design.name)
    return f"{design.name} is not the experiment of its evidence: {listed}. To renew it: {cure}"


# --- the evidence and this code ----------------------------------------------------------------


def _look_up(design: Design, how: Circumstances) -> tuple[Record | None, list[Difference]]:
    """The stored record, and in what it differs from the code that is here; seeds apart."""
    file = store.place(design.notebook, design.name, how.root)
    if how.mode == "read" and not file.exists():
        return None, [Difference("the experiment", "not there", "new")]
    record = store.read(file)
    if "arms" not in record.declared:
        return None, [Difference("the experiment", "timings", "networks that are trained")]
    asked = replace(design, seeds=record.declared["seeds"])
    here = asked.declared() | ({"data": record.declared["data"]} if design.elsewhere else {})
    found = replay.differences(record.declared, here)
    if not found:
        best = _as_json(design.best(record.tuning))
        found = [] if _tied(record) else replay.differences(record.chosen, best, "chosen")
    if not found:
        kept = int(store.numbered(record.table).max()) + 1
        found = replay.differences(kept, len(asked.runs(record.chosen)), "the number of networks")
    if not found and not design.elsewhere:
        found = _replayed(record, asked)
    if how.mode != "read":
        found += replay.differences(record.declared["seeds"], _described(design.seeds), "seeds")
    return record, found


def _replayed(record: Record, asked: Design) -> list[Difference]:
    """In what the replay differs by more than rounding explains."""
    here = asked.rehearsed(record.chosen)
    found = replay.differences(record.replay, here)
    rounded = record.replay["data"] != here["data"]  # it differs by less than the tolerance
    nudges = (replay.Nudge(seed, rounded) for seed in replay.NUDGES)
    nudged = (asked.rehearsed(record.chosen, nudge) for nudge in nudges)
    return replay.beyond_rounding(found, here, nudged) if found else []


def _tied(record: Record) -> bool:
    """Whether what was chosen for every arm is one of the best in the stored, rounded search.

    Where two are equal but for rounding, the search saw which was lower and the store does not.
    """
    if record.tuning is None:
        return False
    for arm, scores in record.tuning.items():
        chosen = {name: {arm: of[arm]} for name, of in record.chosen.items()}
        equals = scores.index[scores == scores.min()]
        found = [sweeps.lowest(record.tuning.loc[[equal], [arm]]) for equal in equals]
        if all(replay.differences(chosen, _as_json(one)) for one in found):
            return False
    return True


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _stored(design: Design, record: Record, here: Here, how: Circumstances) -> Experiment:
    """The stored table of the seeds that are asked for, and a few networks trained here."""
    axes, missing = tuple(design.grid or {}), {}
    parts = []
    for arm in design.arms:
        wanted, proved = _of_arm(design.seeds, arm), _of_arm(record.declared["seeds"], arm)
        missing[arm] = [seed for seed in wanted if seed not in proved]
        rows = record.table
        parts.append(rows[(rows["arm"] == arm) & rows["seed"].isin(wanted)])
    table = pd.concat(parts, ignore_index=True)
    here = 0 if design.elsewhere else here
    models = _train_here(design, record, here, how) if here else {}
    count, replayed = Runs(table, {}, axes).networks, len(record.replay["networks"])
    line = f"{count} stored networks, {replayed} of them replayed here: equal"
    if isinstance(design.data, Elsewhere):
        line = f"{count} stored networks, none replayed: the full {design.data.name} is not here"
    own: dict[str, Any] = {}
    if any(missing.values()):
        part = _part(design, missing)
        folder = _own_folder(part, record.chosen)
        new = _train_seeds(part, record, how, folder=folder)
        table, models = pd.concat([table, new.table], ignore_index=True), models | new.models
        line = f"{line}; {new.networks} on seeds of your own trained here"
        why = "seeds beyond those of the evidence"
        own = {"own": True, "why": why, "stored": Runs(record.table, {}, axes)}
    elif models:
        line = f"{line}; {len(models)} trained here"
    found = Runs(table, models, axes)
    return _experiment(design, found, line, record.chosen, record.tuning, **own)


def _experiment(
    design: Design,
    runs: Runs,
    line: str,
    chosen: Mapping[str, Any],
    tuning: pd.DataFrame | None,
    **more: Any,
) -> Experiment:
    """These runs as the experiment, and its line."""
    more |= {"name": design.name, "line": f"{design.name}: {line}"}
    return Experiment(runs.table, runs.models, runs.grid, chosen=chosen, tuning=tuning, **more)


def _of_arm(seeds: Sequence[int] | Mapping[str, Sequence[int]], arm: str) -> list[int]:
    return list(seeds[arm] if isinstance(seeds, Mapping) else seeds)


def _part(design: Design, seeds: Mapping[str, Sequence[int]]) -> Design:
    """Some seeds of the arms that have any."""
    arms = {arm: build for arm, build in design.arms.items() if seeds[arm]}
    return replace(design, arms=arms, seeds={arm: seeds[arm] for arm in arms})


def _train_seeds(part: Design, record: Record, how: Circumstances, **more: Any) -> Runs:
    chosen = {
        name: {arm: labels[arm] for arm in part.arms} for name, labels in record.chosen.items()
    }
    _announce(part.runs(chosen), how)
    return part.train_all(chosen, n_jobs=1, tick=how.tick, **more)


def _train_here(design: Design, record: Record, here: Here, how: Circumstances) -> dict:
    """The first networks of every arm, trained; where outputs are checked compared with theirs."""
    seeds = {}
    for arm in design.arms:
        count = here.get(arm, 0) if isinstance(here, Mapping) else here
        first = _of_arm(record.declared["seeds"], arm)[:count]
        seeds[arm] = [seed for seed in first if seed in _of_arm(design.seeds, arm)]
    if not any(seeds.values()):
        return {}
    runs = _train_seeds(_part(replace(design, measure=None), seeds), record, how)
    if how.mode in STRICT:
        for _, row in runs.ends.iterrows():
            key = tuple(row[["arm", *runs.grid, "seed"]])
            if trouble := unlike(row, record.table, key, tuple(design.grid or {})):
                raise EvidenceError(_refusal(design, [trouble]))
    return runs.models


def unlike(
    row: pd.Series,
    table: pd.DataFrame,
    key: tuple,
    axes: tuple[str, ...],
    metrics: Sequence[str] = ("valid_loss",),
) -> Difference | None:
    """In which metric, if any, a network trained here lies outside of its arm in the evidence.

    Rounding grows along a run, and a stack draws other dropout masks: so the last number may lie as
    far from the stored one as the arm's seeds from each other, or a hundredth, but no further.
    """
    ends = _family(table, key, axes).groupby("seed").tail(1).set_index("seed")
    for metric in metrics:
        recorded, here = float(ends[metric].at[key[-1]]), float(row[metric])
        allowed = max(ends[metric].max() - ends[metric].min(), SLACK * abs(recorded))
        same = math.isnan(recorded) == math.isnan(here)
        if not same or abs(here - recorded) > allowed:
            return Difference(f"{', '.join(map(str, key))}: the last {metric}", recorded, here)
    return None


def _family(table: pd.DataFrame, key: tuple, axes: tuple[str, ...]) -> pd.DataFrame:
    """All rows of an arm at one point of the grid."""
    for column, value in zip(["arm", *axes], key[:-1], strict=True):
        table = table[table[column].isna() if pd.isna(value) else table[column] == value]
    return table


def _announce(runs: Sequence[Run], how: Circumstances) -> None:
    if how.expect:
        how.expect(sum(int(run.settings.get("steps", 1)) for run in runs))


def rehearse_briefly(design: Design) -> Experiment:
    """Profile smoke: every arm on one seed, with what stands in the middle of a grid to tune.

    Where the data is elsewhere there is nothing to train on: the evidence is brought back.
    """
    if design.elsewhere:
        record = store.read(store.place(design.notebook, design.name))
        return _stored(design, record, 0, Circumstances())
    seeds = {arm: _of_arm(design.seeds, arm)[:1] for arm in design.arms}
    chosen, tuning = design.middle(), None
    if design.tune:
        tuning = design.search(design.tuning_seeds[:1], list(design.arms), n_jobs=1)
    runs = design.train_all(chosen, seeds=seeds, n_jobs=1)
    line = f"{runs.networks} networks trained, too briefly to say anything"
    return _experiment(design, runs, line, chosen, tuning)


# --- a reader's own ----------------------------------------------------------------------------


def _own(
    design: Design, record: Record | None, found: Sequence[Difference], how: Circumstances
) -> Experiment:
    """Trained here on few seeds, at the evidence's learning rates where the arm has one there."""
    count = how.seeds or OWN_SEEDS
    small = replace(design, seeds={arm: _of_arm(design.seeds, arm)[:count] for arm in design.arms})
    chosen, tuning = _choose_here(small, record, how)
    _announce(small.runs(chosen), how)
    runs = small.train_all(chosen, n_jobs=1, tick=how.tick, folder=_own_folder(small, chosen))
    why = "; ".join(map(str, found[:2]))
    line = f"your own experiment, {runs.networks} networks trained here ({why})"
    stored = Runs(record.table, {}, tuple(record.declared["grid"])) if record else None
    return _experiment(design, runs, line, chosen, tuning, own=True, why=why, stored=stored)


def _choose_here(
    design: Design, record: Record | None, how: Circumstances
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Settings of the evidence for arms that it tuned over this grid, others on one tuning seed."""
    if not design.tune:
        return {}, None
    known = pd.DataFrame()
    if record and record.declared.get("tune") == _as_json(_axes(design.tune)):
        known = known if record.tuning is None else record.tuning
    new = [arm for arm in design.arms if arm not in known]
    tables = [known[[arm for arm in design.arms if arm in known]]]
    if new:
        seeds, points = design.tuning_seeds[:1], math.prod(map(len, design.tune.values()))
        steps = {**design.settings, **design.trials}.get("steps", 1)
        if how.expect and not isinstance(steps, Mapping):
            how.expect(steps * points * len(new))
        tables.append(_search(design, seeds, new, _own_root(design), n_jobs=1, tick=how.tick))
    tuning = pd.concat([table for table in tables if not table.empty], axis=1)[list(design.arms)]
    return sweeps.lowest(tuning), tuning


def _own_root(design: Design) -> Path:
    return build_folder() / "own" / design.notebook / design.name


def _own_folder(design: Design, chosen: Mapping[str, Any]) -> Path | None:
    """Where an interrupted experiment of one's own goes on."""
    return _kept_for(design, chosen, _own_root(design) / "runs")


def _search(
    design: Design, seeds: Sequence[int], arms: Sequence[str], root: Path, **how: Any
) -> pd.DataFrame:
    """The table of losses that is chosen from; it goes on where it was interrupted."""
    folder = _kept_for(design, design.middle(), root / "tuning")
    return design.search(seeds, arms, folder=folder, **how)


def _kept_for(design: Design, chosen: Mapping[str, Any], folder: Path) -> Path | None:
    """`folder`, emptied unless this design and code filled it; None where nothing can be kept."""
    asked = {name: part for name, part in design.declared().items() if name != "seeds"}
    now = _as_json({"declared": asked, "replay": design.rehearsed(chosen)})
    mark = folder / "identity.json"
    try:
        before = json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    try:
        if replay.differences(before, now):
            shutil.rmtree(folder, ignore_errors=True)
            write_whole(mark, json.dumps(now))
    except OSError:
        return None
    return folder


# --- proofs ------------------------------------------------------------------------------------


def _finished(design: Design, how: Circumstances) -> bool:
    """Whether the proof that goes on here has made this experiment's evidence already."""
    try:
        record = store.read(store.place(design.notebook, design.name, how.root))
        here = how.stale or (how.proof and record.made.get("proof") == how.proof)
        return bool(here) and not _look_up(design, how)[1]
    except EvidenceError:
        return False


def _registered(design: Design) -> Experiment:
    """The declaration of an experiment, and a rehearsal of it that says nothing about results."""
    steps = design.settings.get("steps")
    few = dict.fromkeys(steps, design.updates) if isinstance(steps, Mapping) else design.updates
    settings = {**design.settings, **({} if steps is None else {"steps": few})}
    seeds = {arm: _of_arm(design.seeds, arm)[:1] for arm in design.arms}
    brief = replace(design, settings=settings, seeds=seeds)
    runs = brief.train_all(design.middle(), n_jobs=1)
    tuning = None
    if design.tune:
        points = pd.MultiIndex.from_product([list(axis) for axis in design.tune.values()])
        index = points if len(design.tune) > 1 else points.get_level_values(0)
        tuning = pd.DataFrame(math.nan, index.set_names(list(design.tune)), list(design.arms))
    line = f"registered, {len(design.runs(design.middle()))} networks to train"
    return _experiment(design, runs, line, design.middle(), tuning, declared=design.declared())


def _explored(design: Design, how: Circumstances) -> Experiment:
    """Everything trained, nothing kept as evidence; on seeds that are never judged.

    Raises EvidenceError for seeds that frozen designs are judged on.
    """
    judged = [seed for seed in frozen.all_seeds(design.seeds) if seed >= frozen.FIRST_JUDGED]
    if judged:
        raise EvidenceError(f"{design.name}: seeds {judged[:3]} are judged, never explored")
    root = build_folder() / "explore" / design.notebook / design.name
    tuning = None
    if design.tune:
        tuning = _search(design, design.tuning_seeds, list(design.arms), root, n_jobs=how.jobs)
    chosen = {} if tuning is None else sweeps.lowest(tuning)
    runs = design.train_all(
        chosen, n_jobs=how.jobs, folder=_kept_for(design, chosen, root / "runs")
    )
    line = f"explored on {runs.networks} networks"
    return _experiment(design, runs, line, chosen, tuning, own=True, why="explored")


def _refuse_unless_frozen(design: Design) -> None:
    """Raise EvidenceError where a design was frozen and this is another one."""
    found = frozen.refusals(design.notebook, design.name, design.declared())
    listed = [Difference(*difference) for difference in found]
    if listed:
        raise EvidenceError(
            f"{design.name} is not what was registered: {'; '.join(map(str, listed[:3]))}. Prove "
            "what was frozen, or register a new test under a new name: make register "
            f"NOTEBOOK={design.notebook[:2]}"
        )


def _prove(design: Design, how: Circumstances) -> None:
    """Choose settings, train every seed of every arm and write the evidence."""
    _refuse_unless_frozen(design)
    begun, root = time.monotonic(), build_folder() / "prove" / design.notebook / design.name
    store.require_writable(store.place(design.notebook, design.name, how.root))
    tuning = None
    if design.tune:
        seeds, arms = design.tuning_seeds, list(design.arms)
        tuning = _search(design, seeds, arms, root, n_jobs=how.jobs, **_verified(design))
    _write_evidence(design, how, _as_json(design.best(tuning)), tuning, root, begun)


def _write_evidence(
    design: Design,
    how: Circumstances,
    chosen: Mapping[str, Any],
    tuning: pd.DataFrame | None,
    root: Path,
    begun: float,
) -> None:
    """Train all runs, going on where it was interrupted, and write the evidence."""
    folder = _kept_for(design, chosen, root / "runs")
    trained = {"n_jobs": how.jobs, "keep_models": False, **_verified(design)}
    table = design.train_all(chosen, folder=folder, **trained).table
    declared, replayed = design.declared(), design.rehearsed(chosen)
    made = machine() | {
        "proof": how.proof,
        "date": datetime.now().date().isoformat(),
        "seconds": round(time.monotonic() - begun, 1),
        "processes": joblib.effective_n_jobs(how.jobs),
        "device": str(drawn(design.data, frozen.all_seeds(design.seeds)[0]).train.y.device),
        "registered": frozen.commit(design.notebook),
    }
    parts = (design.notebook, design.name, declared, table, tuning, chosen, replayed, made)
    store.write(Record(*parts), store.place(design.notebook, design.name, how.root))
    shutil.rmtree(root, ignore_errors=True)


def _verified(design: Design) -> dict[str, int]:
    return {"verify": design.updates} if unwrapped(design.train, {})[0] is fit else {}


def _audit(design: Design, record: Record, how: Circumstances) -> None:
    """Train the drawn networks again, to their end, and report how they compare."""
    runs, axes = design.runs(record.chosen), tuple(design.grid or {})
    for number in how.audited.get(design.name, ()):
        run = runs[number]
        points = zip(axes, run.labels, strict=True)
        grid = {axis: {label: run.settings[axis]} for axis, label in points}
        alone = replace(design, arms={run.arm: design.arms[run.arm]}, grid=grid, seeds=[run.seed])
        again = alone.train_all(record.chosen, n_jobs=1, keep_models=False).ends.iloc[0]
        family = _family(record.table, run.key, axes)
        stored = family[family.seed == run.seed].iloc[-1]
        metrics = list(stored.index[stored.index.get_loc("step") :])
        trouble = unlike(again, record.table, run.key, axes, metrics)
        found = "alike" if trouble is None else "DIFFERS"
        if all(store.rounded(again[metric]) == store.rounded(stored[metric]) for metric in metrics):
            found = "equal"
        said = {"experiment": f"{design.notebook}/{design.name}", "network": str(run.key)}
        with (how.report or build_folder() / "audit.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(said | {"found": found, "why": str(trouble or "")}) + "\n")


def _replicated(design: Design, here: Here, how: Circumstances) -> Experiment:
    """The same experiment on other seeds, at the rates of the evidence; written to `how.root`.

    One that is not meant stays what the evidence holds.
    """
    record, found = _look_up(design, replace(how, mode="read", root=None))
    both = set(frozen.all_seeds(design.seeds)) & set(
        frozen.all_seeds(record.declared["seeds"] if record else ())
    )
    if both:
        cure = "take all seeds from lab.seeds"
        raise EvidenceError(f"{design.name}: seeds {sorted(both)} are in the evidence: {cure}")
    if found or not record:
        raise EvidenceError(_refusal(design, found))
    if not how.meant(design.name):
        return _stored(replace(design, seeds=record.declared["seeds"]), record, here, how)
    if not _finished(design, how):
        root = build_folder() / "replicate" / design.notebook / design.name
        _write_evidence(design, how, record.chosen, record.tuning, root, time.monotonic())
    new = store.read(store.place(design.notebook, design.name, how.root))
    return _stored(design, new, here, how)
