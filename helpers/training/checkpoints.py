"""Trained weights on disk, in the safetensors format: numbers and text, nothing that could run.

A file made by `torch.save` is a pickle, and a pickle may run any code when it is opened. A
safetensors file cannot. Beside the weights it holds the vocabulary, whose fingerprint is compared.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from helpers.data.dataset import DataError
from helpers.text.tokens import Vocabulary


class Checkpoint(NamedTuple):
    """What a file holds: weights by name, the vocabulary, and notes on how they were made."""

    weights: dict[str, Tensor]
    vocabulary: Vocabulary
    notes: dict[str, Any]


def save(
    path: str | Path,
    model: nn.Module,
    vocabulary: Vocabulary,
    notes: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model's weights and its vocabulary, all of it or nothing.

    With `dtype` the weights are rounded to it: torch.float16 halves the file; whole numbers stay.
    Notes are text, numbers and lists of them. Raises DataError for weights that are not finite and
    a file that cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise DataError(f"{path.parent} is no folder: create it first, or name another")
    weights = {name: w.detach().cpu() for name, w in model.state_dict().items()}
    _check_finite(weights, "the run diverged; train again")
    weights = {name: _rounded(w, dtype) for name, w in weights.items()}
    _check_finite(weights, f"it is too large for {dtype}; store float32")
    metadata = {
        "fingerprint": vocabulary.fingerprint,
        "vocabulary": json.dumps(vocabulary.content()),
        "notes": json.dumps(dict(notes or {}), default=_as_json),
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(weights, part, metadata)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error}): name another place") from error


def _rounded(weight: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A copy, as tied weights share one memory and safetensors wants one for each."""
    kept = dtype is None or not weight.is_floating_point()
    return weight.to(weight.dtype if kept else dtype).clone(memory_format=torch.contiguous_format)


def _as_json(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return value.tolist()
    raise DataError(f"{value!r} is a {type(value).__name__}: notes are text, numbers and lists")


def read(path: str | Path) -> Checkpoint:
    """What `save` wrote. Raises DataError for a missing, foreign, unsafe or damaged file."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
        vocabulary = Vocabulary(json.loads(metadata["vocabulary"]))
        notes = json.loads(metadata["notes"])
        vocabulary.require(metadata["fingerprint"])
    except OSError as error:
        cause = error.strerror or str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read ({cause}): name a checkpoint") from error
    except SafetensorError as error:
        if _is_pickle(Path(path)):
            raise DataError(
                f"{path} is a pickle, as torch.save makes them: opening one can run any code, so "
                "it is left closed; save the weights again with checkpoints.save"
            ) from error
        raise DataError(
            f"{path} is damaged or no safetensors file ({error}): copy it anew, or train again"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} holds weights, but no vocabulary of ours ({error!r}): use a file written by "
            "checkpoints.save"
        ) from error
    _check_finite(weights, f"{path} holds a run that diverged; train again")
    return Checkpoint(weights, vocabulary, notes)


def load(path: str | Path, model: nn.Module, vocabulary: Vocabulary | None = None) -> Checkpoint:
    """Put the weights of a file into `model` and return what else the file holds.

    Raises DataError as `read` does, for a model of another shape, and if `vocabulary` is given
    and not the one that the weights were trained with. The model is then left as it was.
    """
    checkpoint = read(path)
    if vocabulary is not None:
        vocabulary.require(checkpoint.vocabulary.fingerprint)
    there = {name: tuple(w.shape) for name, w in checkpoint.weights.items()}
    wanted = {name: tuple(w.shape) for name, w in model.state_dict().items()}
    if there != wanted:
        differ = sorted(n for n in there | wanted if there.get(n) != wanted.get(n))[0]
        raise DataError(
            f"{path} was saved from another model: {differ} is {there.get(differ, 'absent')} in "
            f"the file and {wanted.get(differ, 'absent')} here; build the model as it was trained"
        )
    model.load_state_dict(checkpoint.weights)
    return checkpoint


def _is_pickle(path: Path) -> bool:
    """Whether a file begins like one of torch.save: a zip archive, or a pickle itself.

    The first byte of a pickle may also begin a safetensors file, whose first eight bytes are the
    length of its head, mostly zeros.
    """
    first = path.read_bytes()[:8]
    return first.startswith(b"PK\x03\x04") or (first[:1] == b"\x80" and any(first[2:]))


def _check_finite(weights: Mapping[str, Tensor], cause: str) -> None:
    bad = [n for n, w in weights.items() if w.is_floating_point() and not w.isfinite().all()]
    if bad:
        raise DataError(f"{bad[0]} is not finite: {cause}")
