"""Out of Python: sequence networks as ONNX graphs, and reading a stream token by token.

A graph is written operator by operator: nothing is traced, so it takes milliseconds and the file
holds what the equations say. onnx and onnxruntime may be absent (Kaggle's image lacks the last);
`missing_packages` says which are, and everything that needs one raises DeploymentError.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from helpers.nets.recurrent import GRU, LSTM, RNN, Cell
from helpers.nets.sequences import CausalCNN, LastStep, MaxOverTime, SequenceCell, reach

PACKAGES = ("onnx", "onnxruntime")
# torch's gates in the order of ONNX
GATES: dict[type, tuple[int, ...]] = {RNN: (0,), GRU: (1, 0, 2), LSTM: (0, 3, 1, 2)}
OPSET = 18
LARGEST = "largest"  # the state of a maximum over time, which begins at minus infinity


class DeploymentError(RuntimeError):
    """A network that cannot be written as ONNX, or a package that is not there."""


# --- ONNX ------------------------------------------------------------------------------------


def missing_packages() -> list[str]:
    """Which of the packages that ONNX needs are absent."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def save_onnx(model: nn.Module, path: Path, stream: bool = False) -> None:
    """Write a cell, or `LastStep` or `MaxOverTime` over one, as ONNX.

    Its input is x (batch, time, inputs). With `stream` the graph also takes and returns its state,
    so that a sequence can be read in pieces; `OnnxStream` runs it. Cells are RNN, LSTM, GRU and
    CausalCNN.
    Raises DeploymentError for other networks, and where packages or the folder are missing.
    """
    _need_packages()
    _need_folder(path)
    import onnx

    cell: Any = model if isinstance(model, SequenceCell) else getattr(model, "cell", None)
    if type(cell) not in (*GATES, CausalCNN) or type(model) not in (
        type(cell),
        LastStep,
        MaxOverTime,
    ):
        name = type(model).__name__
        raise DeploymentError(
            f"{name} is not written as ONNX: take a RNN, LSTM, GRU or CausalCNN, alone or under "
            "LastStep or MaxOverTime"
        )
    graph = _Graph(stream)
    read = graph.convolve if isinstance(cell, CausalCNN) else graph.recur
    graph.answer(model, read(cell))
    onnx.save(graph.model(cell.inputs), path)


class _Graph:
    """Operators, weights and states of a network, written one after another."""

    def __init__(self, stream: bool):
        self.stream = stream
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.states: dict[str, tuple[int, ...]] = {}  # fed in: shapes by name
        self.kept: dict[str, str] = {}  # what comes out, by the state's name
        self.output = ""

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add an operator; the name of its first output. Others end in /1, /2."""
        from onnx import helper

        name = f"n{len(self.nodes)}"
        names = [name, *(f"{name}/{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return name

    def weight(self, values: Any) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        values = values.detach().numpy() if isinstance(values, Tensor) else np.asarray(values)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def state(self, *shape: int, name: str = "") -> str:
        """Add a state that is fed in; `kept` says what comes out."""
        name = name or f"state{len(self.states)}"
        self.states[name] = shape
        return name

    def recur(self, cell: Cell) -> tuple[str, str]:
        """The outputs (batch, hidden, time) of a recurrent cell, and the last one."""
        order, size = GATES[type(cell)], cell.hidden
        parts = [p.detach().unflatten(0, (-1, size))[list(order)] for p in cell.parameters()]
        w, r, b, c = (part.flatten(0, 1)[None] for part in parts)
        fed = [self.weight(w), self.weight(r), self.weight(torch.cat([b, c], 1)), ""]
        states = [self.state(1, 1, size) for _ in range(cell.parts)] if self.stream else []
        steps = self.add("Transpose", "x", perm=(1, 0, 2))
        extra = {"linear_before_reset": 1} if isinstance(cell, GRU) else {}
        kind = type(cell).__name__
        count = 1 + cell.parts
        y = self.add(kind, steps, *fed, *states, outputs=count, hidden_size=size, **extra)
        for k, name in enumerate(states, 1):
            self.kept[name] = f"{y}/{k}"
        one = self.weight(np.array([1]))
        outputs = self.add("Transpose", self.add("Squeeze", y, one), perm=(1, 2, 0))
        return outputs, self.add("Squeeze", f"{y}/1", self.weight(np.array([0])))

    def convolve(self, cell: CausalCNN) -> tuple[str, str]:
        """The outputs (batch, channels, time) of a causal CNN, and the last one."""
        x = self.add("Transpose", "x", perm=(0, 2, 1))
        for n, layer in enumerate(cell.convolutions):
            if n % cell.per_layer == 0:
                plain = n or isinstance(cell.shortcut, nn.Identity)
                before = x if plain else self.filter(cell.shortcut, x)
            x = self.add("Relu", self.causal(layer, x))
            if (n + 1) % cell.per_layer == 0:
                x = self.add("Relu", self.add("Add", x, before))
        return x, self.add("Gather", x, self.weight(np.array(-1)), axis=2)

    def causal(self, layer: nn.Conv1d, x: str) -> str:
        """A convolution that sees zeros before the first step, or what a stream has kept."""
        past = reach(layer)
        if not self.stream or not past:
            return self.filter(layer, x, pads=(past, 0))
        name = self.state(1, layer.in_channels, past)
        x = self.add("Concat", name, x, axis=2)
        ends = [self.weight(np.array([k])) for k in (-past, 2**31, 2)]
        self.kept[name] = self.add("Slice", x, *ends)
        return self.filter(layer, x)

    def filter(self, layer: Any, x: str, **how: Any) -> str:
        """A convolution as it stands."""
        weights = self.weight(layer.weight), self.weight(layer.bias)
        return self.add("Conv", x, *weights, dilations=layer.dilation, **how)

    def answer(self, model: nn.Module, read: tuple[str, str]) -> None:
        """What is answered: all outputs of a cell (batch, time, hidden), or logits."""
        outputs, last = read
        if isinstance(model, SequenceCell):
            self.output = self.add("Transpose", outputs, perm=(0, 2, 1))
            return
        if isinstance(model, MaxOverTime):
            last = self.add("ReduceMax", outputs, self.weight(np.array([2])), keepdims=0)
            if self.stream:
                name = self.state(1, model.cell.hidden, name=LARGEST)
                last = self.add("Max", last, name)
                self.kept[name] = self.add("Identity", last)
        head: Any = model.head
        weights = self.weight(head.weight), self.weight(head.bias)
        self.output = self.add("Gemm", last, *weights, transB=1)

    def model(self, inputs: int) -> Any:
        """The finished model."""
        from onnx import TensorProto, helper

        def value(name: str, shape: Any) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        fed = [value("x", ("batch", "time", inputs))]
        fed += [value(name, shape) for name, shape in self.states.items()]
        given = [value(self.output, None)]
        given += [value(self.kept[name], shape) for name, shape in self.states.items()]
        graph = helper.make_graph(self.nodes, "network", fed, given, self.weights)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=9)


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


def _need_packages() -> None:
    if absent := missing_packages():
        raise DeploymentError(f"{', '.join(absent)} not installed: pip install {' '.join(absent)}")


def _need_folder(path: Path) -> None:
    if not Path(path).parent.is_dir():
        raise DeploymentError(f"{Path(path).parent} is no folder: create it first")


def _need_file(path: Path) -> None:
    if not Path(path).is_file():
        raise DeploymentError(f"{path} is not there: write it with save_onnx first")


class OnnxStream:
    """A file of `save_onnx(..., stream=True)`, one token (inputs,) at a time; keeps its state."""

    def __init__(self, path: Path):
        self.session: Any = onnx_session(path)
        shapes = {part.name: part.shape for part in self.session.get_inputs()[1:]}
        self.state = {
            name: np.full(shape, -np.inf if name == LARGEST else 0, np.float32)
            for name, shape in shapes.items()
        }
        self.nbytes = sum(part.nbytes for part in self.state.values())

    def step(self, x: np.ndarray) -> np.ndarray:
        """The answer after one more token."""
        answer, *state = self.session.run(None, {"x": x[None, None], **self.state})
        self.state = dict(zip(self.state, state, strict=True))
        return answer[0]
