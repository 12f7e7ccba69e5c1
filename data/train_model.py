"""Train the small character model of this folder, plays-lstm.safetensors: three CPU minutes.

    python data/train_model.py            train on one core and write data/plays-lstm.safetensors

An LSTM of 160 units on plays-train.txt; the last step is kept, and neither validation nor test
text chooses anything. What it is for is told in data/README.md.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from helpers import checkpoints, data, language, recurrent, streams, text  # noqa: E402
from helpers.sequences import LanguageModel  # noqa: E402

SEED, STEPS, LR, BATCH, LENGTH = 0, 6000, 0.006, 32, 64


def main() -> None:
    """Train and store, with the loss along the way in the notes."""
    plays = data.load_plays()
    vocabulary = text.Vocabulary.build(text.characters(plays.train))
    ids = [vocabulary.encode(text.characters(part)) for part in plays]
    plays_data = language.text_data("plays", *ids, vocabulary)
    model = streams.initialise(
        lambda: LanguageModel(len(vocabulary), recurrent.LSTM(32, 160)), SEED
    )
    recipe = {"steps": STEPS, "lr": LR, "batch_size": BATCH, "length": LENGTH}
    history = language.fit_text(model, plays_data, seed=SEED, evaluate_every=STEPS // 20, **recipe)
    curve = history[["step", "train_loss", "valid_loss"]].round(4).values.tolist()
    notes = {"made by": "data/train_model.py", "recipe": json.dumps({"seed": SEED, **recipe})}
    notes |= {"updates, train and valid loss": json.dumps(curve), "torch": torch.__version__}
    target = ROOT / "data" / "plays-lstm.safetensors"
    checkpoints.save(target, model, vocabulary, notes, torch.float16)
    print(history.iloc[-1])


if __name__ == "__main__":
    main()
