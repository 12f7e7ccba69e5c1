"""Train the small character model of this folder, plays-lstm.safetensors: six CPU minutes.

    python data/sets/train_model.py    train on one core, write plays-lstm.safetensors

An LSTM of 160 units on plays-train.txt, twice: without dropout and with. The one of lower loss on
plays-valid.txt after its last update is kept; the test text chooses nothing. What it is for is
told in data/sets/README.md.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import pandas as pd
import torch

from helpers import data, text, training
from helpers.nets import recurrent
from helpers.nets.sequences import LanguageModel
from helpers.nets.starts import initialise
from helpers.text import language
from helpers.training import checkpoints
from helpers.training.batches import reading_order

TARGET = ROOT / "data" / "sets" / "plays-lstm.safetensors"
SEED, STEPS, LR, BATCH, LENGTH = 0, 6000, 0.006, 32, 64
DROPOUTS = (0.0, 0.25)


def train(dropout: float) -> tuple[LanguageModel, pd.DataFrame]:
    """The model after its last update, and its history."""
    plays = data.load_plays()
    vocabulary = text.Vocabulary.build(text.characters(plays.train))
    ids = [vocabulary.encode(text.characters(part)) for part in plays]
    plays_data = language.text_data("plays", *ids, vocabulary, LENGTH)

    def build() -> language.Stateful:
        model = LanguageModel(len(vocabulary), recurrent.LSTM(32, 160), dropout=dropout)
        return language.Stateful(model, BATCH, len(plays_data.train.y))

    model = initialise(build, SEED)
    recipe = {"lr": LR, "batch_size": BATCH, "clip": 1.0, "schedule": training.linear_decay}
    recipe |= {"order": reading_order, "evaluate_every": STEPS // 20}
    return model.model, training.fit(model, plays_data, steps=STEPS, seed=SEED, **recipe)


def store(trained: dict[float, tuple[LanguageModel, pd.DataFrame]]) -> None:
    """Write the best by validation loss, with the losses of all along the way as notes."""
    best = min(trained, key=lambda dropout: trained[dropout][1].valid_loss.iloc[-1])
    columns = ["step", "train_loss", "valid_loss"]
    curves = {d: h[columns].round(4).values.tolist() for d, (_, h) in trained.items()}
    recipe = {"seed": SEED, "updates": STEPS, "lr": LR, "batch": BATCH, "length": LENGTH}
    notes = {
        "made by": "data/sets/train_model.py",
        "recipe": json.dumps(recipe | {"dropout": best}),
        "update, train and valid loss by dropout": json.dumps(curves),
        "torch": torch.__version__,
    }
    train_text = data.load_plays().train
    vocabulary = text.Vocabulary.build(text.characters(train_text))
    checkpoints.save(TARGET, trained[best][0], vocabulary, notes, torch.float16)


if __name__ == "__main__":
    store({dropout: train(dropout) for dropout in DROPOUTS})
