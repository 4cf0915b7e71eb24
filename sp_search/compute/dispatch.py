"""Puts every operation that reaches PyTorch's dispatcher before a meter, with its price; what has none is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from sp_search.compute.price_table import PRICES, Call, Formula, Price


class UnpricedOperationError(RuntimeError):
    """An operation ran that nobody priced."""


def register_price(operation: str, flops: Formula, depth: Formula | None = None) -> None:
    """Price an operation that the table lacks, for the life of the process.

    Args:
        operation: its name without the overload, as the error gives it (`my_library.my_operation`).
        flops: FLOPs of one `Call`.
        depth: the longest chain of dependent operations in one `Call`; without it `serial_depth` refuses the operation.

    Raises:
        ValueError: it has a price already.
    """
    if operation in PRICES:
        raise ValueError(f"{operation} is priced already: a price is not changed, so that counts stay comparable")
    PRICES[operation] = Price(flops, depth)


def operation_name(operation: Any) -> str:
    """Return the name of a dispatched operation without its overload; an in-place form is named as the plain one."""
    name = str(getattr(operation, "_overloadpacket", operation))
    plain = name.removesuffix("_")
    return plain if name not in PRICES and plain in PRICES else name


_Result = TypeVar("_Result")


def unmetered(bookkeeping: Callable[[], _Result]) -> _Result:
    """Return what `bookkeeping` returns, out of every meter's sight: work of the machine, not of the program."""
    if not PricedDispatch.watching:
        return bookkeeping()
    with _disable_current_modes():
        return bookkeeping()


class PricedDispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operation that reaches the dispatcher to `record` with its price; refuses what has none.

    What leaves the dispatcher (numpy, `.item()` and then Python, fused kernels of other libraries) is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    watching = 0
    """How many meters are at work."""

    def __enter__(self) -> Self:
        PricedDispatch.watching += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)  # type: ignore[no-untyped-call]
        PricedDispatch.watching -= 1

    def record(self, operation: str, price: Price, call: Call) -> None:
        """Take note of one operation that ran."""
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = operation_name(func)
        price = PRICES.get(operation)
        if price is None:
            return self._decompose(operation, func, args, kwargs)
        output = func(*args, **kwargs)
        self.record(operation, price, Call(args, kwargs, output))
        return output

    def _decompose(self, operation: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Run a composite operation as its parts: under inference mode composites reach the dispatcher whole."""
        if isinstance(func, torch._ops.OpOverload):
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        raise UnpricedOperationError(
            f"operation {operation} has no price, so this program's compute cannot be stated. Give it one with "
            f'sp_search.compute.register_price("{operation}", flops=lambda call: ...), or write it with priced '
            "operations (for attention in eval mode: torch.backends.mha.set_fastpath_enabled(False))."
        )
