"""The ways by which work could leave a meter's sight, shut while it watches.

What a meter counts is what reaches the dispatcher, so each other way is refused by name: reading a tensor's values into
Python (what Python then computes would be free; without a read it computes constants), compiled code, other threads.
"""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.optimizer import _get_value
from torch.overrides import TorchFunctionMode


class UnpricedOperationError(RuntimeError):
    """An operation ran that nobody priced, or that no meter can see."""


READS = frozenset(
    [
        "numpy",
        "__array__",
        "tolist",
        "data_ptr",
        "const_data_ptr",
        "mutable_data_ptr",
        "untyped_storage",
        "storage",
        "_typed_storage",
        "__dlpack__",
        "__reduce_ex__",
        "__repr__",
        "__format__",
        "apply_",
        "map_",
        "map2_",
    ]
)
READ_ADVICE = (
    "reads a tensor's values out of the dispatcher, where no work is seen. Compute with tensors; a program that stops "
    "by itself is written as start and step (sp_search.program.ProgramModel, or with_exits) and run by "
    "sp_search.compute.execute"
)
SCRIPTED = "runs TorchScript, whose fused operations no meter sees: pass the Python function or module it was made from"
ELSEWHERE = "starts work on another thread, which no meter sees: do it on the thread that is measured"
COMPILED = "runs compiled code, which no meter sees: pass the Python module it was made from"
DOORS: tuple[tuple[Any, str, str], ...] = (
    (torch._C.ScriptFunction, "__call__", SCRIPTED),
    (torch._C.ScriptMethod, "__call__", SCRIPTED),
    (torch._C._aoti.AOTIModelContainerRunnerCpu, "run", COMPILED),
    (torch.utils.dlpack, "to_dlpack", READ_ADVICE),
    (torch, "to_dlpack", READ_ADVICE),
    (torch._C, "_to_dlpack", READ_ADVICE),
    (threading.Thread, "start", ELSEWHERE),
    (concurrent.futures.ThreadPoolExecutor, "submit", ELSEWHERE),
)


def refusal(what: str, why: str) -> UnpricedOperationError:
    """Return the error that says what was met and what to do."""
    return UnpricedOperationError(f"{what} {why}")


def _without_overrides(function: Any) -> Callable[..., Any]:
    """Return a function of torch without its own look at function modes, which would lead back to the mode."""
    never = dict.fromkeys(["has_torch_function", "has_torch_function_unary"], lambda *_: False)
    return FunctionType(function.__code__, function.__globals__ | never, argdefs=function.__defaults__)


BACKWARD = {
    function: _without_overrides(function)
    for function in (Tensor.backward, torch.autograd.backward, torch.autograd.grad)
}


def _one_hot(indices: Tensor, num_classes: int = -1) -> Tensor:
    """Return torch's one_hot without its look at the values; without `num_classes` that look is its answer."""
    if num_classes < 0:
        raise refusal("one_hot without num_classes", READ_ADVICE)
    zeros = torch.zeros(*indices.shape, num_classes, dtype=torch.int64, device=indices.device)
    return zeros.scatter(-1, indices.unsqueeze(-1), 1)


IN_SIGHT: dict[Any, Callable[..., Any]] = {
    functional.one_hot: _one_hot,
    torch._nested_tensor_from_mask_left_aligned: lambda *_: False,
}
"""What checks values before it works, without the check; an encoder that asks whether its mask fits nested tensors."""


class ShutReads(TorchFunctionMode):
    """Refuses the functions of `READS`; also keeps the fused evaluation paths of attention modules from being taken."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in READS:
            raise refusal(f"Tensor.{name}", READ_ADVICE)
        if func in IN_SIGHT:
            return IN_SIGHT[func](*args, **(kwargs or {}))
        if func in BACKWARD:  # hooks and custom functions run inside, and are refused the same
            with self:
                return BACKWARD[func](*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def shut() -> Iterator[None]:
    """Shut every door for the calls of this thread."""
    thread = threading.get_ident()
    before = [(owner, name, getattr(owner, name), name in vars(owner)) for owner, name, _ in DOORS]
    try:
        for (owner, name, why), (_, _, original, _) in zip(DOORS, before, strict=True):
            setattr(owner, name, _refusing(f"{owner.__name__}.{name}", original, why, thread))
        with ShutReads():
            yield
    finally:
        for owner, name, original, own in before:
            if own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)


def _refusing(name: str, original: Callable[..., Any], why: str, thread: int) -> Callable[..., Any]:
    def door(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == thread:
            raise refusal(name, why)
        return original(*args, **kwargs)

    return door


def reads_a_step_count() -> bool:
    """Return whether torch's optimisers are reading their own step number: control, not data, and its price is fixed.

    The one read that is let through: without it no training step could be counted.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code is _get_value.__code__:
            return str(frame.f_back.f_globals.get("__name__")).startswith("torch.optim.")
        frame = frame.f_back
    return False
