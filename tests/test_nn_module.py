"""Modules: what they hold, how it is saved, moved and shown; and a chain's errors."""

import pickle
import sys

import fake_cupy
import numpy as np
import pytest

from tinygan import Tensor, backend, nn
from tinygan.errors import DeviceError, SettingError, ShapeError
from tinygan.gan import GAN
from tinygan.optim import Adam


def bytes_of(module):
    return {name: array.tobytes() for name, array in module.state_dict().items()}


class Block(nn.Module):
    """Tensors and modules in mixed order, in lists too, and one of each kind used twice."""

    def __init__(self):
        self.first = nn.Dense(2, 3)
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.count = nn.Buffer(np.zeros(1, np.float32))
        self.blocks = [nn.BatchNorm(3), nn.Sequential(nn.Dropout(0.5), nn.Dense(3, 3, bias=False))]
        self.again = self.first
        self.shifts = (nn.Parameter(np.zeros(3, np.float32)), nn.Parameter(np.ones(3, np.float32)))
        self.name = "not a parameter"

    def forward(self, x):
        y = self.first(x) * self.scale
        for block in self.blocks:
            y = block(y)
        return y + self.shifts[0] * self.shifts[1]


NAMES = [
    "first.weight", "first.bias", "scale", "blocks.0.gamma", "blocks.0.beta", "blocks.1.layers.1.weight",
    "shifts.0", "shifts.1",
]  # fmt: skip
BUFFERS = ["count", "blocks.0.running_mean", "blocks.0.running_variance"]


# ---------------------------------------------------------------- what it is made of


def test_parameters_stand_in_the_order_of_definition_each_once_and_buffers_apart():
    block = Block()
    assert list(block.named_parameters()) == NAMES
    assert list(block.named_buffers()) == BUFFERS
    assert [id(p) for p in block.parameters()] == [id(p) for p in block.named_parameters().values()]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in block.parameters())
    assert not any(b.requires_grad for b in block.named_buffers().values())


def test_children_and_modules():
    block = Block()
    assert [name for name, _ in block.children()] == ["first", "blocks.0", "blocks.1", "again"]
    kinds = [type(m).__name__ for m in block.modules()]
    assert kinds == ["Block", "Dense", "BatchNorm", "Sequential", "Dropout", "Dense", "Dense"]


def test_train_and_eval_reach_everything_inside_and_give_the_module_back():
    block = Block()
    assert all(m.training for m in block.modules())
    assert block.eval() is block
    assert not any(m.training for m in block.modules())
    assert block.train() is block
    assert all(m.training for m in block.modules())
    block.train(False)
    assert not any(m.training for m in block.modules())


def test_forward_has_to_be_defined():
    class Bare(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Bare"):
        Bare()(Tensor([1.0]))


def test_arrays_may_be_given_in_place_of_tensors():
    layer = nn.Dense(2, 1)
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(layer(x).numpy(), layer(Tensor(x)).numpy())


# ---------------------------------------------------------------- saving and loading


def test_state_dict_holds_copies():
    block = Block()
    before = bytes_of(block)
    state = block.state_dict()
    assert list(state) == [*NAMES, *BUFFERS]
    for array in state.values():
        assert isinstance(array, np.ndarray)
        array += 1
    assert bytes_of(block) == before


def test_load_state_dict_takes_values_over_and_keeps_nothing_of_what_it_was_given():
    one, two = Block(), Block()
    for i, tensor in enumerate((one.named_parameters() | one.named_buffers()).values()):
        tensor.assign(float(i))
    state = one.state_dict()
    two.load_state_dict(state)
    assert bytes_of(two) == bytes_of(one)
    state["scale"] += 1
    assert bytes_of(two) == bytes_of(one)
    assert two.again is two.first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("scale"), r"missing are \['scale'\], not of this network are none"),
        (lambda s: s.update(other=np.ones(1)), r"missing are none, not of this network are \['other'\]"),
        (lambda s: s.update({"shifts.1": np.ones((3, 1))}), r"shifts\.1 has shape \(3, 1\), \(3,\) is expected"),
        (lambda s: s.update({"shifts.1": np.float32(1)}), r"shifts\.1 has shape \(\), \(3,\) is expected"),
    ],
)
def test_load_state_dict_is_strict_and_all_or_nothing(change, message):
    block = Block()
    before = bytes_of(block)
    state = {name: array + 1 for name, array in block.state_dict().items()}
    change(state)
    with pytest.raises(ShapeError, match=message):
        block.load_state_dict(state)
    assert bytes_of(block) == before


def test_values_that_are_no_numbers_change_nothing():
    block = Block()
    before = bytes_of(block)
    state = {name: array + 1 for name, array in block.state_dict().items()}
    with pytest.raises(ValueError, match="could not convert"):
        block.load_state_dict({**state, "blocks.0.running_variance": np.array(["a", "b", "c"])})
    assert bytes_of(block) == before


def test_load_state_dict_keeps_the_dtype():
    block = Block()
    block.load_state_dict({name: array.astype(np.float64) for name, array in block.state_dict().items()})
    assert {a.dtype for a in block.state_dict().values()} == {np.dtype(np.float32)}


# ---------------------------------------------------------------- modes, dtypes, devices


@pytest.mark.parametrize("target", ["float64", np.float64, np.dtype("float64")])
def test_to_converts_parameters_and_buffers_and_back(target):
    block = Block()
    before = bytes_of(block)
    parameters = block.parameters()
    assert block.to(target) is block
    assert {a.dtype for a in block.state_dict().values()} == {np.dtype(np.float64)}
    assert [id(p) for p in block.parameters()] == [id(p) for p in parameters]
    y = block(Tensor(np.ones((4, 2))))
    assert y.dtype == np.float64
    y.sum().backward()
    assert {p.grad.dtype for p in block.parameters()} == {np.dtype(np.float64)}
    block.to("float32")
    assert {a.dtype for a in block.state_dict().values()} == {np.dtype(np.float32)}
    assert block.first.weight.grad is None  # it would have the wrong dtype
    del before["blocks.0.running_mean"], before["blocks.0.running_variance"]  # which forward changed
    assert before.items() <= bytes_of(block).items()


@pytest.mark.parametrize("target", ["tpu", "int32", np.int32, "float16", None, 5, "complex128"])
def test_to_refuses_what_is_neither_device_nor_float(target):
    block = Block()
    with pytest.raises(SettingError, match=r"a device \(cpu, gpu\) or a dtype \(float32, float64\) is expected"):
        block.to(target)
    assert {a.dtype for a in block.state_dict().values()} == {np.dtype(np.float32)}


def test_to_gpu_without_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    block = Block()
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        block.to("gpu")
    assert {p.device for p in block.parameters()} == {"cpu"}


def image_gan(seed=3, dropout=True):
    rng = np.random.default_rng(seed)
    generator = nn.Sequential(
        nn.Dense(4, 3 * 3 * 4, bias=False, rng=rng), nn.BatchNorm(36), nn.LeakyReLU(), nn.Reshape(3, 3, 4),
        nn.ConvTranspose(4, 1, 4, stride=2, padding="same", rng=rng, spectral_norm=True), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv(1, 4, 4, stride=2, padding="same", rng=rng, spectral_norm=True), nn.LeakyReLU(),
        *([nn.Dropout(0.3)] if dropout else []), nn.Flatten(), nn.Dense(36, 1, rng=rng, spectral_norm=True),
    )  # fmt: skip
    return generator, discriminator


@pytest.mark.parametrize("use", [True, False])
def test_one_step_on_the_gpu_gives_what_it_gives_on_the_cpu(use):
    """On the strict stand-in; `use`: whether tg.use("gpu") was called too, or the networks alone were moved."""
    real = np.random.default_rng(0).uniform(-1, 1, (6, 6, 6, 1)).astype(np.float32)

    def train(place):
        players = [player.to(place) for player in image_gan(dropout=use)]
        optimizers = [Adam(player.parameters(), 1e-2, (0.5, 0.9)) for player in players]
        gan = GAN(*players, "non-saturating", *optimizers, latent_size=4, seed=5, average=0.5)
        losses = [gan.discriminator_step(real).item(), gan.generator_step(6).item(), gan.value.item()]
        assert {t.device for m in (*players, gan.averaged) for t in m.parameters()} == {place}
        states = [a for m in (*players, gan.averaged) for a in m.state_dict().values()]
        states += [a for o in optimizers for a in o.state_dict().values()]
        return [np.array(losses), gan.sample(3), *states]

    cpu = train("cpu")
    with fake_cupy.install():
        try:
            backend.use("gpu" if use else "cpu")
            gpu = train("gpu")
        finally:
            backend.use("cpu")
    for a, b in zip(cpu, gpu, strict=True):
        assert type(b) is np.ndarray
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


def test_summary_of_a_network_on_the_gpu():
    with fake_cupy.install():
        generator, _ = image_gan()
        assert "(N, 6, 6, 1)" in generator.to("gpu").summary((4,))


def test_frozen_ends_with_its_block_even_by_an_error():
    norm = nn.BatchNorm(2)
    x = Tensor(np.arange(6, dtype=np.float32).reshape(3, 2))
    before = bytes_of(norm)
    with pytest.raises(ZeroDivisionError), nn.frozen():
        with nn.frozen():
            norm(x)
        norm(x)
        assert bytes_of(norm) == before
        raise ZeroDivisionError
    norm(x)
    assert bytes_of(norm) != before


# ---------------------------------------------------------------- for people

NET = (
    nn.Conv(1, 4, (3, 2), stride=(2, 1)), nn.BatchNorm(4), nn.LeakyReLU(), nn.Dropout(0.3),
    nn.Flatten(), nn.Dense(72, 1000),
)  # fmt: skip

WITH_SHAPES = """\
layer                         output        parameters
──────────────────────────────────────────────────────
Conv(1 → 4, 3×2, stride 2×1)  (N, 3, 6, 4)          28
BatchNorm(4)                  (N, 3, 6, 4)           8
LeakyReLU(0.2)                (N, 3, 6, 4)           0
Dropout(0.3)                  (N, 3, 6, 4)           0
Flatten                       (N, 72)                0
Dense(72 → 1000)              (N, 1000)         73,000
──────────────────────────────────────────────────────
total                                           73,036"""

WITHOUT_SHAPES = """\
layer                           parameters
──────────────────────────────────────────
Conv(1 → 4, 3×2, stride 2×1)            28
BatchNorm(4)                             8
LeakyReLU(0.2)                           0
Dropout(0.3)                             0
Flatten                                  0
Dense(72 → 1000)                    73,000
──────────────────────────────────────────
total                               73,036"""


def test_summary_with_and_without_shapes():
    net = nn.Sequential(*NET)
    assert net.summary((7, 7, 1)) == WITH_SHAPES
    assert net.summary() == WITHOUT_SHAPES


def test_summary_counts_shared_layers_once_and_a_modules_own_parameters_too():
    shared = nn.Dense(3, 3)
    lines = nn.Sequential(shared, nn.Tanh(), shared).summary((3,)).splitlines()
    assert [line.split()[-1] for line in lines[2:5]] == ["12", "0", "12"]
    assert lines[-1].split() == ["total", "12"]
    rows = {line.split()[0]: line.split()[-1] for line in Block().summary().splitlines()}
    assert rows["Block"] == "9"  # scale and two shifts; the layers inside have rows of their own
    assert rows["total"] == str(9 + 9 + 6 + 9)


def test_summary_touches_nothing():
    backend.seed(5)
    net = nn.Sequential(nn.Dense(3, 4, spectral_norm=True), nn.BatchNorm(4), nn.Dropout(0.5, np.random.default_rng(1)))
    net.layers[1].eval()
    stream = pickle.dumps(backend.generator_or_default(None).bit_generator.state)
    own = pickle.dumps(net.layers[2].rng.bit_generator.state)
    before, modes = bytes_of(net), [m.training for m in net.modules()]
    net.summary((3,))
    assert bytes_of(net) == before
    assert [m.training for m in net.modules()] == modes
    assert pickle.dumps(backend.generator_or_default(None).bit_generator.state) == stream
    assert pickle.dumps(net.layers[2].rng.bit_generator.state) == own


def test_summary_of_shapes_that_dont_fit_is_an_error_and_the_next_one_works():
    net = nn.Sequential(nn.Dense(3, 4))
    with pytest.raises(ShapeError, match=r"layer 0, Dense\(3 → 4\)"):
        net.summary((5,))
    with pytest.raises(ShapeError, match=r"summary\(3\): .* such as \(3,\)"):
        net.summary(3)
    assert "(N, 4)" in net.summary((3,))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Dense(2, 3), "Dense(2 → 3)"),
        (nn.Conv(1, 32, 4), "Conv(1 → 32, 4×4)"),
        (nn.Conv(1, 2, 5, stride=2, rank=1), "Conv(1 → 2, 5, stride 2)"),
        (nn.ConvTranspose(3, 2, (1, 2), stride=(1, 2)), "ConvTranspose(3 → 2, 1×2, stride 1×2)"),
        (nn.BatchNorm(7), "BatchNorm(7)"),
        (nn.LeakyReLU(0.3), "LeakyReLU(0.3)"),
        (nn.ReLU(), "ReLU"),
        (nn.Tanh(), "Tanh"),
        (nn.Sigmoid(), "Sigmoid"),
        (nn.Softplus(), "Softplus"),
        (nn.Dropout(0.25), "Dropout(0.25)"),
        (nn.Flatten(), "Flatten"),
        (nn.Reshape(7, 7, 64), "Reshape(7, 7, 64)"),
        (nn.Reshape(7), "Reshape(7)"),
        (nn.Sequential(nn.Dense(2, 3), nn.Tanh()), "Sequential(Dense(2 → 3), Tanh)"),
    ],
)
def test_describe_and_repr(layer, text):
    assert layer.describe() == text
    assert repr(layer) == text


# ---------------------------------------------------------------- Sequential


def test_sequential_applies_its_layers_in_order():
    net = nn.Sequential(nn.Reshape(2), nn.LeakyReLU(0.5), nn.Flatten())
    np.testing.assert_array_equal(net(np.float32([[[-2], [4]]])).numpy(), [[-1, 4]])


@pytest.mark.parametrize("layer", [[nn.Tanh()], nn.Tanh, np.tanh, None])
def test_sequential_takes_modules_alone(layer):
    with pytest.raises(SettingError, match=r"Sequential: layer 1 is .*; a layer is expected, such as Tanh\(\)"):
        nn.Sequential(nn.ReLU(), layer)


def test_an_error_names_the_layer_the_one_before_and_both_shapes():
    net = nn.Sequential(nn.Flatten(), nn.Dense(12, 5), nn.Dense(6, 1))
    message = (
        r"layer 2, Dense\(6 → 1\), is given the output of layer 1, Dense\(12 → 5\), of shape \(4, 5\): "
        r"Dense\(6 → 1\) takes x \(N, 6\), got \(4, 5\)"
    )
    with pytest.raises(ShapeError, match=message):
        net(np.zeros((4, 3, 4), np.float32))


def test_an_error_at_the_first_layer_speaks_of_the_input():
    net = nn.Sequential(nn.Conv(3, 4, 3), nn.ReLU())
    with pytest.raises(
        ShapeError, match=r"layer 0, Conv\(3 → 4, 3×3\), is given the network's input, of shape \(2, 8, 8, 1\)"
    ):
        net(np.zeros((2, 8, 8, 1), np.float32))


def test_a_chain_within_a_chain_names_both_places():
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Tanh(), nn.Dense(3, 1)))
    with pytest.raises(ShapeError, match=r"layer 1, Sequential.*layer 1, Dense\(3 → 1\).*Tanh, of shape \(2, 4\)"):
        net(np.zeros((2, 2, 2), np.float32))
