"""Out of Python: export through torch.export and ONNX, int8, and reading a stream token by token.

onnx, onnxscript and onnxruntime may be absent (Kaggle's image lacks the last); `missing_packages`
says which are, and everything that needs one raises DeploymentError. Streams need torch only.
"""

import importlib.util
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import CausalCNN, LastStep

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
CONTAINS = {"Conv": "ConvInteger", "Gemm": "MatMulInteger", "MatMul": "MatMulInteger"}
CONTAINS |= {"LSTM": "DynamicQuantizeLSTM", "GRU": "", "RNN": ""}  # no integer kernel for these two


class DeploymentError(RuntimeError):
    """A network that cannot be exported, or a package that is not there."""


# --- export ----------------------------------------------------------------------------------


def missing_packages() -> list[str]:
    """Which of the packages that ONNX needs are absent."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def export(model: nn.Module, x: Tensor) -> torch.export.ExportedProgram:
    """The network as a graph of torch operators, for any batch size; its weights come along.

    `x` is an example (batch, ...). Raises DeploymentError for code that is no graph: loops and
    branches that depend on values, shapes that were turned into numbers.
    """
    batch = ({0: torch.export.Dim("batch")},)
    x = torch.cat([x, x]) if len(x) == 1 else x  # a batch of one would be taken for a constant
    try:
        return torch.export.export(model.eval(), (x,), dynamic_shapes=batch)
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise DeploymentError(f"{type(model).__name__} cannot be exported: {reason}") from error


def save_onnx(program: torch.export.ExportedProgram, path: Path) -> set[str]:
    """Write an exported network as ONNX and return the names of its operators.

    Raises DeploymentError where packages or the folder are missing, or an operator has no
    counterpart.
    """
    _need_packages()
    _need_folder(path)
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the inner life of the exporter
            torch.onnx.export(program, dynamo=True, verbose=False).save(path)  # pyrefly: ignore
    except Exception as error:
        raise DeploymentError(f"an operator was lost on the way to ONNX: {error}") from error
    return {node.op_type for node in onnx.load(path).graph.node}


def run_onnx(path: Path, x: Tensor) -> Tensor:
    """What onnxruntime makes of inputs x (batch, ...) on a CPU with one thread.

    Raises DeploymentError where packages or the file are missing.
    """
    session = onnx_session(path)
    (output, *_) = session.run(None, {session.get_inputs()[0].name: np.asarray(x)})
    return torch.from_numpy(output)


def onnx_session(path: Path):
    """An onnxruntime session on a CPU with one thread; DeploymentError without package or file."""
    _need_packages()
    _need_file(path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def quantise(path: Path, target: Path) -> set[str]:
    """Store weights as int8 and multiply in integers; scales of the inputs are found at run time.

    Returns the operators of `path` that onnxruntime has no such kernel for: they stay float32.
    Raises DeploymentError where packages, the file or the folder are missing.
    """
    _need_packages()
    _need_file(path)
    _need_folder(target)
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a step that dynamic quantisation does not need
    try:
        quantize_dynamic(path, target, weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)
    before, after = ({n.op_type for n in onnx.load(p).graph.node} for p in (path, target))
    return {op for op in before & set(CONTAINS) if CONTAINS[op] not in after}


def _need_packages() -> None:
    if absent := missing_packages():
        raise DeploymentError(f"{', '.join(absent)} not installed: pip install {' '.join(absent)}")


def _need_folder(path: Path) -> None:
    if not Path(path).parent.is_dir():
        raise DeploymentError(f"{Path(path).parent} is no folder: create it first")


def _need_file(path: Path) -> None:
    if not Path(path).is_file():
        raise DeploymentError(f"{path} is not there: write it with save_onnx first")


# --- streams ---------------------------------------------------------------------------------


class WindowStream:
    """Any network as a stream: keeps the last `length` tokens and reads them all, at every token.

    Before the first token there are zeros. What a network without memory has to do.
    """

    def __init__(self, model: nn.Module, length: int, inputs: int):
        self.model, self.window = model.eval(), torch.zeros(1, length, inputs)
        self.nbytes = self.window.nbytes

    @torch.inference_mode()
    def step(self, x: Tensor) -> Tensor:
        self.window = torch.cat([self.window[:, 1:], x[None, None]], dim=1)
        return self.model(self.window)[0]


class CellStream:
    """`LastStep` over an LSTM, a GRU or a plain RNN, one token at a time; keeps its state."""

    def __init__(self, model: LastStep):
        steps: dict[type, Callable] = {LSTM: torch.lstm_cell, GRU: torch.gru_cell}
        steps[RNN] = torch.rnn_tanh_cell
        if type(model.cell) not in steps:
            raise TypeError(
                f"CellStream reads with a plain LSTM, GRU or RNN, not with {model.cell}"
            )
        self.cell = steps[type(model.cell)]
        self.weights = [p.detach() for p in model.cell.parameters()]
        self.head = model.head
        self.state = (torch.zeros(1, model.cell.hidden),) * model.cell.parts
        self.nbytes = sum(part.nbytes for part in self.state)

    @torch.inference_mode()
    def step(self, x: Tensor) -> Tensor:
        old = self.state if len(self.state) > 1 else self.state[0]
        new = self.cell(x[None], old, *self.weights)
        self.state = new if isinstance(new, tuple) else (new,)
        return F.linear(self.state[0], self.head.weight, self.head.bias)[0]


class CNNStream:
    """`LastStep(CausalCNN(...))` one token at a time; every layer keeps what it will see again.

    A convolution's past is a ring: the row that is `reach` steps old makes room for the newest.
    At each token a layer multiplies its taps by one matrix, so nothing is computed twice
    (Le Paine et al. 2016, "Fast WaveNet generation algorithm").
    """

    def __init__(self, model: LastStep):
        if not isinstance(model.cell, CausalCNN):
            raise TypeError(f"CNNStream reads with a CausalCNN, not with {model.cell}")
        cell = model.cell
        self.per_layer, self.head = cell.per_layer, model.head
        self.shortcut = _matrix(cell.shortcut) if isinstance(cell.shortcut, nn.Conv1d) else None
        self.layers = [(*_matrix(conv), conv.dilation[0]) for conv in cell.convolutions]
        self.rings = [
            torch.zeros((conv.kernel_size[0] - 1) * conv.dilation[0], conv.in_channels)
            for conv in cell.convolutions
        ]
        self.nbytes, self.time = sum(ring.nbytes for ring in self.rings), 0

    @torch.inference_mode()
    def step(self, x: Tensor) -> Tensor:
        for n, ((weight, bias, gap), ring) in enumerate(zip(self.layers, self.rings, strict=True)):
            if n % self.per_layer == 0:
                weights = self.shortcut if n == 0 else None
                before = x if weights is None else torch.addmv(weights[1], weights[0], x)
            x = self.convolve(weight, bias, gap, ring, x)
            if (n + 1) % self.per_layer == 0:
                x = (x + before).relu_()
        self.time += 1
        return torch.addmv(self.head.bias, self.head.weight, x)

    def convolve(self, weight: Tensor, bias: Tensor, gap: int, ring: Tensor, x: Tensor) -> Tensor:
        """One convolution at one step: the taps in the ring, oldest first, and the newest, x."""
        reach = len(ring)
        if not reach:
            return torch.addmv(bias, weight, x).relu_()
        old = [ring[(self.time + gap * k) % reach] for k in range(reach // gap)]
        out = torch.addmv(bias, weight, torch.cat([*old, x])).relu_()
        ring[self.time % reach] = x
        return out


def _matrix(layer: nn.Conv1d) -> tuple[Tensor, Tensor]:
    """A convolution's weights as a matrix (out, taps x in) and its bias."""
    assert layer.bias is not None
    return layer.weight.detach().transpose(1, 2).flatten(1).contiguous(), layer.bias.detach()
