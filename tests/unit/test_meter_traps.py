"""What could fool a meter: each trap is counted as an independent formula says, or refused in words that help."""

import concurrent.futures
import contextlib
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sp_search.compute import UnpricedOperationError, count_flops, serial_depth
from sp_search.compute.doors import DOORS
from sp_search.compute.price_table import PRICES

torch.set_num_threads(1)
X = torch.linspace(-1, 1, 2 * 5 * 16).reshape(2, 5, 16)
ATTENTION = nn.MultiheadAttention(16, 4, batch_first=True).eval()
WORDS = torch.tensor([[0, 3, 1], [2, 2, 2]])
QUARTERS = 10 * (2 * 16 * 64 + 64) + 10 * (2 * 16 * 64 + 64) + 10 * 64  # an LSTM's two products, and their sum
PROJECTIONS = 4 * 10 * (2 * 16 * 16 + 16)
SCORES = 2 * 4 * 5 * 5
ENCODER = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True).eval()


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


class Leaking(Doubling):
    @staticmethod
    def backward(ctx, gradient):
        return torch.from_numpy(gradient.numpy() * 2)


class Hungry(torch.Tensor):
    """A subclass whose addition multiplies matrices behind the scenes."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        plain = [arg.inner if isinstance(arg, Hungry) else arg for arg in args]
        torch.mm(plain[0].reshape(10, 16), plain[0].reshape(10, 16).T)
        return Hungry(func(*plain, **(kwargs or {})))


def backward_of(function):
    def run(x):
        x = x.clone().requires_grad_()
        function(x).sum().backward()

    return run


COUNTED = {
    "a matmul written as multiply and sum": (lambda x: (x[:, :, None] * x[:, None]).sum(-1), 2 * 2 * 5 * 5 * 16),
    "a matrix with a vector": (lambda x: x[0] @ x[0, 0], 2 * 5 * 16),
    "a dot product": (lambda x: torch.dot(x[0, 0], x[0, 1]), 2 * 16),
    "an outer product": (lambda x: torch.outer(x[0, 0], x[0, 1]), 16 * 16),
    "an outer product added": (lambda x: torch.addr(x[0, :, :5], x[0, :, 0], x[0, :, 1]), 25 * 4),
    "a bilinear map": (lambda x: functional.bilinear(x, x, torch.ones(3, 16, 16)), 3 * 10 * 3 * 16 * 16),
    "a lookup": (lambda x: functional.embedding(WORDS, x[0]), 0),
    "a sort along any dimension": (lambda x: x.sort(dim=1), 160 * 3),
    "a stable sort": (lambda x: x.sort(dim=2, stable=True), 160 * 4),
    "the largest two": (lambda x: x.topk(2, 1), 160 * 3),
    "a cumulative product": (lambda x: x.cumprod(1), 160),
    "a running maximum": (lambda x: x.cummax(1), 160),
    "a scatter that adds": (lambda x: x.scatter_add(1, torch.zeros(2, 3, 16, dtype=torch.int64), x), 160),
    "an assignment that adds": (lambda x: x.index_put((WORDS[1] - 2,), x[:1], accumulate=True), 80 + 3),
    "a scaled sum": (lambda x: torch.add(x, x, alpha=3), 2 * 160),
    "a scaled product": (
        lambda x: torch.addmm(x[0, :, :5], x[0], x[0].T, alpha=2, beta=3),
        25 * (2 * 16 + 1 + 2),
    ),
    "in place": (lambda x: x.clone().mul_(x).asinh_(), 2 * 160),
    "into a given tensor": (lambda x: torch.mul(x, x, out=torch.empty_like(x)), 160),
    "by the operation's own name": (lambda x: torch.ops.aten.mul.Tensor(x, x), 160),
    "over lists": (lambda x: torch._foreach_mul([x, x[0]], [x, x[1]]), 160 + 80),
    "over lists, with one number": (lambda x: torch._foreach_add_([x.clone(), x.clone()], 2.0), 2 * 160),
    "through a view": (lambda x: x.mT[:, 3:].flatten().tanh(), 2 * 13 * 5),
    "an operation without a price, by its parts": (functional.glu, 80 + 80),
    "a custom function": (Doubling.apply, 160),
    "a custom function and its backward": (backward_of(Doubling.apply), 160 + 160 + 160),
    "a subclass that computes behind its operation": (lambda x: Hungry(x) + 1, 160 + 2 * 10 * 10 * 16),
    "a gradient by transformation": (torch.func.grad(lambda x: x.tanh().sum()), 160 + 160 + 3 * 160),
    "a directional derivative": (lambda x: torch.func.jvp(torch.tanh, (x,), (x,)), 160 + 3 * 160),
    "a map over examples": (torch.func.vmap(torch.func.grad(lambda x: x.tanh().sum())), 5 * 160),
    "checkpointed layers run twice": (
        backward_of(lambda x: torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=False)),
        2 * 160 + 160 + 3 * 160,
    ),
    "an LSTM's fused kernel": (nn.LSTM(16, 16, batch_first=True), QUARTERS + 10 * 16 * 9),
    "attention's fast path": (
        lambda x: ATTENTION(x, x, x, need_weights=False),
        PROJECTIONS + SCORES * (4 * 4 + 6),
    ),
    "an encoder layer's fast path": (
        ENCODER,
        PROJECTIONS + SCORES * (4 * 4 + 6) + 10 * (4 * 16 * 32 + 32 + 16) + 10 * 32 + 2 * 160 + 2 * 7 * 160,
    ),
    "compiled Python": (torch.compile(torch.tanh, backend="eager"), 160),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, in forward derivatives
@pytest.mark.parametrize("trap", COUNTED)
def test_it_is_counted_as_an_independent_formula_says(trap):
    function, expected = COUNTED[trap]
    with torch.no_grad() if "backward" not in trap and "twice" not in trap else contextlib.nullcontext():
        assert count_flops(function, X).total == expected


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # torch's own, in forward derivatives
@pytest.mark.parametrize("trap", COUNTED)
def test_whatever_is_counted_has_a_serial_depth(trap):
    function, flops = COUNTED[trap]
    assert (serial_depth(function, X) > 0) == (flops > 0)


class Fused:
    """A kernel of a library: it allocates as torch does, and what fills the memory is not seen."""

    def __call__(self, x):
        return torch.empty_like(x)


@torch.library.custom_op("sp_search_tests::secret", mutates_args=())
def secret(x: torch.Tensor) -> torch.Tensor:
    return x.tanh() @ torch.ones(16, 16)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which programs still come in
    SCRIPTED = torch.jit.trace(torch.tanh, X)
    MODULE = torch.jit.script(nn.Linear(16, 3))
OPENED = X.clone()
REFUSED = {
    "a number": (lambda x: x.sum().item(), "_local_scalar_dense.*start and step"),
    "a branch": (lambda x: x if x.sum() > 0 else -x, "_local_scalar_dense"),
    "a list": (lambda x: x.tolist(), "Tensor.tolist"),
    "an array": (lambda x: x.numpy(), "Tensor.numpy"),
    "an array, asked of numpy": (lambda x: np.tanh(x), "Tensor.__array__"),
    "an array, past the class": (lambda x: torch._C.TensorBase.numpy(x), "Tensor.numpy"),
    "an address": (lambda x: x.data_ptr(), "Tensor.data_ptr"),
    "the storage": (lambda x: bytes(x.untyped_storage()), "Tensor.untyped_storage"),
    "another library": (lambda x: np.from_dlpack(x), "Tensor.__dlpack__"),
    "a capsule": (lambda x: torch.utils.dlpack.to_dlpack(x), "to_dlpack"),
    "text": (lambda x: repr(x), "Tensor.__repr__"),
    "text in a text": (lambda x: f"{x}", "Tensor.__format__"),
    "a pickle": (lambda x: pickle.dumps(x), "Tensor.untyped_storage|Tensor.__reduce_ex__"),
    "an operation on functions": (
        lambda x: torch.cond(torch.tensor(True), torch.tanh, torch.sin, (x,)),
        "operation cond takes functions",
    ),
    "a Python function of every number": (lambda x: x.clone().apply_(lambda v: v * v), "Tensor.apply_"),
    "a comparison of whole tensors": (lambda x: torch.equal(x, x), "aten.equal"),
    "a custom function's backward": (backward_of(Leaking.apply), "Tensor.numpy"),
    "a gradient's custom function": (
        lambda x: torch.autograd.grad(Leaking.apply(OPENED.requires_grad_()).sum(), OPENED),
        "Tensor.numpy",
    ),
    "a hook": (backward_of(lambda x: _hooked(x)), "Tensor.tolist"),
    "a script": (lambda x: SCRIPTED(x), "TorchScript.*pass the Python function"),
    "a scripted module": (MODULE, "TorchScript"),
    "a thread": (lambda x: threading.Thread(target=torch.tanh, args=(x,)).start(), "another thread"),
    "a pool of threads": (lambda x: POOL.submit(torch.tanh, x), "another thread"),
    "a kernel that nobody sees": (Fused(), "no priced operation has written"),
    "a kernel that nobody sees, inside": (lambda x: Fused()(x) + 1, "aten.add reads memory"),
    "an operation of another library": (lambda x: torch.ops.sp_search_tests.secret(x), "sp_search_tests.secret"),
    "a transform to frequencies": (torch.fft.rfft, "_fft_r2c.*register_price"),
    "complex numbers": (lambda x: torch.view_as_complex(x.reshape(2, 5, 8, 2)).mul(2), "complex"),
    "sparse numbers": (lambda x: x[0].to_sparse(), "_to_sparse"),
    "quantised numbers": (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "quantize_per_tensor"),
}
POOL = concurrent.futures.ThreadPoolExecutor(1)


def _hooked(x):
    y = x.tanh()
    y.register_hook(lambda gradient: gradient.tolist() and None)
    return y


@pytest.mark.parametrize("trap", REFUSED)
def test_it_is_refused_by_name(trap):
    function, words = REFUSED[trap]
    for measure in (count_flops, serial_depth):
        with pytest.raises(UnpricedOperationError, match=words):
            measure(function, X)


def test_an_array_is_no_input():
    with pytest.raises(UnpricedOperationError, match=r"numpy array.*torch\.Tensor"):
        count_flops(lambda a: a @ a.T, np.ones((3, 3)))


def test_doors_open_again_and_were_never_shut_for_other_threads():
    before = [getattr(owner, name) for owner, name, _ in DOORS]
    elsewhere = []

    def meanwhile(x):
        inside.set()
        assert done.wait(10)
        return x.tanh()

    inside, done = threading.Event(), threading.Event()
    worker = threading.Thread(target=lambda: elsewhere.append(inside.wait(10) and (SCRIPTED(X).numpy(), done.set())))
    worker.start()
    count_flops(meanwhile, X)
    worker.join()
    assert len(elsewhere) == 1
    assert [getattr(owner, name) for owner, name, _ in DOORS] == before
    with pytest.raises(UnpricedOperationError):
        count_flops(lambda x: x.tolist(), X)
    assert len(X.tolist()) == 2


@contextlib.contextmanager
def cell_by_cell():
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(True)


@pytest.mark.parametrize("settings", [{}, {"num_layers": 2}, {"bias": False}, {"bidirectional": True}])
def test_an_lstm_costs_the_same_fused_and_cell_by_cell(settings):
    network = nn.LSTM(16, 8, batch_first=True, **settings)
    fused, depth = count_flops(network, X), serial_depth(network, X)
    assert "aten.mkldnn_rnn_layer" in fused.by_operation
    with cell_by_cell():
        assert count_flops(network, X).total == fused.total
        assert serial_depth(network, X) >= depth > 5 * 8


def test_an_lstms_fused_backward_costs_within_a_seventh_of_its_parts():
    network = nn.LSTM(16, 8, 2, batch_first=True)

    def train():
        network(X)[0].sum().backward()

    fused = count_flops(train).total
    with cell_by_cell():
        assert count_flops(train).total == pytest.approx(fused, rel=1 / 7)


def train_with(optimizer, network):
    def step():
        optimizer.zero_grad()
        functional.cross_entropy(network(X).flatten(0, 1), torch.zeros(10, dtype=torch.int64)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


OPTIMISERS = {
    "adam": (torch.optim.Adam, {}),
    "adam over lists": (torch.optim.Adam, {"foreach": True}),
    "adam fused": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {}),
    "adamw fused": (torch.optim.AdamW, {"fused": True}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd over lists": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "foreach": True}),
    "sgd fused": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "fused": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_training_step_is_counted_with_its_optimiser_and_has_a_serial_depth(name):
    network = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3))
    kind, settings = OPTIMISERS[name]
    step = train_with(kind(network.parameters(), **settings), network)
    step()
    parameters = sum(part.numel() for part in network.parameters())
    total = count_flops(step).total
    frozen = count_flops(train_with(kind([torch.zeros(1, requires_grad=True)], **settings), network)).total
    per_parameter = (total - frozen) / parameters
    least = 2 if kind is torch.optim.SGD else 6
    assert least <= per_parameter <= 20
    assert serial_depth(step) > serial_depth(network, X) * 2


def test_an_optimisers_own_step_number_is_the_only_value_that_may_be_read():
    from torch.optim.optimizer import _get_value

    with pytest.raises(UnpricedOperationError, match="_local_scalar_dense"):
        count_flops(lambda x: _get_value(x.sum()), X)


def test_every_price_has_a_depth():
    assert [name for name, price in PRICES.items() if price.depth is None] == []
