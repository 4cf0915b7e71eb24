"""Networks as users write them, and inputs for each: adapted, cut at a block or rolled out."""

import torch
from torch import nn

import sp_search


def seeded(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


IMAGES, VECTORS, TOKENS, WORDS = seeded(5, 3, 8, 8), seeded(5, 6), seeded(5, 4, 8), torch.arange(20).reshape(5, 4)


def convolution(fan_in, fan_out, inplace=False):
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.ReLU(inplace))


def classifier():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 4))


class Residual(nn.Module):
    """Sizes, a skip over two blocks, and containers within containers, as users write them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.body = nn.ModuleDict({"one": convolution(6, 6), "two": convolution(6, 6)})
        self.scale = nn.Parameter(torch.ones(6))
        self.answer = nn.Linear(6 * 64, 4)

    def forward(self, x, gain=1.0):
        examples = x.size(0)
        first = self.stem(x) * gain
        second = self.body["two"](self.body["one"](first)) + first
        return self.answer((second * self.scale[:, None, None]).view(examples, -1))


class Attention(nn.Module):
    """An encoder layer of two words: what a list of blocks may hold."""

    def __init__(self):
        super().__init__()
        self.attend, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x):
        if x.shape[0] > 10_000:
            raise RuntimeError("a branch inside of a block is nobody's business")
        return x + self.norm((x @ self.attend(x).mT).softmax(-1) @ x)


class Recalls(nn.Module):
    """A block of two inputs: its state, and the input again."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, state, x):
        return torch.tanh(self.linear(state) + x)


def perceptron():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))


NETWORKS = {
    "a convolutional network": lambda **more: sp_search.with_exits(
        nn.Sequential(convolution(3, 6, True), convolution(6, 6, True), classifier()), [0, 1], example=IMAGES, **more
    ),
    "a residual network": lambda **more: sp_search.with_exits(Residual(), ["stem", "body.one"], example=IMAGES, **more),
    "a perceptron": lambda **more: sp_search.with_exits(perceptron(), ["1", 3], example=VECTORS, **more),
    "a list of blocks": lambda **more: sp_search.with_exits(
        [Attention(), Attention(), Attention()], [0, 1], classes=3, example=TOKENS, **more
    ),
    "one that answers every position": lambda **more: sp_search.with_exits(
        nn.Sequential(Attention(), Attention(), nn.Linear(8, 3)), [0, 1], example=TOKENS, **more
    ),
    "one that reads indices": lambda **more: sp_search.with_exits(
        [nn.Embedding(20, 8), Attention(), Attention()], [0, 1], classes=3, example=WORDS, **more
    ),
    "a block rolled out": lambda **more: sp_search.with_rollouts(
        nn.Sequential(nn.Linear(8, 8), nn.Tanh()), rollouts=3, classes=3, example=VECTORS, embed=nn.Linear(6, 8), **more
    ),
    "a block that sees its input again": lambda **more: sp_search.with_rollouts(
        Recalls(), rollouts=3, classes=3, example=VECTORS, recall=True, **more
    ),
    "a convolution rolled out": lambda **more: sp_search.with_rollouts(
        convolution(3, 3), rollouts=3, classes=4, example=IMAGES, **more
    ),
}

INPUT = {name: IMAGES if "conv" in name or "residual" in name else VECTORS for name in NETWORKS}

INPUT |= {"a list of blocks": TOKENS, "one that answers every position": TOKENS, "one that reads indices": WORDS}
