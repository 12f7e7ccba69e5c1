"""Train the small character model of this folder, plays-lstm.safetensors: three CPU minutes.

    python data/sets/train_model.py    train on one core, write plays-lstm.safetensors

An LSTM of 128 units on plays-train.txt, kept at several stages of one run, so that one can read
what it writes at each. What it is for is told in data/sets/README.md.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch
from torch import nn

from helpers import data, text, training
from helpers.nets import LSTM, LanguageModel, initialise
from helpers.training import checkpoints, reading_order

TARGET = ROOT / "data" / "sets" / "plays-lstm.safetensors"
SEED, LR, BATCH, LENGTH = 0, 0.008, 16, 64
STAGES = (240, 960, 5760)  # updates: a quarter of a pass, one pass, six


def train() -> tuple[nn.ModuleDict, dict]:
    """The network at every stage, by its number of updates, and notes on the run."""
    plays = data.load_plays()
    vocabulary = text.Vocabulary.build(text.characters(plays.train))
    ids = [vocabulary.encode(text.characters(part)) for part in plays]
    plays_data = text.text_data("plays", *ids, vocabulary, LENGTH)
    count = len(plays_data.train.y)

    def build() -> text.Stateful:
        return text.Stateful(LanguageModel(len(vocabulary), LSTM(32, 128)), BATCH, count)

    stages = {step: LanguageModel(len(vocabulary), LSTM(32, 128)) for step in STAGES}

    def keep(step: int, reading: nn.Module) -> None:
        if step in stages:
            stages[step].load_state_dict(reading.model.state_dict())

    recipe = {"lr": LR, "batch_size": BATCH, "clip": 1.0, "schedule": training.linear_decay}
    history = training.fit(
        initialise(build, SEED),
        plays_data,
        steps=STAGES[-1],
        seed=SEED,
        order=reading_order,
        evaluate_every=STAGES[0],
        watch=keep,
        **recipe,
    )
    columns = ["step", "train_loss", "valid_loss"]
    rows = history[columns].round(4).values.tolist()
    how = {"seed": SEED, "lr": LR, "batch": BATCH, "length": LENGTH, "units": 128}
    notes = {
        "made by": "data/sets/train_model.py",
        "recipe": json.dumps(how),
        "update, train and valid loss": json.dumps(rows),
        "torch": torch.__version__,
    }
    return nn.ModuleDict({str(step): model for step, model in stages.items()}), notes


if __name__ == "__main__":
    network, made = train()
    vocabulary = text.Vocabulary.build(text.characters(data.load_plays().train))
    checkpoints.save(TARGET, network, vocabulary, made, torch.float16)
