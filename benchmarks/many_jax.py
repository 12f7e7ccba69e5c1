"""The networks of `many_tasks` written directly in JAX: jit(vmap(scan over steps)), optax's Adam.

The gather of a batch, initial weights and Adam are inside the compiled program; data stays on the
device. Initial weights are uniform within 1 / sqrt(fan in), as torch draws them.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, nn
from many_systems import Done, System, last_quarter
from many_tasks import CLASSES, HIDDEN, INPUTS, Task, make_task

Weights = dict[str, jax.Array]
Shapes = dict[str, tuple[tuple[int, ...], int]]  # shape and fan in of each parameter


def layer(name: str, shape: tuple[int, ...], fan_in: int) -> Shapes:
    """Weight and bias of a layer; outputs come last."""
    return {name: (shape, fan_in), f"{name}_bias": (shape[-1:], fan_in)}


def initial(shapes: Shapes, key: jax.Array) -> Weights:
    """Every parameter uniform within 1 / sqrt(fan in)."""
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.uniform(k, shape, minval=-(fan_in**-0.5), maxval=fan_in**-0.5)
        for k, (name, (shape, fan_in)) in zip(keys, shapes.items(), strict=True)
    }


def dense(w: Weights, name: str, x: jax.Array) -> jax.Array:
    """Affine map of the last axis."""
    return x @ w[name] + w[f"{name}_bias"]


def convolve(w: Weights, name: str, x: jax.Array, stride: int = 1, padding: int = 0) -> jax.Array:
    """Convolution, channels last, over one or two axes."""
    kernel, axes = w[name], w[name].ndim - 2
    border = [(padding, padding)] * axes
    if jax.config.jax_default_device.platform == "cpu":
        patches = gather(jnp.pad(x, [(0, 0), *border, (0, 0)]), kernel.shape[:-2], stride)
        return patches @ kernel.reshape(-1, kernel.shape[-1]) + w[f"{name}_bias"]
    layout = ("NHWC", "HWIO", "NHWC") if axes == 2 else ("NWC", "WIO", "NWC")
    y = lax.conv_general_dilated(x, kernel, (stride,) * axes, border, dimension_numbers=layout)
    return y + w[f"{name}_bias"]


def gather(x: jax.Array, kernel: tuple[int, ...], stride: int) -> jax.Array:
    """What the kernel sees at each place, as the last axis.

    One product with these patches is 8 times as fast on a CPU as XLA's own convolution there.
    """
    sizes = [(n - k) // stride + 1 for n, k in zip(x.shape[1:-1], kernel, strict=True)]
    corners = itertools.product(*map(range, kernel))
    places = [
        tuple(
            slice(i, i + stride * (n - 1) + 1, stride) for i, n in zip(corner, sizes, strict=True)
        )
        for corner in corners
    ]
    return jnp.concatenate([x[:, *place] for place in places], axis=-1)


def pool(x: jax.Array) -> jax.Array:
    """Largest of each 2x2 square; an odd last row and column are left out."""
    n, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


SIMPLE_CNN = {
    **layer("conv1", (3, 3, 1, 16), 9),
    **layer("conv2", (3, 3, 16, 32), 144),
    **layer("dense", (800, 128), 800),
    **layer("head", (128, CLASSES), 128),
}


def simple_cnn(w: Weights, x: jax.Array) -> jax.Array:
    """Logits of images (batch, 28, 28, 1)."""
    x = nn.relu(pool(convolve(w, "conv1", x)))
    x = nn.relu(pool(convolve(w, "conv2", x)))
    return dense(w, "head", nn.relu(dense(w, "dense", x.reshape(len(x), -1))))


CNN_1D = {
    **layer("conv1", (5, 1, 25), 5),
    **layer("conv2", (3, 25, 25), 75),
    **layer("conv3", (3, 25, 25), 75),
    **layer("head", (125, CLASSES), 125),
}


def cnn_1d(w: Weights, x: jax.Array) -> jax.Array:
    """Logits of signals (batch, 40, 1)."""
    for name in ("conv1", "conv2", "conv3"):
        x = nn.relu(convolve(w, name, x, stride=2, padding=1))
    return dense(w, "head", x.reshape(len(x), -1))


def recurrent_shapes(gates: int) -> Shapes:
    """Input and hidden weights, two biases as in torch, and the head."""
    inputs = layer("inputs", (INPUTS, gates * HIDDEN), HIDDEN)
    hidden = layer("hidden", (HIDDEN, gates * HIDDEN), HIDDEN)
    return inputs | hidden | layer("head", (HIDDEN, CLASSES), HIDDEN)


def rnn_step(h: jax.Array, at_t: jax.Array, w: Weights) -> jax.Array:
    """Elman's cell."""
    return jnp.tanh(at_t + dense(w, "hidden", h))


def lstm_step(state: tuple, at_t: jax.Array, w: Weights) -> tuple:
    """Hidden and cell state; one sigmoid over three gates."""
    h, c = state
    gates = at_t + dense(w, "hidden", h)
    i, f, o = jnp.split(nn.sigmoid(gates[..., : 3 * HIDDEN]), 3, axis=-1)
    c = f * c + i * jnp.tanh(gates[..., 3 * HIDDEN :])
    return o * jnp.tanh(c), c


def gru_step(h: jax.Array, at_t: jax.Array, w: Weights) -> jax.Array:
    """Reset after the product, as in torch."""
    recurrent, cut = dense(w, "hidden", h), 2 * HIDDEN
    gates = nn.sigmoid(at_t[..., :cut] + recurrent[..., :cut])
    r, z = jnp.split(gates, 2, axis=-1)
    new = jnp.tanh(at_t[..., cut:] + r * recurrent[..., cut:])
    return new + z * (h - new)


def recurrent(step: Callable, states: int, w: Weights, x: jax.Array) -> jax.Array:
    """Logits of sequences (batch, time, inputs); all inputs are projected before the scan."""
    zeros = jnp.zeros((len(x), HIDDEN))
    start = zeros if states == 1 else (zeros,) * states
    inputs = dense(w, "inputs", x.swapaxes(0, 1))  # (time, batch, gates)
    state, _ = lax.scan(lambda state, at_t: (step(state, at_t, w), None), start, inputs)
    return dense(w, "head", state if states == 1 else state[0])


NETWORKS: dict[str, tuple[Shapes, Callable[[Weights, jax.Array], jax.Array]]] = {
    "simple-cnn": (SIMPLE_CNN, simple_cnn),
    "simple-cnn-tensors": (SIMPLE_CNN, simple_cnn),
    "cnn1d": (CNN_1D, cnn_1d),
    "rnn": (recurrent_shapes(1), partial(recurrent, rnn_step, 1)),
    "lstm": (recurrent_shapes(4), partial(recurrent, lstm_step, 2)),
    "gru": (recurrent_shapes(3), partial(recurrent, gru_step, 1)),
}


def program(task: Task, shapes: Shapes, apply: Callable) -> Callable:
    """Train a stack: (keys (pack,), batches (pack, steps, batch), x, y) to losses (pack, steps)."""
    optimizer = optax.adam(task.lr)

    def train(key, batches, x, y):
        def loss_of(w, batch):
            logits = apply(w, x[batch])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[batch]).mean()

        def step(carry, batch):
            w, state = carry
            loss, gradient = jax.value_and_grad(loss_of)(w, batch)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(w, updates), state), loss

        w = initial(shapes, key)
        return lax.scan(step, (w, optimizer.init(w)), batches)[1]

    return jax.jit(jax.vmap(train, in_axes=(0, 0, None, None)))


def shuffled(count: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """Batches of indices (steps, batch_size), reshuffled every epoch, all full."""
    random, per_epoch = np.random.default_rng(seed), count // batch_size
    epochs = [random.permutation(count)[: per_epoch * batch_size] for _ in range(steps)]
    return np.concatenate(epochs[: -(-steps // per_epoch)]).reshape(-1, batch_size)[:steps]


class Jax(System):
    """Packs of networks as one compiled program, on all cores or the GPU."""

    def __init__(self, device: str):
        try:
            where = jax.devices("cpu" if device == "cpu" else "gpu")[0]
        except RuntimeError as error:
            raise ImportError(f"JAX has no {device} here ({error})") from error
        super().__init__(device)
        jax.config.update("jax_default_device", where)
        self.where = where
        self.compiled: dict[tuple, tuple[Callable, float]] = {}

    def warm_up(self, task: Task, networks: int, steps: int, pack: int) -> None:
        """Compile for this pack and number of steps, unless done before."""
        if (task.name, steps, pack) in self.compiled:
            return
        train, arguments = program(task, *network(task)), stack(task, range(pack), steps)
        start = time.perf_counter()
        compiled = train.lower(*arguments).compile()
        self.compiled[task.name, steps, pack] = compiled, time.perf_counter() - start

    def train(self, task: Task, seeds: Sequence[int], steps: int, pack: int) -> Done:
        """Train pack after pack; the number of seeds is a multiple of `pack`."""
        compiled, compile_seconds = self.compiled[task.name, steps, pack]
        losses = []
        for start in range(0, len(seeds), pack):
            arguments = stack(task, seeds[start : start + pack], steps)
            losses.append(np.asarray(compiled(*arguments)))  # waits for the result
        curves = np.concatenate(losses)
        return Done(
            losses=curves[:, -last_quarter(steps) :].mean(1).tolist(),
            steps=curves.shape[1],
            batch_size=arguments[1].shape[-1],
            parameters=sum(math.prod(shape) for shape, _ in network(task)[0].values()),
            threads=None,  # XLA has a pool of its own
            compile_seconds=compile_seconds,
        )

    def settle(self, task: Task, steps: int, pack: int) -> None:
        """Compile, so that the compiler's memory is not counted."""
        self.warm_up(task, pack, steps, pack)

    def gpu_peak(self, reset: bool = False) -> int:
        """As of torch, but JAX cannot start anew: the memory before is small."""
        return self.where.memory_stats()["peak_bytes_in_use"]


def network(task: Task) -> tuple[Shapes, Callable]:
    """Parameters and forward pass of the task's network."""
    return NETWORKS[task.name.removesuffix("-50").removesuffix("-100")]


@cache
def on_device(name: str) -> tuple[jax.Array, jax.Array]:
    """Training inputs, channels last, and labels of a task."""
    x, y = (part.numpy() for part in make_task(name).data.train)
    x = np.moveaxis(x, 1, -1) if x.ndim == 4 else x[..., None] if x.ndim == 2 else x
    return jnp.asarray(x), jnp.asarray(y.astype(np.int32))


def stack(task: Task, seeds: Sequence[int], steps: int) -> tuple:
    """Arguments of `program` for a pack of networks."""
    x, y = on_device(task.name)
    orders = [shuffled(len(y), task.batch_size, steps, seed) for seed in seeds]
    keys = jax.vmap(jax.random.key)(jnp.asarray(list(seeds)))
    return keys, jnp.asarray(np.stack(orders)), x, y
