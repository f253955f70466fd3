"""Where the PyTorch worker computes, and in which precision: a CUDA card where there is one, else the CPU."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

import platform
from collections.abc import Callable
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Function = Callable[..., Any]


def set_up() -> None:
    """Denormals as XLA has them. On a card fp32 products may be TF32, as in JAX, and cuDNN is timed for its best."""
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    _tf32(True)


def exact() -> None:
    """Full fp32 products, for a check."""
    _tf32(False)


def _tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def facts() -> dict[str, Any]:
    name = torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else "cpu"
    return {"device": name, "versions": {"torch": torch.__version__, "python": platform.python_version()}}


def costs() -> dict[str, Any]:
    """The card's peak memory; nothing on CPU, where the process's is taken."""
    if DEVICE.type != "cuda":
        return {}
    return {"peak_memory_bytes": torch.cuda.max_memory_allocated(DEVICE), "peak_memory_source": "device"}


def finish() -> None:
    """Returns when the card has nothing left to do."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize(DEVICE)


def prepared(function: Function, variant: str, precision: str = "fp32") -> Function:
    """The function in its variant: computed in `precision` (bf16: autocast), and compiled where the variant says so.
    `compile_graphs` replays CUDA graphs."""
    if precision == "bf16":
        function = _cast(function)
    if variant == "compile":
        return torch.compile(function)
    return torch.compile(function, mode="reduce-overhead") if variant == "compile_graphs" else function


def _cast(function: Function) -> Function:
    def cast(*args: Any) -> Any:
        with torch.autocast(DEVICE.type, torch.bfloat16):
            return function(*args)

    return cast


def new_step(variant: str) -> None:
    """Tells the graphs' memory pool that nothing of the last step is needed any more."""
    if variant == "compile_graphs":
        torch.compiler.cudagraph_mark_step_begin()
