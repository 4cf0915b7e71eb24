"""Puts every operation that reaches PyTorch's dispatcher before a meter, with its price; what has none is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from sp_search.compute.doors import READ_ADVICE, UnpricedOperationError, reads_a_step_count, refusal, shut
from sp_search.compute.formulas import Call, Formula, Price
from sp_search.compute.price_table import (
    ALLOCATIONS,
    MOVEMENT,
    PRICES,
    PRIMITIVES,
    READERS,
    SHAPE_READERS,
    STEP_COUNT,
)


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
    """Return the name of a dispatched operation without its overload.

    An in-place form is named as the plain one, and a primitive of torch's references as the operation that it is.
    """
    name = str(getattr(operation, "_overloadpacket", operation))
    if name not in PRICES and name.startswith("prims."):
        name = PRIMITIVES.get(name, name.replace("prims.", "aten.", 1))
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

    An operation without a price of its own is counted as the parts into which torch decomposes it. What would leave
    the dispatcher is refused by `compute.doors`; memory that changed although nothing wrote it, here.
    """

    watching = 0
    """How many meters are at work."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._doors = ExitStack()
        self._unwritten: set[StorageWeakRef] = set()

    def __enter__(self) -> Self:
        if not self._entered:
            self._doors.enter_context(shut())
        self._entered += 1
        PricedDispatch.watching += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)  # type: ignore[no-untyped-call]
        PricedDispatch.watching -= 1
        self._entered -= 1
        if not self._entered:
            self._doors.close()

    _entered = 0

    def watch(self, function: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
        """Run `function(*inputs)` and see to it that what it returns was computed in sight."""
        arrays = [leaf for leaf in tree_leaves(inputs) if hasattr(leaf, "__array_interface__")]
        if any(not isinstance(array, Tensor) for array in arrays):
            raise refusal("an input is a numpy array, whose arithmetic", "no meter sees: give it as a torch.Tensor")
        try:
            with self:
                output = function(*inputs)
        except NotImplementedError as failure:
            if "HigherOrderOperator" not in str(failure):
                raise
            found = str(failure).partition("HigherOrderOperator ")[2].partition(" ")[0]
            raise refusal(
                f"operation {found}", "takes functions, which no meter sees: call them in Python"
            ) from failure
        self._refuse_unwritten("what is returned lies in", storages(output))

    def record(self, operation: str, price: Price, call: Call) -> None:
        """Take note of one operation that ran."""
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(_computes_itself(kind) for kind in types):
            return NotImplemented  # the subclass goes first, and its own operations come back here
        operation = operation_name(func)
        price = PRICES.get(operation)
        if operation in READERS:
            raise refusal(f"operation {operation}", READ_ADVICE)
        if operation == "aten._local_scalar_dense":
            if not reads_a_step_count():
                raise refusal(f"operation {operation} (.item(), bool(), float(), int() of a tensor)", READ_ADVICE)
            price = STEP_COUNT
        if price is None:
            return self._decompose(operation, func, args, kwargs)
        self._see_memory(operation, func, args, kwargs)
        output = func(*args, **kwargs)
        if operation in ALLOCATIONS:
            self._unwritten.update(storages(output))
        call = Call(args, kwargs, output)
        if operation not in MOVEMENT:
            _refuse_kinds(operation, call)
        self.record(operation, price, call)
        return output

    def _see_memory(self, operation: str, func: Any, args: Any, kwargs: Any) -> None:
        """Refuse to read memory that was allocated in sight and that nothing wrote in sight."""
        if not self._unwritten or operation in ALLOCATIONS or operation in SHAPE_READERS:
            return
        given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        for argument in func._schema.arguments:
            found = storages(given.get(argument.name))
            if argument.alias_info is None:
                self._refuse_unwritten(f"operation {operation} reads", found)
            elif argument.alias_info.is_write:
                self._unwritten.difference_update(found)

    def _refuse_unwritten(self, reader: str, found: list[StorageWeakRef]) -> None:
        if self._unwritten.intersection(found):
            raise refusal(reader, "memory that no priced operation has written: what fills it, no meter sees")

    def _decompose(self, operation: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation as its parts: composites (whole under inference mode) and torch's own decompositions."""
        if isinstance(func, torch._ops.OpOverload):
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
            from torch._decomp import decomposition_table

            if func in decomposition_table:
                try:
                    with self:
                        return decomposition_table[func](*args, **kwargs)
                except UnpricedOperationError as part:
                    raise refusal(f"operation {operation}", f"has no price, nor has every part of it: {part}") from part
        raise UnpricedOperationError(
            f"operation {operation} has no price, so this program's compute cannot be stated. Give it one with "
            f'sp_search.compute.register_price("{operation}", flops=lambda call: ...), or write it with '
            "priced operations."
        )


def storages(values: Any) -> list[StorageWeakRef]:
    """Return the storage of every tensor among `values`; a freed storage's key is never reused."""
    tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and leaf.numel()]
    with torch._C.DisableTorchFunction():
        return [
            StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
            for tensor in tensors
            if tensor.layout is torch.strided
        ]


def _computes_itself(kind: Any) -> bool:
    own = getattr(kind, "__torch_dispatch__", None)
    return kind is not Tensor and own not in (None, Tensor.__torch_dispatch__, torch._C._disabled_torch_dispatch_impl)


def _refuse_kinds(operation: str, call: Call) -> None:
    """Refuse numbers for which the table's formulas do not hold."""
    for tensor in tree_leaves((call.args, call.kwargs, call.output)):
        if isinstance(tensor, Tensor):
            odd = "complex" if tensor.is_complex() else "quantised" if tensor.is_quantized else None
            odd = odd or (None if tensor.layout is torch.strided else str(tensor.layout).removeprefix("torch."))
            if odd:
                raise refusal(
                    f"operation {operation} on {odd} numbers", "has no price: write it with real, dense, plain tensors"
                )
