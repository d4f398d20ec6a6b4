"""SGD and Adam against their formulas in float64, their state, their refusals."""

import fake_cupy
import numpy as np
import pytest

from tinygan import Tensor, backend, nn
from tinygan.errors import GraphError, SettingError, ShapeError
from tinygan.optim import SGD, Adam, falling
from tinygan.threads import set_threads

RNG = np.random.default_rng
SHAPES = [(3, 2), (), (5,)]


def parameters(dtype=np.float64):
    return [nn.Parameter(RNG(i).standard_normal(shape).astype(dtype)) for i, shape in enumerate(SHAPES)]


def gradients(step, dtype=np.float64):
    return [RNG([step, i]).standard_normal(shape).astype(dtype) for i, shape in enumerate(SHAPES)]


def run(optimizer, steps, start=0):
    for t in range(start, start + steps):
        for p, g in zip(optimizer.params, gradients(t), strict=True):
            p.grad = Tensor(g.astype(p.dtype))
        optimizer.step()
    return [p.numpy() for p in optimizer.params]


def sgd(theta, g, state, t, lr, momentum):
    velocity = momentum * state.get("velocity", 0) + g
    state["velocity"] = velocity
    return theta - lr * velocity


def adam(theta, g, state, t, lr, beta1, beta2, eps):
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
    return theta - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


@pytest.mark.parametrize(
    ("make", "reference", "numbers"),
    [
        (lambda p: SGD(p, 0.1), sgd, (0.1, 0.0)),
        (lambda p: SGD(p, 0.1, momentum=0.9), sgd, (0.1, 0.9)),
        (lambda p: Adam(p), adam, (1e-3, 0.9, 0.999, 1e-8)),
        (lambda p: Adam(p, 2e-3, (0.5, 0.99), eps=1e-3), adam, (2e-3, 0.5, 0.99, 1e-3)),
        (lambda p: Adam(p, 0.1, (0.0, 0.9)), adam, (0.1, 0.0, 0.9, 1e-8)),
    ],
    ids=["sgd", "momentum", "adam", "adam-numbers", "adam-beta-0"],
)
def test_ten_steps_follow_the_formula(make, reference, numbers):
    optimizer = make(parameters())
    theta, states = [p.numpy() for p in parameters()], [{} for _ in SHAPES]
    for t in range(10):
        result = run(optimizer, 1, start=t)
        theta = [reference(x, g, s, t + 1, *numbers) for x, g, s in zip(theta, gradients(t), states, strict=True)]
        for a, b in zip(result, theta, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert optimizer.steps == 10


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, 0.9), lambda p: Adam(p, 0.01)], ids=["sgd", "adam"])
def test_float32_stays_float32_and_near(make):
    narrow, wide = (
        make(parameters(np.float32)),
        make([nn.Parameter(p.numpy().astype(float)) for p in parameters(np.float32)]),
    )
    for a, b in zip(run(narrow, 10), run(wide, 10), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert {a.dtype for name, a in narrow.state_dict().items() if name != "steps"} == {np.dtype(np.float32)}


def test_adams_eps_stands_outside_the_root_after_the_correction():
    """With g = ε the first step is ½ lr. Inside the root it would be 0.03 lr, before the correction 0.09 lr."""
    p = nn.Parameter(np.zeros(1))
    optimizer = Adam([p], lr=1.0, betas=(0.9, 0.99), eps=1e-3)
    p.grad = Tensor(np.array([1e-3]))
    optimizer.step()
    assert p.item() == pytest.approx(-0.5, rel=1e-9)


def test_adam_over_many_chunks_is_the_same_for_any_number_of_threads():
    results = []
    try:
        for count in (1, 2):
            set_threads(count)
            p = nn.Parameter(RNG(0).standard_normal(200_001).astype(np.float32))
            optimizer = Adam([p])
            for i in range(2):
                p.grad = Tensor(RNG(i).standard_normal(200_001).astype(np.float32))
                optimizer.step()
            results.append(p.numpy().tobytes())
    finally:
        set_threads(None)
    assert results[0] == results[1]


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, 0.9), lambda p: Adam(p)], ids=["sgd", "adam"])
def test_parameters_without_gradient_are_skipped(make):
    first, second = (nn.Parameter(np.ones(2)) for _ in range(2))
    optimizer = make([first, second])
    for _ in range(2):
        second.grad = Tensor(np.ones(2))
        optimizer.step()
    np.testing.assert_array_equal(first.numpy(), 1)
    assert (second.numpy() < 1).all()
    assert all(name == "steps" or name.startswith("1.") for name in optimizer.state_dict())


def test_zero_grad():
    p = nn.Parameter(np.ones(2))
    p.grad = Tensor(np.ones(2))
    SGD([p], 0.1).zero_grad()
    assert p.grad is None


def test_parameters_may_come_from_a_generator():
    assert len(SGD((p for p in parameters()), 0.1).params) == 3


def test_a_step_ages_recorded_graphs():
    p = nn.Parameter(np.ones(2))
    loss = (p * p).sum()
    p.grad = Tensor(np.ones(2))
    SGD([p], 0.1).step()
    with pytest.raises(GraphError, match="stale graph"):
        loss.backward()


def test_the_step_keeps_the_array_and_the_gradient():
    p = nn.Parameter(np.ones(2))
    array, p.grad = p._array, Tensor(np.full(2, 3.0))
    Adam([p]).step()
    assert p._array is array
    np.testing.assert_array_equal(p.grad.numpy(), 3)


# ---------------------------------------------------------------- state

KINDS = {
    "sgd": lambda p: SGD(p, 0.1),
    "momentum": lambda p: SGD(p, 0.1, 0.9),
    "adam": lambda p: Adam(p, 0.01, (0.5, 0.9)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_dict_lets_another_go_on_to_the_byte(kind, dtype):
    whole = run(KINDS[kind](parameters(dtype)), 7)
    first = KINDS[kind](parameters(dtype))
    run(first, 4)
    second = KINDS[kind]([nn.Parameter(p.numpy()) for p in first.params])
    state = first.state_dict()
    second.load_state_dict(state)
    for array in state.values():
        array += 1  # copies on both ways
    assert second.steps == 4
    resumed = run(second, 3, start=4)
    assert [a.tobytes() for a in resumed] == [a.tobytes() for a in whole]
    assert [a.tobytes() for a in run(first, 3, start=4)] == [a.tobytes() for a in whole]


def test_state_names():
    optimizer = Adam(parameters())
    assert list(optimizer.state_dict()) == ["steps"]
    run(optimizer, 1)
    assert list(optimizer.state_dict()) == ["steps", "0.m", "0.v", "1.m", "1.v", "2.m", "2.v"]
    assert list(SGD(parameters(), 0.1).state_dict()) == ["steps"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("steps"), r"'steps' is missing for this Adam of 3 parameters"),
        (lambda s: s.pop("0.v"), r"'0\.v' is missing"),
        (lambda s: s.pop("1.m"), r"'1\.m' is missing"),
        (lambda s: s.update({"3.m": np.zeros(5)}), r"'3\.m' is not of this Adam of 3 parameters"),
        (lambda s: s.update({"0.velocity": np.zeros((3, 2))}), r"'0\.velocity' is not of this Adam"),
        (lambda s: s.update({"x": np.zeros(5)}), "'x' is not of this Adam"),
        (lambda s: s.update({"2.m": np.zeros(4)}), r"2\.m has shape \(4,\), \(5,\) is expected"),
        (lambda s: s.update({"0.v": np.zeros((2, 3))}), r"0\.v has shape \(2, 3\), \(3, 2\) is expected"),
    ],
)
def test_load_state_dict_is_strict_and_all_or_nothing(change, message):
    optimizer = Adam(parameters())
    run(optimizer, 2)
    before = {name: a.tobytes() for name, a in optimizer.state_dict().items()}
    state = {name: a + 1 for name, a in optimizer.state_dict().items()}
    change(state)
    with pytest.raises(ShapeError, match=message):
        optimizer.load_state_dict(state)
    assert {name: a.tobytes() for name, a in optimizer.state_dict().items()} == before


@pytest.mark.parametrize("kind", KINDS)
def test_on_the_gpu_as_on_the_cpu(kind):
    cpu = run(KINDS[kind](parameters(np.float32)), 3)
    with fake_cupy.install() as cupy:
        try:
            backend.use("gpu")
            optimizer = KINDS[kind](parameters(np.float32))
            gpu = run(optimizer, 3)
            state = optimizer.state_dict()
            optimizer.load_state_dict(state)
            assert all(type(array) is np.ndarray for array in state.values())
            assert all(type(a) is cupy.ndarray for slots in optimizer._state for a in slots.values())
        finally:
            backend.use("cpu")
    for a, b in zip(cpu, gpu, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD([], 0.1), r"SGD: no parameters were given; pass model\.parameters\(\)"),
        (lambda p: Adam([]), "Adam: no parameters"),
        (lambda p: SGD(p, 0), "SGD: lr=0; a number above 0"),
        (lambda p: Adam(p, -1e-3), r"Adam: lr=-0\.001;"),
        (lambda p: Adam(p, float("nan")), "Adam: lr=nan;"),
        (lambda p: SGD(p, 0.1, 1), "SGD: momentum=1;"),
        (lambda p: SGD(p, 0.1, -0.1), r"SGD: momentum=-0\.1;"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), r"Adam: betas=\(0\.9, 1\.0\);"),
        (lambda p: Adam(p, betas=(-0.1, 0.9)), r"Adam: betas=\(-0\.1, 0\.9\);"),
    ],
)
def test_settings_that_are_none(make, message):
    with pytest.raises(SettingError, match=message):
        make(parameters())


def test_describe():
    assert Adam(parameters(), 2e-3, (0.5, 0.99)).describe() == "Adam(lr=0.002, betas=(0.5, 0.99), eps=1e-08)"
    assert SGD(parameters(), 0.1, 0.9).describe() == "SGD(lr=0.1, momentum=0.9)"


def test_a_rate_that_falls():
    assert [falling(step, 4, 0.5) for step in range(5)] == [1, 1, 1, 0.5, 0]
    assert [falling(step, 4, 1) for step in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    assert falling(3, 4, 0) == 1
