"""The tasks of `many.py`: data, settings, and the network twice, as users write it and as ours.

Imports nothing that sets the number of threads: the plain loop runs with torch's default.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import TensorDataset
from torchvision import transforms

from helpers.data.dataset import Dataset, Split
from helpers.data.loading import DIGITS, load
from helpers.data.mnist1d import make_mnist1d
from helpers.nets.cnn import CNN1D, SimpleCNN
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import LastStep

INPUTS, HIDDEN, CLASSES = 8, 32, 10  # of the recurrent networks
TRAIN, HELD_OUT = 2000, 64  # sequences to train on; examples in each other split
NOISE = 1.5  # standard deviation of what hides the sinusoids, whose amplitude is 1
CELLS = {"rnn": (nn.RNN, RNN), "lstm": (nn.LSTM, LSTM), "gru": (nn.GRU, GRU)}


@dataclass(frozen=True)
class Task:
    """One row of the table; every system trains with Adam at `lr` on batches of `batch_size`."""

    name: str
    data: Dataset  # on the CPU; valid and test cut to HELD_OUT, evaluation is not measured here
    batch_size: int
    plain: Callable[[], nn.Module]  # with torch's own layers
    ours: Callable[[], nn.Module]
    lr: float = 1e-3
    examples: Callable[[Dataset], TorchDataset] = lambda data: TensorDataset(*data.train)

    @property
    def parameters(self) -> int:
        """Number of parameters of the network that users write."""
        return count(self.plain())


class PlainRecurrent(nn.Module):
    """What `LastStep` computes, with torch's recurrent layer, batch first."""

    def __init__(self, layer: type[nn.RNNBase]):
        super().__init__()
        self.layer = layer(INPUTS, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.layer(x)
        return self.head(outputs[:, -1])


class Pictures(TorchDataset):
    """Digits as torchvision's MNIST hands them out: a picture at a time, through transforms."""

    def __init__(self, data: Dataset):
        pixels = (data.train.x[:, 0] * data.std + data.mean) * 255
        self.pixels, self.labels = pixels.round().byte(), data.train.y.tolist()
        normalise = transforms.Normalize((data.mean,), (data.std,))
        self.transform = transforms.Compose([transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.pixels[index].numpy(), mode="L")
        return self.transform(picture), self.labels[index]


def our_recurrent(cell: type[nn.Module]) -> nn.Module:
    """The same network from the course's cell."""
    return LastStep(cell(INPUTS, HIDDEN), CLASSES)


def count(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())


def sinusoids(length: int) -> Dataset:
    """Noisy sequences (length, INPUTS): class c has c + 1 periods, and phases of its own."""
    random = np.random.default_rng(list(b"sinusoids"))
    phases = random.uniform(0, 2 * np.pi, (CLASSES, 1, INPUTS))
    periods = np.arange(1, CLASSES + 1)[:, None, None] * np.linspace(0, 1, length)[:, None]
    shapes = np.sin(2 * np.pi * periods + phases)  # (classes, length, inputs)
    y = random.integers(CLASSES, size=TRAIN + 2 * HELD_OUT)
    x = shapes[y] + NOISE * random.standard_normal((len(y), length, INPUTS))
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    cuts = slice(TRAIN), slice(TRAIN, TRAIN + HELD_OUT), slice(TRAIN + HELD_OUT, None)
    return Dataset(f"sinusoids-{length}", *(Split(x[s], y[s]) for s in cuts), DIGITS, 0.0, 1.0)


def _recurrent(kind: str, length: int) -> Task:
    layer, cell = CELLS[kind]
    plain, ours = partial(PlainRecurrent, layer), partial(our_recurrent, cell)
    return Task(f"{kind}-{length}", sinusoids(length), 32, plain, ours, lr=3e-3)


TASKS: dict[str, Callable[[], Task]] = {
    "simple-cnn": lambda: Task(
        "simple-cnn", load("mnist-5k"), 64, SimpleCNN, SimpleCNN, examples=Pictures
    ),
    "simple-cnn-tensors": lambda: Task(
        "simple-cnn-tensors", load("mnist-5k"), 64, SimpleCNN, SimpleCNN
    ),
    "cnn1d": lambda: Task("cnn1d", make_mnist1d(), 64, CNN1D, CNN1D, lr=3e-3),
    **{f"{kind}-{t}": partial(_recurrent, kind, t) for t in (50, 100) for kind in CELLS},
}


@cache
def make_task(name: str) -> Task:
    """The task of that name, built once a process."""
    task = TASKS[name]()
    held_out = {s: Split(*(p[:HELD_OUT] for p in getattr(task.data, s))) for s in ("valid", "test")}
    return replace(task, data=replace(task.data, **held_out))
