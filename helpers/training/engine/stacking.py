"""The same four steps for a stack of networks at once.

Networks of one architecture differ in their weights alone, so their weights can be stacked into one
tensor with a leading dimension, and every layer then works on all of them in one call
(`torch.func.stack_module_state`, `functional_call` and `vmap`). No operation mixes networks, so
each is trained as if it were alone.
"""

import copy
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from helpers.data.dataset import Split
from helpers.data.seeded import Shared, Source, drawn, shared
from helpers.data.streams import stream, stream_seed
from helpers.training.batches import Order
from helpers.training.checks import check_comparison, is_scored
from helpers.training.engine.cells import stack_cells
from helpers.training.engine.convolutions import stack_convolutions
from helpers.training.gradients import separate_gradients

# Their update is proportional to the learning rate, which leaves no trace in their state.
STACKABLE_OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax")
STACKABLE_OPTIMIZERS += ("NAdam", "RAdam")
WARM_UP = 3  # updates before a CUDA graph is captured, so that every buffer exists


class UnstackableError(ValueError):
    """A network or an optimizer that cannot be stacked; the message says what to do."""


def fit_stack(
    models: Sequence[nn.Module],
    data: Source,
    *,
    seeds: Sequence[int],
    lr: Sequence[float],
    weight_decay: Sequence[float | None],
    clip: Sequence[float | None],
    steps: int,
    batch_size: int,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[[float], float],
    loss_function: Callable[[Tensor, Tensor], Tensor],
    order: Order,
    evaluate_every: int | None = None,
    until: int | None = None,
    tick: Callable[[], None] | None = None,
) -> list[pd.DataFrame]:
    """Train a stack of networks in place, all at once; returns the history of each.

    Each network equals what `training.fit` makes of it with its own seed, learning rate, weight
    decay and clip (one of each per network), to floating-point tolerance; one that diverges becomes
    NaN alone. Only dropout masks, independent for every network, are not those it would draw alone.
    Raises UnstackableError for what cannot be stacked, DataError as `training.fit` does.
    """
    splits, first = shared(data, seeds), drawn(data, seeds[0])
    steps, batch_size, device = int(steps), int(batch_size), first.train.y.device
    last = min(steps, until or steps)
    evaluation_steps = {*range(0, last, evaluate_every or steps), last} - {0}
    stack = Stack([model.to(device) for model in models], loss_function)
    rates = torch.tensor(lr, dtype=exact(device), device=device)
    now = rates.clone()
    update = StackedOptimizer(stack.trainable(), optimizer, now, weight_decay, clip)
    batch = torch.empty(len(models), batch_size, dtype=torch.int64, device=device)

    def advance() -> Tensor:
        x, y = splits["train"].take(batch)  # (networks, batch, ...)

        losses = stack.losses(x, y)  # 1. forward, 2. loss: (networks,)
        update.inner.zero_grad()
        losses.sum().backward()  # 3. backward: no loss depends on another network's weights
        update.step()  # 4. step
        return losses.detach()

    run = _Graphed(advance) if device.type == "cuda" else advance
    records, losses = [], []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        check_comparison(models[0], first, loss_function)
        torch.manual_seed(stream_seed(",".join(map(str, seeds)), "dropout"))
        stack.check(first.train)
        drawings = _orders(order, seeds, len(splits["train"]), batch_size, steps)
        for step, indices in enumerate(drawings, start=1):
            now.copy_(rates * schedule((step - 1) / steps))
            batch.copy_(indices)
            losses.append(run().clone())
            if tick:
                tick()
            if step in evaluation_steps:
                records.append(_report(step, losses, stack, splits))
                losses.clear()
                diverged = [any(r["diverged_at"][k] for r in records) for k in range(len(models))]
                if all(diverged) or step == last:
                    break
    stack.unstack()
    return [_history(records, k) for k in range(len(models))]


def _orders(
    order: Order, seeds: Sequence[int], count: int, batch_size: int, steps: int
) -> Iterator[Tensor]:
    """Indices (networks, batch) of every update; runs of one seed share their batches."""
    different = list(dict.fromkeys(seeds))
    which = torch.tensor([different.index(seed) for seed in seeds])
    orders = [order(count, batch_size, steps, stream(seed, "batches")) for seed in different]
    for indices in zip(*orders, strict=True):
        yield torch.stack(indices)[which]


def _report(
    step: int, losses: list[Tensor], stack: "Stack", splits: Mapping[str, Shared]
) -> dict[str, Any]:
    """One evaluation of all networks: a list (networks,) for every column of a history."""
    values = torch.stack(losses)  # (updates, networks)
    first = (~values.isfinite()).int().argmax(0) + step - len(values) + 1
    diverged_at = torch.where(values.isfinite().all(0), 0, first)
    scores = {
        f"{name}_{metric}": value
        for name in ("valid", "test")
        for metric, value in stack.evaluate(splits[name]).items()
    }
    broken_since = ~scores["valid_loss"].isfinite() & (diverged_at == 0)
    diverged_at = torch.where(broken_since, step, diverged_at)
    columns = {"train_loss": values.mean(0), "peak_loss": values.amax(0)}
    columns |= {"diverged_at": diverged_at} | scores
    return {"step": [step] * len(stack.models)} | {k: v.tolist() for k, v in columns.items()}


def _history(records: list[dict[str, Any]], network: int) -> pd.DataFrame:
    """The history of one network, up to the evaluation that found it diverged."""
    rows = [{column: values[network] for column, values in r.items()} for r in records]
    ends = [k for k, row in enumerate(rows, start=1) if row["diverged_at"]]
    return pd.DataFrame(rows[: min(ends, default=len(rows))])


class Stack:
    """Networks of one architecture, their weights stacked: (networks, ...) for every tensor.

    Raises UnstackableError when the networks differ in more than their numbers, or are no plain
    layers.
    """

    def __init__(self, models: Sequence[nn.Module], loss_function: Callable):
        self.template = _template(models[0])
        if len({_architecture(model) for model in models}) > 1:
            raise UnstackableError(
                "networks of a stack have equal layers and shapes: make them separate arms, make "
                "a number or a tensor that differs a buffer, or train one network at a time "
                "(pack=1)"
            )
        self.models, self.loss_function = models, loss_function
        for model in models:  # PyTorch 2.10 knows no group_norm of channels-last tensors in vmap
            model.to(memory_format=torch.contiguous_format)
        # In a layer around each, as a network with parametrisations has a class of its own.
        state = stack_module_state([nn.Sequential(model) for model in models])
        self.parameters, self.buffers = (
            {name.removeprefix("0."): tensor for name, tensor in part.items()} for part in state
        )
        self.padding = _FrozenPadding()

    def trainable(self) -> list[Tensor]:
        """The stacked weights that learn."""
        return [p for p in self.parameters.values() if p.requires_grad]

    def forward(self, x: Tensor, shared: bool = False) -> Tensor:
        """Predictions (networks, batch, ...) for inputs (networks, batch, ...).

        With `shared` the inputs are (batch, ...), the same for every network.
        """

        def predict(parameters, buffers, x):
            used = parameters | buffers  # where the network replaces one, the new one is put here
            prediction = functional_call(self.template, used, (x,))
            if lost := [name for name in buffers if used[name] is not buffers[name]]:
                raise UnstackableError(
                    f"the buffer {lost[0]} is replaced, and a stack keeps only what is changed in "
                    "place: use .copy_() or .add_(), or train one network at a time (pack=1)"
                )
            return prediction

        stacked = vmap(predict, in_dims=(0, 0, None if shared else 0), randomness="different")
        with self.padding:
            return stacked(self.parameters, self.buffers, x)

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of each network (networks,) on its own batch."""
        return vmap(self.loss_function)(self.forward(x), y)

    def check(self, split: Split) -> None:
        """Raise UnstackableError if a network runs alone but not in a stack."""
        count = len(self.models)
        x, y = (part[:2].expand(count, *part[:2].shape) for part in split)
        kept = {name: buffer.clone() for name, buffer in self.buffers.items()}
        numbers = _numbers(self.template)
        try:
            torch.autograd.grad(self.losses(x, y).sum(), self.trainable(), allow_unused=True)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self.loss_function(self.models[0](x[0]), y[0])  # wrong alone: that is the error then
            raise UnstackableError(
                f"{type(self.models[0]).__name__} cannot be stacked: {str(error).splitlines()[0]} "
                "Use helpers.nets instead of nn.RNN, nn.LSTM or nn.GRU, torch.where instead "
                "of branches on values, or train one network at a time (pack=1)"
            ) from error
        if changed := [n for n, v in _numbers(self.template).items() if numbers.get(n) != v]:
            raise UnstackableError(
                f"{changed[0]} changes while the network runs, and a stack shares it: make it a "
                "buffer, or train one network at a time (pack=1)"
            )
        with torch.no_grad():
            for name, buffer in self.buffers.items():
                buffer.copy_(kept[name])
        self.padding.settle()

    @torch.no_grad()
    def evaluate(self, split: Shared, batch_size: int = 100) -> dict[str, Tensor]:
        """Loss and accuracy of each network as by `training.evaluate`: `exact` (networks,)."""
        self.template.eval()
        labelled = not split.pool.y.is_floating_point()
        zeros = torch.zeros(len(self.models), device=split.pool.y.device)
        loss = correct = count = zeros.to(exact(zeros.device))
        for x, y in split.batches(batch_size):
            common = split.rows is None  # x and y are (batch, ...), else (networks, batch, ...)
            prediction = self.forward(x, shared=common)  # (networks, batch, ...)
            mean = vmap(self.loss_function, in_dims=(0, None if common else 0))(prediction, y)
            y = y[None] if common else y
            scored = is_scored(y).flatten(1).sum(1)
            loss, count = loss + mean * scored, count + scored
            if labelled:
                correct = correct + (prediction.argmax(2) == y).flatten(1).sum(1)
        self.template.train()
        return {"loss": loss / count} | ({"accuracy": correct / count} if labelled else {})

    @torch.no_grad()
    def unstack(self) -> None:
        """Copy the weights back into the networks."""
        for k, model in enumerate(self.models):
            for name, value in model.named_parameters():
                value.copy_(self.parameters[name][k])
            for name, value in model.named_buffers():
                value.copy_(self.buffers[name][k])


def _architecture(model: nn.Module) -> tuple:
    """What networks of a stack have in common: layers as printed, shapes, all that is no weight."""
    weights = [(name, w.shape, w.requires_grad) for name, w in model.named_parameters()]
    buffers = [(name, buffer.shape) for name, buffer in model.named_buffers()]
    tensors = [(n, _content(v)) for n, v in _attributes(model) if isinstance(v, Tensor)]
    return str(model), *weights, *buffers, *tensors, *_numbers(model).items()


def _numbers(model: nn.Module) -> dict[str, Any]:
    """Numbers and words kept beside the weights, by name."""
    return {n: v for n, v in _attributes(model) if isinstance(v, bool | int | float | str)}


def _attributes(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            yield f"{prefix}.{name}".lstrip("."), value


def _content(tensor: Tensor) -> tuple:
    """Something equal for equal tensors alone."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return tensor.shape, flat.view(torch.uint8).numpy().tobytes()


def _template(model: nn.Module) -> nn.Module:
    """A copy in training mode, whose slow layers compute all networks of the stack at once."""
    if any(hasattr(module, "_orig_mod") for module in model.modules()):
        raise UnstackableError(
            "a compiled network cannot be stacked: leave torch.compile out, or train one network "
            "at a time (pack=1)"
        )
    try:
        template = copy.deepcopy(model).train()
    except RuntimeError as error:
        raise UnstackableError(
            f"{type(model).__name__} cannot be stacked, as it cannot be copied: use "
            "torch.nn.utils.parametrizations instead of weight_norm or spectral_norm of "
            "torch.nn.utils, or train one network at a time (pack=1)"
        ) from error
    stack_cells(template)
    stack_convolutions(template)
    return template


class _FrozenPadding(TorchFunctionMode):
    """Keeps the vector of `padding_idx` still in every network of a stack.

    In vmap the rows of all tables are counted through, so that `padding_idx` would be a row of the
    first network alone. Here its outputs send back no gradient instead.
    """

    def __init__(self):
        super().__init__()
        self.needed, self.met = True, False

    def settle(self) -> None:
        """Watch no longer if no padding was met so far: watching costs time at every operation."""
        self.needed = self.met

    def __enter__(self):
        return super().__enter__() if self.needed else self

    def __exit__(self, exc_type, exc_val, exc_tb):
        return super().__exit__(exc_type, exc_val, exc_tb) if self.needed else None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not F.embedding:
            return func(*args, **kwargs or {})
        return self.embed(*args, **kwargs or {})

    def embed(self, tokens, weight, padding_idx=None, *options, **named):
        """`F.embedding`."""
        vectors = F.embedding(tokens, weight, None, *options, **named)
        if padding_idx is None:
            return vectors
        self.met = True
        padding = tokens == padding_idx % len(weight)
        return torch.where(padding[..., None], vectors.detach(), vectors)


class StackedOptimizer:
    """Any of STACKABLE_OPTIMIZERS with a learning rate, weight decay and clipping per network.

    The optimizer takes its step at learning rate 1, then each network goes only its own fraction
    of the way: old + lr (new - old). `lr` is a tensor (networks,) that may change between steps;
    weight decays and clips (largest norm of the gradient) are one per network, None for the
    optimizer's own decay and for no clipping.
    Raises UnstackableError for another optimizer.
    """

    def __init__(
        self,
        weights: list[Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        lr: Tensor,
        weight_decay: Sequence[float | None],
        clip: Sequence[float | None],
    ):
        self.weights, self.lr = weights, lr
        self.inner = optimizer(weights, lr=1.0)
        name = type(self.inner).__name__
        if name not in STACKABLE_OPTIMIZERS or self.inner.defaults.get("maximize"):
            raise UnstackableError(
                f"{name} cannot be stacked (its state depends on the learning rate, or it is told "
                f"to maximise): use one of {', '.join(STACKABLE_OPTIMIZERS)}, or train one network "
                "at a time (pack=1)"
            )
        group, own = self.inner.param_groups[0], self.inner.defaults["weight_decay"]
        group["weight_decay"] = 0.0
        if "capturable" in group:
            group["capturable"] = lr.is_cuda
        self.decoupled = bool(self.inner.defaults.get("decoupled_weight_decay"))
        self.decay = _unless_all(0.0, [own if d is None else d for d in weight_decay], lr)
        self.clip = _unless_all(math.inf, [math.inf if c is None else c for c in clip], lr)

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight against its gradient, each network at its own rate."""
        separate_gradients(self.weights)
        # Others play no part in the loss.
        moving = {w: w.grad for w in self.weights if w.grad is not None}
        self._clip_gradients(moving.values())
        if self.decay is not None and not self.decoupled:
            for w, gradient in moving.items():
                gradient.addcmul_(w, _per_network(self.decay, w))
        before = [w.clone() for w in moving]
        self.inner.step()
        for w, old in zip(moving, before, strict=True):
            if self.decay is not None and self.decoupled:
                w.addcmul_(old, _per_network(self.decay, w), value=-1)
            torch.lerp(old, w, _per_network(self.lr, w), out=w)

    def _clip_gradients(self, gradients: Collection[Tensor]) -> None:
        """Scale each network's gradient down to its norm `clip`, as `clip_grad_norm_` does."""
        if self.clip is None:
            return
        norms = torch.stack([g.reshape(len(g), -1).norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (self.clip / (norms + 1e-6)).clamp(max=1.0)
        scale = torch.where(self.clip == math.inf, 1.0, scale)  # else inf / inf where a norm is
        for gradient in gradients:
            gradient.mul_(_per_network(scale, gradient))


def _unless_all(idle: float, values: Sequence[float], like: Tensor) -> Tensor | None:
    """`values` as a tensor (networks,), or None when all are `idle` and there is nothing to do."""
    return None if set(values) == {idle} else like.new_tensor(values)


def _per_network(values: Tensor, like: Tensor) -> Tensor:
    """(networks,) as (networks, 1, 1, ...), in the dtype of `like`."""
    return values.to(like.dtype).view(-1, *(1,) * (like.ndim - 1))


class _Graphed:
    """A function without arguments as one CUDA graph: a single launch for a whole update.

    Captured after WARM_UP real calls, on one side stream for all; plain calls where capture fails.
    Its result is overwritten by the next call.
    """

    def __init__(self, function: Callable[[], Tensor]):
        self.function, self.calls = function, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.side = torch.cuda.Stream()

    def __call__(self) -> Tensor:
        self.calls += 1
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            if self.calls == WARM_UP + 1:
                self._capture()
            if self.graph is None:
                self.result = self.function()
            else:
                self.graph.replay()
        torch.cuda.current_stream().wait_stream(self.side)
        return self.result

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.side):
                self.result = self.function()
            self.graph = graph
        except RuntimeError as error:
            warnings.warn(f"trained without a CUDA graph, slower: {error}", stacklevel=2)


def exact(device: torch.device) -> torch.dtype:
    """The most exact numbers of a device: float64, which Apple's GPUs do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or here."""
    lacking = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return lacking or "DefaultCPUAllocator" in str(error)
