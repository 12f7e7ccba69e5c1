"""A notebook's lab book: profile, seeds and device; verdicts with their evidence; the closing line.

>>> lab = Lab("01_cnn_filters", profile="standard")
>>> lab.seeds(3)
[40, 41, 42]
"""

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from helpers import training
from helpers.course import cards, predictions
from helpers.data.dataset import Dataset
from helpers.data.loading import resolve_device
from helpers.evidence import claims, findings, tuning
from helpers.evidence.claims import ROOT, Verdict
from helpers.evidence.closing import PROFILES, Closing
from helpers.nets.starts import Build
from helpers.training import sweeps
from helpers.training.engine import execution

FIRST_SEED = 40  # seeds 0-2 were spent on pilots, 10-37 on designing the experiments
TUNING_SEEDS = (100, 101, 102)  # learning rates are chosen on these and never judged on them
MOST = TUNING_SEEDS[0] - FIRST_SEED

T = TypeVar("T")


class Lab:
    """Everything a notebook's parameters decide, and the record of what it found.

    Raises ValueError for an unknown profile or a number of seeds that is not positive, DataError
    for a device that is absent.
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
        self._seeds, self._started = seeds, time.perf_counter()
        self._trained_before = training.networks_trained()
        execution.use_cache(findings.build_folder() / "cache" / notebook)

    def pick(self, *, smoke: T, standard: T, full: T) -> T:
        """The value that belongs to the profile."""
        return {"smoke": smoke, "standard": standard, "full": full}[self.profile]

    def seeds(self, standard: int, full: int | None = None, first: int = FIRST_SEED) -> list[int]:
        """Fresh seeds to judge by: as many as the profile or the notebook's parameter says.

        `first` skips seeds on which an earlier design of the experiment was judged.
        """
        count = self._seeds or self.pick(smoke=1, standard=standard, full=full or standard)
        fresh = (seed for seed in itertools.count(first) if seed not in TUNING_SEEDS)
        return list(itertools.islice(fresh, count))

    def tuning_seeds(self, standard: int, full: int = len(TUNING_SEEDS)) -> Sequence[int]:
        """Seeds to choose learning rates on; never among those judged by."""
        return TUNING_SEEDS[: self.pick(smoke=1, standard=standard, full=full)]

    def steps(self, standard: int, full: int | None = None) -> int:
        """Number of updates: a tenth at profile smoke."""
        return self.pick(smoke=max(1, standard // 10), standard=standard, full=full or standard)

    def tune(
        self,
        name: str,
        arms: Mapping[str, Build],
        data: Dataset,
        *,
        grid: Mapping[str, Sequence | Mapping[str, Any]],
        seeds: Sequence[int] = TUNING_SEEDS,
        **settings: Any,
    ) -> pd.DataFrame:
        """Mean final validation losses over the grid, as `training.tune` measures them.

        Found in `data/tuning` where the same question was answered before (`make tune` asks it
        again); else measured here and kept in `build/tuning`. At profile smoke one seed is
        trained and nothing kept. `name` tells the notebook's questions apart.
        """
        how = {"grid": grid, "seeds": self.pick(smoke=seeds[:1], standard=seeds, full=seeds)}
        if self.profile == "smoke":
            return training.tune(arms, data, **how, **settings)
        asked = tuning.question(arms, data, **how, settings=settings)
        kept, fresh = (folder / f"{self.notebook}.json" for folder in tuning_folders())
        again = os.environ.get("TUNE") == "again"
        table = None if again else tuning.find(kept, name, asked)
        if table is None:
            table = training.tune(arms, data, **how, **settings)
            tuning.keep(fresh, name, asked, table)
        return table

    def choose(self, losses: pd.DataFrame) -> dict[str, dict[str, Any]]:
        """Each arm's best settings of a table of `tune`; the middle of its grid at smoke."""
        return sweeps.middle(losses) if self.profile == "smoke" else sweeps.best(losses)

    def predict(self, chances: Mapping[str, float | None]) -> None:
        """Keep the reader's chances, from 0 to 1, that claims come out *supported*; None: no guess.

        Raises ValueError for what is no probability, ClaimError for a claim of another notebook.
        """
        for claim_id in chances:
            self._own(claim_id)
        predictions.keep(self.notebook, chances)

    def _own(self, claim_id: str) -> claims.Claim:
        """A claim of this notebook. Raises ClaimError for any other."""
        known = claims.registry().get(claim_id)
        if known is None or known.notebook != self.notebook:
            settled = f"belongs to notebook {known.notebook}" if known else "is not registered"
            raise claims.ClaimError(f"{claim_id} {settled}")
        return known

    def judge(self, claim_id: str, effects: Mapping[str, Sequence[float] | bool]) -> None:
        """Judge a claim (see `claims.judge`), show the verdict and keep the findings.

        At profile smoke the verdict reads NOT RUN; then, and while it is provisional, no evidence
        is kept. A Series or DataFrame of effects brings the seeds along as its index. The verdict
        stays in `lab.verdicts`. Raises ClaimError for a claim of another notebook.
        """
        tables = {k: v for k, v in effects.items() if isinstance(v, pd.Series | pd.DataFrame)}
        seeds = {name: table.index.tolist() for name, table in tables.items()}
        tuned_on = {seed for used in seeds.values() for seed in used} & set(TUNING_SEEDS)
        if tuned_on:
            raise claims.ClaimError(f"{claim_id}: seeds {sorted(tuned_on)} are for tuning only")
        self._own(claim_id)
        verdict = claims.judge(claim_id, effects, run=self.profile != "smoke")
        sampled = [len(o.effects) for o in verdict.outcomes if o.test.kind != "assertion"]
        if self._seeds is None and verdict.run and min(sampled, default=90) < verdict.claim.seeds:
            raise claims.ClaimError(f"{claim_id} is registered for {verdict.claim.seeds} seeds")
        self.verdicts[claim_id] = verdict
        if verdict.run and not verdict.provisional:
            seconds = time.perf_counter() - self._started
            findings.write(verdict, self.profile, str(self.device), seconds, seeds)
        cards.show_verdict(verdict)

    def close(self) -> Closing:
        """The closing line: networks trained, verdicts, seconds, versions.

        What was kept of an interrupted notebook is deleted: the next one measures anew.
        """
        execution.clear_cache()
        return Closing(
            self.notebook,
            training.networks_trained() - self._trained_before,
            {claim_id: verdict.word for claim_id, verdict in self.verdicts.items()},
            time.perf_counter() - self._started,
            f"profile {self.profile}, {self.device}, PyTorch {torch.__version__}",
        )


def tuning_folders() -> tuple[Path, Path]:
    """Where tuning results are committed, and where new ones are written."""
    return ROOT / "data" / "tuning", findings.build_folder() / "tuning"
