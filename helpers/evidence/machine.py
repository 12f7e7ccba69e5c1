"""What a measurement was made on: processor, system, versions."""

import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy", "statsmodels")


def processor() -> str:
    """Name of the processor, such as "AMD EPYC"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def instructions() -> str:
    """The instructions that PyTorch uses here, such as "AVX2"."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def machine() -> dict[str, object]:
    """Processor, its instructions, Python and versions of what computes."""
    return {
        "processor": f"{processor()}, {instructions()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }
