"""Objectives: values and gradients against closed forms, extreme logits, refusals."""

import numpy as np
import pytest

from tinygan import Tensor, grad, gradcheck, losses, nn, no_grad, ops
from tinygan.errors import SettingError, ShapeError
from tinygan.losses import OBJECTIVES

NAMES = list(OBJECTIVES)
REAL = np.array([-1.3, 0.2, 2.5])
FAKE = np.array([-0.7, 0.4, 1.9, -3.1])
EXTREMES = np.array([0, 20, -20, 100, -100, 1e4, -1e4])


def sigma(x):
    """σ(x) to full relative precision on both sides."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# name: [real, fake, generator], each (value of one logit, its derivative)
CLOSED = {
    "minimax": [
        (lambda x: softplus(-x), lambda x: -sigma(-x)),
        (softplus, sigma),
        (lambda x: -softplus(x), lambda x: -sigma(x)),
    ],
    "non-saturating": [
        (lambda x: softplus(-x), lambda x: -sigma(-x)),
        (softplus, sigma),
        (lambda x: softplus(-x), lambda x: -sigma(-x)),
    ],
    "least-squares": [
        (lambda x: 0.5 * (x - 1) ** 2, lambda x: x - 1),
        (lambda x: 0.5 * x**2, lambda x: x),
        (lambda x: 0.5 * (x - 1) ** 2, lambda x: x - 1),
    ],
    "hinge": [
        (lambda x: np.maximum(0, 1 - x), lambda x: -1.0 * (x < 1)),
        (lambda x: np.maximum(0, 1 + x), lambda x: 1.0 * (x > -1)),
        (lambda x: -x, lambda x: -np.ones_like(x)),
    ],
    "wasserstein": [
        (lambda x: -x, lambda x: -np.ones_like(x)),
        (lambda x: x, np.ones_like),
        (lambda x: -x, lambda x: -np.ones_like(x)),
    ],
    "smoothed-labels": [
        (lambda x: 0.9 * softplus(-x) + 0.1 * softplus(x), lambda x: sigma(x) - 0.9),
        (softplus, sigma),
        (lambda x: softplus(-x), lambda x: -sigma(-x)),
    ],
}
CLOSED |= dict.fromkeys(("wgan-clip", "wgan-gp"), CLOSED["wasserstein"])
CLOSED |= dict.fromkeys(("r1", "dragan"), CLOSED["non-saturating"])


def tensor(array, dtype="float64"):
    return Tensor(array, requires_grad=True, dtype=dtype)


def test_the_table_lists_every_objective():
    assert sorted(CLOSED) == sorted(OBJECTIVES)
    assert OBJECTIVES["non-saturating"] is losses.non_saturating
    assert OBJECTIVES["minimax"] is losses.minimax
    assert OBJECTIVES["least-squares"] is losses.least_squares
    assert OBJECTIVES["hinge"] is losses.hinge
    assert OBJECTIVES["wasserstein"] is losses.wasserstein
    assert {name for name, o in OBJECTIVES.items() if o.log_odds} == {"minimax", "non-saturating", "r1", "dragan"}
    assert {name: o.d_steps for name, o in OBJECTIVES.items() if o.d_steps > 1} == {"wgan-clip": 5, "wgan-gp": 5}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("column", [False, True])
def test_value_and_gradient_are_the_closed_forms(name, column):
    (r, dr), (f, df), (g, dg) = CLOSED[name]
    objective = OBJECTIVES[name]
    real, fake = (x[:, None] if column else x for x in (REAL, FAKE))
    leaves = tensor(real), tensor(fake)
    loss = objective.discriminator(*leaves)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(r(REAL).mean() + f(FAKE).mean(), rel=1e-12)
    for gradient, expected in zip(grad(loss, leaves), (dr(real) / 3, df(fake) / 4), strict=True):
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-12)
    leaf = tensor(fake)
    loss = objective.generator(leaf)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(g(FAKE).mean(), rel=1e-12)
    np.testing.assert_allclose(grad(loss, leaf)[0].numpy(), dg(fake) / 4, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    gradcheck(OBJECTIVES[name].discriminator, [Tensor(REAL), Tensor(FAKE)], order=2)
    gradcheck(OBJECTIVES[name].generator, [Tensor(FAKE)], order=2)
    gradcheck(OBJECTIVES[name].generator, [Tensor(FAKE[:, None])], order=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("logit", EXTREMES)
def test_extreme_logits_have_finite_values_and_right_gradients(name, dtype, logit):
    """Relative precision 1e-6; below the smallest normal float32 there is none to be had."""
    tiny = np.finfo(dtype).tiny
    (r, dr), (f, df), (g, dg) = CLOSED[name]
    x = np.array([logit])
    objective = OBJECTIVES[name]
    real, fake, alone = tensor(x, dtype), tensor(x, dtype), tensor(x, dtype)
    for loss, leaves, value, slopes in [
        (objective.discriminator(real, fake), [real, fake], r(x) + f(x), [dr(x), df(x)]),
        (objective.generator(alone), [alone], g(x), [dg(x)]),
    ]:
        assert loss.dtype == dtype
        np.testing.assert_allclose(loss.numpy(), value[0], rtol=1e-6, atol=tiny)
        for gradient, slope in zip(grad(loss, leaves), slopes, strict=True):
            assert gradient.dtype == dtype
            np.testing.assert_allclose(gradient.numpy(), slope, rtol=1e-6, atol=tiny)


# What D minimises besides, of the critic D(x) = x·w, whose slope is ‖w‖ = s everywhere: (value, its derivative by s)
PENALTIES = {
    "wgan-gp": (lambda s: 10 * (s - 1) ** 2, lambda s: 20 * (s - 1)),
    "r1": (lambda s: 5 * s**2, lambda s: 10 * s),
    "dragan": (lambda s: 10 * (s - 1) ** 2, lambda s: 20 * (s - 1)),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_penalty_of_a_linear_critic(name):
    rng = np.random.default_rng(0)
    w, real, fake = tensor([[0.5], [-1.5], [2.0]]), *(Tensor(rng.standard_normal((4, 3))) for _ in "rf")
    penalty = OBJECTIVES[name].penalty(lambda x: x @ w, real, fake, rng)
    if name not in PENALTIES:
        assert penalty is None
        return
    value, derivative = PENALTIES[name]
    s = np.linalg.norm(w.numpy())
    assert penalty.shape == () and penalty.item() == pytest.approx(value(s), rel=1e-9)
    np.testing.assert_allclose(grad(penalty, w)[0].numpy(), derivative(s) * w.numpy() / s, rtol=1e-9)


def test_clipping_is_done_to_every_weight_in_place():
    d = nn.Sequential(nn.Dense(3, 2), nn.Dense(2, 1))
    before = d.state_dict()
    losses.WassersteinClipped(clip=0.02).constrain(d)
    after = d.state_dict()
    assert max(abs(a).max() for a in after.values()) == np.float32(0.02)
    assert all(np.array_equal(after[k], before[k].clip(-0.02, 0.02)) for k in before)


def test_settings_are_described_and_checked():
    assert losses.wgan_gp.describe() == "WassersteinGP(weight=10.0)"
    assert losses.hinge.describe() == "Hinge"
    for make, sentence in (
        (lambda: losses.WassersteinClipped(0), r"WassersteinClipped: clip=0; a number above 0"),
        (lambda: losses.R1(-1), r"R1: weight=-1; a number of at least 0"),
        (lambda: losses.SmoothedLabels(0.4), r"SmoothedLabels: label=0.4; a number above 0.5, up to 1"),
    ):
        with pytest.raises(SettingError, match=sentence):
            make()


def test_smoothed_labels_are_least_where_the_docstring_says():
    """At D = α p/(p + q); with p = q at α/2, and the label 1 is the objective without smoothing."""
    logits = np.linspace(-4, 4, 8001)
    values = [losses.smoothed_labels.discriminator(Tensor([x]), Tensor([x])).item() for x in logits]
    assert sigma(logits[np.argmin(values)]) == pytest.approx(0.45, abs=1e-3)
    hard = losses.SmoothedLabels(1.0).discriminator(Tensor(REAL), Tensor(FAKE)).item()
    assert hard == pytest.approx(losses.non_saturating.discriminator(Tensor(REAL), Tensor(FAKE)).item(), rel=1e-12)


@pytest.mark.parametrize("name", ["minimax", "non-saturating"])
def test_where_d_cannot_tell(name):
    """At D = ½: V = −log 4, and half a gradient for everyone."""
    zeros = tensor(np.zeros(2)), tensor(np.zeros(5))
    assert losses.value(*zeros).item() == pytest.approx(-np.log(4), rel=1e-15)
    loss = OBJECTIVES[name].discriminator(*zeros)
    assert loss.item() == pytest.approx(np.log(4), rel=1e-15)
    real, fake = grad(loss, zeros)
    np.testing.assert_allclose(real.numpy(), -0.5 / 2)
    np.testing.assert_allclose(fake.numpy(), 0.5 / 5)


def test_v_is_the_formula():
    """V = E[log D(x)] + E[log(1 − D(G(z)))], up to 0 where D can tell."""
    expected = np.log(sigma(REAL)).mean() + np.log(1 - sigma(FAKE)).mean()
    assert losses.value(Tensor(REAL), Tensor(FAKE)).item() == pytest.approx(expected, rel=1e-12)
    assert losses.value(Tensor(np.full(3, 100.0)), Tensor(np.full(3, -100.0))).item() == pytest.approx(0, abs=1e-40)


def test_minimax_alone_is_zero_sum_at_the_fake():
    zero_sum = []
    for name, objective in OBJECTIVES.items():
        d, g = tensor(FAKE), tensor(FAKE)
        of_d = grad(objective.discriminator(Tensor(REAL), d), d)[0].numpy()
        of_g = grad(objective.generator(g), g)[0].numpy()
        if np.allclose(of_d, -of_g, rtol=1e-12, atol=0):
            zero_sum.append(name)
    # Wasserstein's are too, by its formula; hinge's on one side of its kink only
    assert zero_sum == ["minimax", "wasserstein", "wgan-clip", "wgan-gp"]


def test_only_minimax_saturates():
    """Where D is sure of the fakes, minimax leaves G no gradient, the non-saturating form leaves it all."""
    sure = np.array([-30.0])
    slopes = {name: grad(o.generator(x := tensor(sure)), x)[0].item() for name, o in OBJECTIVES.items()}
    assert -1e-12 < slopes["minimax"] < 0
    assert slopes["non-saturating"] == pytest.approx(-1)
    assert all(slope < -0.9 for name, slope in slopes.items() if name != "minimax")


# ---------------------------------------------------------------- refusals

PLAYERS = {
    "d-real": lambda o, x: o.discriminator(x, Tensor(np.zeros(x.shape))),
    "d-fake": lambda o, x: o.discriminator(Tensor(np.zeros(x.shape)), x),
    "g": lambda o, x: o.generator(x),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize(
    "end",
    [
        ops.sigmoid,
        lambda x: ops.reshape(ops.sigmoid(x), (3,)),
        lambda x: nn.Flatten()(nn.Reshape(1, 1)(nn.Sigmoid()(x))),
    ],
    ids=["bare", "reshape", "reshape-flatten"],
)
def test_the_output_of_a_sigmoid_is_refused(name, player, end):
    x = end(tensor(np.zeros((3, 1))))
    with pytest.raises(SettingError, match=r"output of a Sigmoid, but it takes logits.*Take the Sigmoid from the end"):
        PLAYERS[player](OBJECTIVES[name], x)


def test_a_sigmoid_further_inside_is_fine():
    losses.minimax.generator(ops.sigmoid(tensor(np.zeros(3))) * 2)


@pytest.mark.parametrize("name", NAMES)
def test_losses_do_not_broadcast(name):
    column, flat = Tensor(np.zeros((4, 1))), Tensor(np.zeros(4))
    with pytest.raises(ShapeError, match=r"\(4, 1\).*\(4,\)"):
        OBJECTIVES[name].discriminator(column, flat)
    with pytest.raises(ShapeError, match=r"\(4,\).*\(4, 1\)"):
        OBJECTIVES[name].discriminator(flat, column)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("shape", [(4, 2), (4, 1, 1), (), (4, 0), (0, 1), (0,)])
def test_one_number_an_example(name, player, shape):
    text = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ShapeError, match=rf"{text}; one number an example is expected, \(N, 1\) or \(N,\)"):
        PLAYERS[player](OBJECTIVES[name], Tensor(np.zeros(shape)))


@pytest.mark.parametrize("name", NAMES)
def test_real_and_fake_may_differ_in_number(name):
    one = OBJECTIVES[name].discriminator(Tensor(np.ones((2, 1))), Tensor(np.zeros((7, 1)))).item()
    assert one == pytest.approx(OBJECTIVES[name].discriminator(Tensor(np.ones(1)), Tensor(np.zeros(1))).item())


def test_under_no_grad():
    with no_grad():
        assert not losses.hinge.generator(tensor(FAKE)).requires_grad


def test_an_objective_of_ones_own_needs_three_formulas():
    class Nothing(losses.Objective):
        pass

    with pytest.raises(NotImplementedError):
        Nothing().generator(Tensor(FAKE))
    with pytest.raises(NotImplementedError):
        Nothing().discriminator(Tensor(REAL), Tensor(FAKE))
