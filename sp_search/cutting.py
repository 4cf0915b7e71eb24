"""Cuts a network at named blocks into segments that run one after another, each on what the ones before left.

The forward pass is traced (torch.fx) down to the blocks that are named: containers around them are followed, all else
runs as it is. Sizes and other values that belong to no example are computed again in each segment that needs them, so a
segment is right for the rows that are left, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from sp_search.plugins import suggest

Values = dict[fx.Node, Any]


@dataclass(frozen=True)
class Segment:
    """Places in the traced graph: what runs, in order; which tensors it takes in; which it hands on, its exit first."""

    runs: list[int]
    takes: list[int]
    gives: list[int]


class Cut(nn.Module):
    """A traced network and its segments."""

    def __init__(self, traced: fx.GraphModule, segments: list[Segment]) -> None:
        super().__init__()
        self.traced = traced
        self.segments = segments

    def forward(self, state: tuple[Tensor, ...], index: int) -> tuple[Tensor, ...]:
        """Return what segment `index` (from 0) hands on: the value at its exit first."""
        nodes, segment = list(self.traced.graph.nodes), self.segments[index]
        values = {nodes[place]: value for place, value in zip(segment.takes, state, strict=True)}
        _run(self.traced, [nodes[place] for place in segment.runs], values)
        return tuple(values[nodes[place]] for place in segment.gives)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every module in eval mode and no gradients on, for a while."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _Tracer(fx.Tracer):
    """Follows the containers of the named blocks, and nothing else."""

    def __init__(self, at: Sequence[str] = ()) -> None:
        super().__init__()
        self.at = at

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(name.startswith(f"{module_qualified_name}.") for name in self.at)


def block_names(network: nn.Module, at: Sequence[str | int]) -> list[str]:
    """Return the qualified names of the blocks; a number counts the children of the network.

    Raises:
        ValueError: none was named, or one twice, or a name or number is unknown (with the nearest).
    """
    if isinstance(at, (str, int)):
        raise ValueError(f"at takes a list of blocks, got {at!r}: write at=[{at!r}]")
    children, known = [name for name, _ in network.named_children()], [name for name, _ in network.named_modules()][1:]
    names = []
    for asked in at:
        if isinstance(asked, int) and -len(children) <= asked < len(children):
            names.append(children[asked])
        elif asked in known:
            names.append(str(asked))
        else:
            hint = suggest(str(asked), known)
            raise ValueError(f"{type(network).__name__} has no block '{asked}'.{hint} Its own: {', '.join(children)}.")
    if len(set(names)) < len(names):
        raise ValueError(f"at: a block is named twice among {', '.join(map(str, at))}, and it has one exit")
    if not names:
        raise ValueError(f"at: name the blocks after which it may answer early, among {', '.join(children)}")
    return names


def cut(network: nn.Module, at: Sequence[str | int], example: Tensor) -> Cut:
    """Return the network cut after each named block, in the order in which they run, and at its end.

    Raises:
        ValueError: a name is unknown or runs never or more than once; the forward pass branches on values, depends on
            the training mode outside of modules, or takes or gives more than one tensor; or a value that is needed on
            both sides of an exit is not one row per example.
    """
    names = block_names(network, at)
    traced = _traced(network, names)
    nodes = list(traced.graph.nodes)
    ends = sorted(_place_of(nodes, name) for name in names)
    (answer,) = nodes[-1].args
    if not isinstance(answer, fx.Node):
        raise ValueError(f"{type(network).__name__} gives more than one tensor: wrap it to give its answer alone")
    if nodes.index(answer) > ends[-1]:
        ends.append(nodes.index(answer))
    return Cut(traced, _segments(nodes, ends, _carrying(traced, nodes, example)))


def _traced(network: nn.Module, names: list[str]) -> fx.GraphModule:
    graphs = []
    modes = {module: module.training for module in network.modules()}
    try:
        for training in (True, False):
            network.train(training)
            graphs.append(_Tracer(names).trace(network))
    except Exception as error:
        raise ValueError(
            f"{type(network).__name__} cannot be cut: its forward pass around {', '.join(names)} branches on values "
            f"or sizes ({error}). Move the branch into a block, or pass the blocks as a list"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    if str(graphs[0]) != str(graphs[1]):
        raise ValueError(
            f"{type(network).__name__} does something else in training than in eval mode outside of its blocks: "
            "use modules such as nn.Dropout in place of functions that take self.training"
        )
    return fx.GraphModule(network, graphs[1])


def _place_of(nodes: list[fx.Node], name: str) -> int:
    places = [place for place, node in enumerate(nodes) if node.op == "call_module" and node.target == name]
    if len(places) != 1:
        raise ValueError(f"block '{name}' runs {len(places)} times: an exit stands after a block that runs once")
    return places[0]


def _run(traced: fx.GraphModule, nodes: list[fx.Node], values: Values) -> None:
    interpreter = fx.Interpreter(traced, garbage_collect_values=False)
    interpreter.env = values
    for node in nodes:
        if node.op == "placeholder":  # the input itself is a value already
            values[node] = node.args[0]
        else:
            values[node] = interpreter.run_node(node)


def _carrying(traced: fx.GraphModule, nodes: list[fx.Node], example: Tensor) -> dict[fx.Node, str | None]:
    """Return for every node "" where its value is one row per example, None where it is the same for all of them.

    Any other text says why the value cannot be handed on. The example runs as it is and with one row more.
    """
    inputs = [node for node in nodes if node.op == "placeholder"]
    if any(not node.args for node in inputs[1:]):
        raise ValueError("the network takes more than one input: wrap it to take one tensor")
    few: Values = {inputs[0]: example.clone()}
    more: Values = {inputs[0]: torch.cat([example, example[:1]])}
    with evaluating(traced):
        for values in (few, more):
            _run(traced, nodes[1:-1], values)
    return {node: _carried(node, few[node], more[node]) for node in nodes[:-1]}


def _carried(node: fx.Node, few: Any, more: Any) -> str | None:
    if not isinstance(few, Tensor):
        several = any(isinstance(leaf, Tensor) for leaf in tree_leaves(few))
        return f"'{node.target}' gives several tensors" if several else None
    if few.shape == more.shape:
        return None
    if more.shape != (len(few) + 1, *few.shape[1:]):
        return f"'{node.target}' gives shape {tuple(few.shape)}, in which examples are not dimension 0"
    return ""


def _segments(nodes: list[fx.Node], ends: list[int], carried: dict[fx.Node, str | None]) -> list[Segment]:
    place_of = {node: place for place, node in enumerate(nodes)}
    runs, needs = [], []
    for first, last in zip([1, *(end + 1 for end in ends)], ends, strict=False):
        own, taken, open_ = set(range(first, last + 1)), set(), list(range(first, last + 1))
        while open_:
            for node in nodes[open_.pop()].all_input_nodes:
                place = place_of[node]
                if place in own:
                    continue
                if carried[node]:
                    raise ValueError(f"{carried[node]}: it is needed after an exit, so name another block for the exit")
                if carried[node] is not None:
                    taken.add(place)
                else:
                    own.add(place)
                    open_.append(place)
        runs.append(sorted(own))
        needs.append(taken)
    gives = []
    for index, end in enumerate(ends):
        later = set().union(*needs[index + 1 :]) if index + 1 < len(ends) else set()
        gives.append([end, *sorted(place for place in later if place <= end and place != end)])
    takes = [[0], *gives[:-1]]
    return [Segment(*parts) for parts in zip(runs, takes, gives, strict=True)]
