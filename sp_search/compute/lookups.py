"""Prices of finding and placing: sorting, searching, scattering, bags of embeddings, draws."""

from __future__ import annotations

from torch import Tensor

from sp_search.compute.formulas import Call, Price, tree


def _sorted_length(call: Call) -> int:
    """Return how many values each row of a sort or topk has; their dimension stands in different places."""
    x = call.args[0]
    rest = [value for value in call.args[1:] if not isinstance(value, bool)]
    place = len(rest) - 1 if isinstance(call.output[0], Tensor) and call.output[0].shape == x.shape else 1
    dimension = call.kwargs.get("dim", rest[place] if 0 <= place < len(rest) else -1)
    return int(x.shape[dimension]) if x.dim() else 1


def _sorting(call: Call) -> float:
    return float(call.args[0].numel() * tree(_sorted_length(call)))


def _sorting_depth(call: Call) -> float:
    return tree(_sorted_length(call)) ** 2


SORTING = Price(_sorting, _sorting_depth)


def placed(argument: int) -> Price:
    """Return the price of writing one argument's elements into another tensor: 1 each where they add up, else 0."""

    def adds_up(call: Call) -> bool:
        return bool(call.kwargs.get("accumulate", call.args[3] if len(call.args) > 3 else False))

    return Price(
        lambda call: float(call.args[argument].numel() * adds_up(call)),
        lambda call: tree(call.args[argument].numel() + 1) * adds_up(call),
    )


def scattered() -> Price:
    """Return the price of scatter: a copy, unless it is told to reduce."""
    return Price(
        lambda call: float(call.args[2].numel() * ("reduce" in call.kwargs)),
        lambda call: tree(call.args[2].numel() + 1) * ("reduce" in call.kwargs),
    )


def _scatter_reduce(call: Call) -> float:
    return float(call.args[3].numel() + call.out.numel() * (call.args[4] == "mean"))


def _embedding_bag(call: Call) -> float:
    """Return 1 per number looked up, 1 more where it is weighted, and 1 per output of a mean (mode 1)."""
    weight, indices, mode = call.args[0], call.args[1], call.args[4] if len(call.args) > 4 else 0
    weighted = len(call.args) > 6 and call.args[6] is not None
    return float(indices.numel() * weight.shape[1] * (1 + weighted) + call.out.numel() * (mode == 1))


def _embedding_bag_depth(call: Call) -> float:
    return 2 + tree(call.args[1].numel())


EMBEDDING_BAG = Price(_embedding_bag, _embedding_bag_depth)


def embedding_bag_backward(mode: int, weights: int) -> Price:
    """Return 1 per number that was looked up, and 1 more where it is weighted, or divided for a mean (mode 1).

    The two integers are the places of the mode and of the weights among the arguments.
    """

    def flops(call: Call) -> float:
        grad, indices = call.args[:2]
        weighted = len(call.args) > weights and call.args[weights] is not None
        return float(indices.numel() * grad.shape[1] * (1 + (call.args[mode] == 1) + weighted))

    return Price(flops, _embedding_bag_depth)


def _embedding_renorm(call: Call) -> float:
    return float(3 * call.args[1].numel() * call.args[0].shape[1])


def search(among: int) -> Price:
    """Return the price of a binary search per output in the last dimension of one argument."""
    return Price(
        lambda call: float(call.out.numel() * tree(call.args[among].shape[-1] + 1)),
        lambda call: tree(call.args[among].shape[-1] + 1),
    )


def _unique(call: Call) -> float:
    """Return a sort and one comparison with the neighbour."""
    return float(call.args[0].numel() * (tree(call.args[0].numel()) + 1))


def _unique_depth(call: Call) -> float:
    return tree(call.args[0].numel()) ** 2 + 1 + tree(call.args[0].numel())


UNIQUE = Price(_unique, _unique_depth)


def _multinomial(call: Call) -> float:
    """Return normalised running sums (2 per weight), and for every draw its number and a binary search."""
    return float(2 * call.args[0].numel() + call.out.numel() * (1 + tree(call.args[0].shape[-1])))


def _multinomial_depth(call: Call) -> float:
    return 2 + 2 * tree(call.args[0].shape[-1])


MULTINOMIAL = Price(_multinomial, _multinomial_depth)


SCATTER_REDUCE = Price(_scatter_reduce, lambda call: 1 + tree(call.args[3].numel()))
EMBEDDING_RENORM = Price(_embedding_renorm, lambda call: 3 + tree(call.args[0].shape[1]))
