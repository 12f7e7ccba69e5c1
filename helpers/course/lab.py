"""A notebook's lab: experiments with their evidence, verdicts, predictions, the closing line.

>>> lab = Lab("01_cnn_filters")
>>> lab.seeds(3)
[40, 41, 42]
"""

import itertools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from helpers.course import answers, cards, predictions
from helpers.course.progress import Progress
from helpers.data import Source, resolve_device, threads
from helpers.evidence import findings, frozen, store, timings
from helpers.evidence.closing import PROFILES, Closing
from helpers.evidence.experiment import (
    MODES,
    STRICT,
    Circumstances,
    Design,
    Experiment,
    Grid,
    Here,
    conduct,
    rehearse_briefly,
)
from helpers.evidence.machine import machine
from helpers.evidence.registry import Claim, ClaimError, registry
from helpers.evidence.replay import UPDATES
from helpers.evidence.store import EvidenceError
from helpers.evidence.verdicts import Verdict, judge
from helpers.nets import Build
from helpers.training import Runs, fit

FIRST_SEED = 40  # seeds 0-2 were spent on pilots, 10-37 on designing the experiments
EXPLORING = 200  # the first seed of mode explore, whatever a notebook says
TUNING_SEEDS = (100, 101, 102)  # learning rates are chosen on these and never judged on them
MOST = TUNING_SEEDS[0] - FIRST_SEED

T = TypeVar("T")


class Lab:
    """Everything a notebook's parameters decide, and the record of what it found.

    How experiments are conducted is said by the variable EVIDENCE of the environment: a mode of
    `experiment.MODES`, or JSON with the fields of `Circumstances`.

    Raises ValueError for an unknown profile or mode, or a number of seeds or threads that is not
    positive, DataError for a device that is absent.
    """

    def __init__(
        self,
        notebook: str,
        profile: str = "standard",
        seeds: int | None = None,
        device: str = "auto",
    ):
        if profile not in PROFILES:
            raise ValueError(f"profile is {profile!r}: choose one of {', '.join(PROFILES)}")
        if seeds is not None and (type(seeds) is not int or not 1 <= seeds <= MOST):
            raise ValueError(f"seeds is {seeds!r}: give a whole number from 1 to {MOST}, or None")
        self.notebook, self.profile = notebook, profile
        self.device = resolve_device(device)
        self.verdicts: dict[str, Verdict] = {}
        self.experiments: dict[str, Experiment] = {}
        self._names: set[str] = set()
        self._shown: set[str] = set()
        self.how = replace(_circumstances(), seeds=seeds)
        self._started = time.perf_counter()
        torch.set_num_threads(threads())

    def pick(self, *, smoke: T, standard: T) -> T:
        """The value that belongs to the profile."""
        return {"smoke": smoke, "standard": standard}[self.profile]

    def seeds(self, standard: int, first: int = FIRST_SEED) -> list[int]:
        """Fresh seeds to judge by: as many as the profile or the notebook's parameter says.

        `first` skips seeds on which an earlier design of the experiment was judged.
        """
        first = self.how.first_seed or (EXPLORING if self.how.mode == "explore" else first)
        count = self.how.seeds or self.pick(smoke=1, standard=standard)
        fresh = (seed for seed in itertools.count(first) if seed not in TUNING_SEEDS)
        return list(itertools.islice(fresh, count))

    def steps(self, standard: int) -> int:
        """Number of updates: a tenth at profile smoke."""
        return self.pick(smoke=max(1, standard // 10), standard=standard)

    def experiment(
        self,
        name: str,
        arms: Mapping[str, Build],
        data: Source,
        *,
        seeds: Sequence[int] | Mapping[str, Sequence[int]],
        tune: Grid | None = None,
        tuning_seeds: Sequence[int] = TUNING_SEEDS,
        trials: Mapping[str, Any] | None = None,
        metric: str = "valid_loss",
        grid: Grid | None = None,
        train: Callable[..., pd.DataFrame] = fit,
        measure: Callable[..., Mapping[str, float]] | None = None,
        here: Here = 1,
        updates: int = UPDATES,
        pack: int | None = None,
        **settings: Any,
    ) -> Experiment:
        """Train every arm on every seed, or bring back what the evidence says of it.

        `arms`, `data`, `seeds`, `grid`, `train`, `measure` and `settings` are those of
        `training.fit_many`. Where `data` is a function from a seed to a dataset, such as
        `data.Resplit`, the seed decides it, as it does start, order and dropout.
        The settings in `tune` are chosen for every arm by `metric` on validation data, on
        `tuning_seeds`, which are never judged; `trials` are settings that differ in those runs
        (such as fewer steps, or other `data`).
        `measure(model, data)` returns named numbers of a network in evaluation mode; it computes in
        the dtype of the data it is given, and the replay gives it a small part in float64.

        Where declaration and replay (the first `updates` of each arm) agree with the evidence, its
        table of all seeds comes back, and `here` networks of every arm, or so many of the arms it
        names, are trained in this cell.
        Where something was changed it trains here, on few seeds, and is the reader's own.

        Raises EvidenceError for evidence that is missing, damaged or of another experiment, where
        outputs are checked; ValueError as `fit_many`.
        """
        design = Design(
            self.notebook,
            name,
            arms,
            data,
            seeds,
            settings,
            tune=tune,
            tuning_seeds=tuning_seeds,
            trials=trials or {},
            metric=metric,
            grid=grid,
            train=train,
            measure=measure,
            updates=updates,
            pack=pack,
        )
        if self.profile == "smoke":
            return rehearse_briefly(design)
        self._only_one(name)
        with Progress(name, show=self.how.mode == "read") as progress:
            how = replace(self.how, tick=progress.tick, expect=progress.expect)
            done = conduct(design, 0 if grid and here == 1 else here, how)
            progress.line = done.line
        self.experiments[name] = done
        return done

    def stored(self, name: str) -> Runs:
        """The stored runs of an experiment of this notebook, without networks, nothing replayed.

        Raises EvidenceError where there is no evidence that can be read.
        """
        here, committed = (store.place(self.notebook, name, r) for r in (self.how.root, None))
        record = store.read(here if here.exists() else committed)
        return Runs(record.table, {}, tuple(record.declared.get("grid", {})))

    def hero(self, name: str, draw: Callable[[Runs], Any]) -> Any:
        """What `draw` returns for the stored runs of an experiment that comes further down.

        Where its evidence is missing or tells of another experiment, a sentence stands in the
        picture's place and the notebook goes on. Where outputs are checked that is an error, and
        `close` raises EvidenceError for a picture whose experiment was not replayed.
        """
        self._shown.add(name)
        try:
            return draw(self.stored(name))
        except Exception as error:  # a picture for other evidence may fail in any way
            if self.how.mode in STRICT:
                raise
            print(f"The picture that belongs here cannot be drawn from the evidence: {error}")

    def _only_one(self, name: str) -> None:
        """Raise EvidenceError for a name that came before, unless a cell may just be run again."""
        if self.how.mode != "read" and name in self._names:
            cure = "give each a name of its own"
            raise EvidenceError(f"two experiments of {self.notebook} are called {name!r}: {cure}")
        self._names.add(name)

    def timings(
        self,
        name: str,
        measure: Callable[[int], Mapping[str, float]],
        repetitions: int,
        here: int = 1,
    ) -> pd.DataFrame:
        """Named times or ratios of every repetition, on the machine that the evidence names.

        Timings cannot be replayed: `here` repetitions are measured on this machine and shown
        beside the stored ones. Returns a row per repetition, whose index counts from 0.
        """
        if self.profile == "smoke":
            return pd.DataFrame([measure(0)]).rename_axis("repetition")
        self._only_one(name)
        return timings.conduct(self.notebook, name, measure, repetitions, here, self.how)

    answer = staticmethod(answers.answer)

    def predict(self, chances: Mapping[str, float | None]) -> None:
        """Keep the reader's chances, from 0 to 1, that claims come out *true*; None: no guess.

        Raises ValueError for what is no probability, ClaimError for a claim of another notebook.
        """
        for claim_id in chances:
            self._own(claim_id)
        predictions.keep(self.notebook, chances)

    def _own(self, claim_id: str) -> Claim:
        """A claim of this notebook. Raises ClaimError for any other."""
        known = registry().get(claim_id)
        if known is None or known.notebook != self.notebook:
            settled = f"belongs to notebook {known.notebook}" if known else "is not registered"
            raise ClaimError(f"{claim_id} {settled}")
        return known

    def judge(self, claim_id: str, effects: Mapping[str, Sequence[float] | bool]) -> None:
        """Judge a claim by effects computed from the evidence, and show the verdict.

        Where they are not what was found on the committed evidence, the reader has changed
        something: the verdict is provisional and stands beside the one that was found; where
        outputs are checked it is an error. At profile smoke the verdict reads NOT RUN. A Series or
        DataFrame of effects brings the seeds along as its index. The verdict stays in
        `lab.verdicts`. Raises ClaimError for a claim of another notebook.
        """
        claim = self._own(claim_id)
        effects = {name: self._on_common_seeds(of_test) for name, of_test in effects.items()}
        unproved = any(done.declared for done in self.experiments.values())
        run = self.profile != "smoke" and self.how.mode != "register" and not unproved
        verdict = judge(claim_id, effects, run=run)
        found = None
        if verdict.run:
            seeds = {name: table.index.tolist() for name, table in _tables(effects).items()}
            verdict, found = self._held_against(claim, verdict, seeds)
        self.verdicts[claim_id] = verdict
        here = {  # which effects were measured on networks trained here
            name: table.index.isin(table.attrs.get("here", [])).tolist()
            for name, table in _tables(effects).items()
        }
        cards.show_verdict(verdict, found, here)

    def _on_common_seeds(self, effects: Any) -> Any:
        """Effects without the seeds that a changed experiment, trained on few, does not have."""
        own = [set(done.table["seed"]) for done in self.experiments.values() if done.own]
        if not own or not isinstance(effects, pd.Series | pd.DataFrame):
            return effects
        known = effects.index.isin(effects.dropna().index)
        return effects.loc[known | effects.index.isin(set.intersection(*own))]

    def _held_against(
        self, claim: Claim, verdict: Verdict, seeds: Mapping[str, Sequence[int]]
    ) -> tuple[Verdict, Verdict | None]:
        """The verdict to show, and the one that was found where that is another."""
        if self.how.mode in ("refresh", "prove", "replicate"):
            if too_few := _too_few(verdict):
                raise ClaimError(f"{claim.id}: {too_few}")
            findings.write(verdict, machine(), seeds, self.how.root)
            return verdict, None
        finding, reason = findings.find(claim)
        if finding:
            reason = findings.disagreement(verdict, finding)
        if finding and not reason and self.how.mode != "explore":
            computed = not findings.disagreement(verdict, finding, findings.EXACT)
            return (verdict if computed else finding.verdict), None
        if self.how.mode not in ("read", "explore"):
            cure = f"make refresh NOTEBOOK={self.notebook[:2]}"
            raise ClaimError(f"{claim.id} is not what was found: {reason}. To renew it: {cure}")
        return replace(verdict, provisional=True), finding.verdict if finding else None

    def close(self) -> Closing:
        """The closing line: networks stored and trained here, verdicts, seconds, versions.

        In mode register the notebook's design is frozen: its experiments and its claims' tests.
        Raises EvidenceError in a check for a `hero` whose experiment did not come.
        """
        unproved = self._shown - set(self.experiments)
        if unproved and self.how.mode in STRICT and self.profile != "smoke":
            raise EvidenceError(f"shown above, but not replayed in {self.notebook}: {unproved}")
        if self.how.mode == "register":
            declared = {name: done.declared for name, done in self.experiments.items()}
            frozen.write(self.notebook, declared)
        done = self.experiments.values()
        stored = [experiment.stored if experiment.own else experiment for experiment in done]
        return Closing(
            self.notebook,
            sum(runs.networks for runs in stored if runs),
            sum(len(experiment.models) for experiment in done),
            {claim_id: verdict.word for claim_id, verdict in self.verdicts.items()},
            time.perf_counter() - self._started,
            f"profile {self.profile}, {self.device}, PyTorch {torch.__version__}",
        )


def _too_few(verdict: Verdict) -> str:
    """Which test rests on fewer seeds than it is registered for."""
    for outcome in verdict.outcomes:
        registered = outcome.test.seeds or verdict.claim.seeds
        if outcome.test.kind != "assertion" and len(outcome.effects) < registered:
            return f"{outcome.test.name} is registered for {registered} seeds"
    return ""


def _tables(effects: Mapping[str, Any]) -> dict[str, pd.Series | pd.DataFrame]:
    """The effects whose index names their seeds."""
    return {k: v for k, v in effects.items() if isinstance(v, pd.Series | pd.DataFrame)}


def _circumstances() -> Circumstances:
    """What the environment says about how experiments are conducted."""
    text = os.environ.get("EVIDENCE") or "read"
    given = json.loads(text) if text.startswith("{") else {"mode": text}
    if given.get("mode") not in MODES:
        raise ValueError(f"EVIDENCE is {text!r}: its mode is one of {', '.join(MODES)}")
    paths: dict[str, Any] = {n: Path(given.pop(n)) for n in ("root", "report") if given.get(n)}
    return Circumstances(**given, **paths)
