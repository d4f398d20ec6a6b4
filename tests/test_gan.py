"""The game: who is changed by a step and who is not, what is random, what is kept, what is refused."""

import contextlib
import copy
import gc
import hashlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygan
from tinygan import Tensor, backend, losses, nn, no_grad, ops
from tinygan.errors import DTypeError, GraphError, SettingError, ShapeError
from tinygan.gan import GAN, generate, place_like
from tinygan.models import build_gan
from tinygan.optim import SGD, Adam
from tinygan.threads import set_threads

RNG = np.random.default_rng
REAL = RNG(0).uniform(-1, 1, (8, 4, 4, 1)).astype(np.float32)


def players(seed=0, norm=nn.BatchNorm):
    """Two small networks with all that a step might touch: batch norm, dropout, spectral vectors on both sides."""
    rng = RNG(seed)
    generator = nn.Sequential(
        nn.Dense(3, 2 * 2 * 4, bias=False, rng=rng), nn.BatchNorm(16), nn.LeakyReLU(), nn.Dropout(0.2),
        nn.Reshape(2, 2, 4), nn.ConvTranspose(4, 2, 4, stride=2, padding="same", spectral_norm=True, rng=rng),
        nn.ReLU(), nn.Conv(2, 1, 1, rng=rng), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv(1, 4, 3, stride=2, padding="same", spectral_norm=True, rng=rng), nn.LeakyReLU(), nn.Dropout(0.3),
        norm(4), nn.Flatten(), nn.Dense(16, 3, spectral_norm=True, rng=rng), nn.Tanh(), nn.Dense(3, 1, rng=rng),
    )  # fmt: skip
    return generator, discriminator


def make(seed=0, objective="non-saturating", average=0.9, networks=None, lr=0.01):
    g, d = networks or players(norm=nn.LayerNorm if objective == "wgan-gp" else nn.BatchNorm)
    return GAN(g, d, objective, Adam(g.parameters(), lr), Adam(d.parameters(), lr), 3, seed, average)


def bytes_of(*modules):
    return [(name, a.tobytes()) for m in modules for name, a in m.state_dict().items()]


def train(gan, steps, real=REAL):
    for _ in range(steps):
        gan.discriminator_step(real)
        gan.generator_step(len(real))
    return bytes_of(gan.generator, gan.discriminator, gan.averaged)


# ---------------------------------------------------------------- a step leaves the other player alone


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
def test_each_step_changes_its_player_and_no_byte_of_the_other(objective):
    gan = make(objective=objective)
    train(gan, 2)
    optimizers = [{k: a.tobytes() for k, a in o.state_dict().items()} for o in (gan.g_optimizer, gan.d_optimizer)]
    g, d, averaged = bytes_of(gan.generator), bytes_of(gan.discriminator), bytes_of(gan.averaged)
    gan.discriminator_step(REAL)
    assert bytes_of(gan.generator) == g
    assert bytes_of(gan.averaged) == averaged
    assert {k: a.tobytes() for k, a in gan.g_optimizer.state_dict().items()} == optimizers[0]
    same = {name for (name, a), (_, b) in zip(d, bytes_of(gan.discriminator), strict=True) if a == b}
    # Weights, running statistics and spectral vectors all change; D's last bias has no say in E[D(fake)] − E[D(x)].
    expected = {"layers.7.bias"} if isinstance(gan.objective, losses.Wasserstein) else set()
    assert same == expected or (objective == "wgan-clip" and expected < same < dict(d).keys())  # some lie at ±c

    d = bytes_of(gan.discriminator)
    optimizer = {k: a.tobytes() for k, a in gan.d_optimizer.state_dict().items()}
    gan.generator_step(8)
    assert bytes_of(gan.discriminator) == d
    assert {k: a.tobytes() for k, a in gan.d_optimizer.state_dict().items()} == optimizer
    assert not {name for (name, a), (_, b) in zip(g, bytes_of(gan.generator), strict=True) if a == b}
    assert bytes_of(gan.averaged) != averaged


def test_a_step_leaves_no_gradients_and_all_modes():
    gan = make()
    train(gan, 1)
    assert all(p.grad is None for m in (gan.generator, gan.discriminator) for p in m.parameters())
    assert all(m.training for player in (gan.generator, gan.discriminator) for m in player.modules())
    assert not any(m.training for m in gan.averaged.modules())


def test_a_step_gives_the_loss_without_its_graph():
    gan = make()
    for loss in (gan.discriminator_step(REAL), gan.generator_step(8)):
        assert loss.shape == ()
        assert loss.op is None and not loss.requires_grad


def test_in_gs_step_no_gradient_of_ds_weights_is_computed(monkeypatch):
    """Neither for its convolutions (the filter gradient) nor delivered to any of its parameters."""
    gan = make()
    filters, asked = [], []
    forward = ops.ConvFilterGradient.forward
    monkeypatch.setattr(ops.ConvFilterGradient, "forward", lambda self, *a: filters.append(1) or forward(self, *a))
    for p in gan.discriminator.parameters():
        p.register_hook(lambda p: asked.append(p))
    gan.generator_step(4)
    assert (len(filters), len(asked)) == (2, 0)  # G's two convolutions
    gan.discriminator_step(REAL)
    assert len(filters) == 2 + 2  # D's one convolution, for real and for fake
    assert len(asked) == len(gan.discriminator.parameters())


def test_in_ds_step_the_generator_records_nothing(monkeypatch):
    gan = make()
    seen = []
    monkeypatch.setattr(
        gan.discriminator, "forward", lambda x: seen.append(x) or nn.Sequential.forward(gan.discriminator, x)
    )
    gan.discriminator_step(REAL)
    real, fake = seen
    np.testing.assert_array_equal(real.numpy(), REAL)
    assert not fake.requires_grad and fake.op is None


@pytest.mark.parametrize(("norm", "batches"), [(nn.BatchNorm, [8, 8]), (nn.LayerNorm, [16])])
def test_real_and_fake_go_through_d_together_or_apart(norm, batches, monkeypatch):
    """Apart where batch norm in D would mix their statistics; and G's batch norm uses the batch, as in its own step."""
    g, d = players(norm=norm)
    d.layers[0] = nn.Conv(1, 4, 3, stride=2, padding="same", rng=RNG(5))  # spectral vectors move with each pass
    d.layers[5] = nn.Dense(16, 3, rng=RNG(6))
    d.layers[2] = nn.Dropout(0)  # so that the step can be repeated by hand
    g.layers[3] = nn.Dropout(0)
    gan = make(networks=(g, d), seed=4)
    g, d = copy.deepcopy((g, d))
    fake = g(gan.latents(8, "latents for D", 0))
    expected = losses.non_saturating.discriminator(d(Tensor(REAL)), d(fake.detach()))
    seen, forward = [], nn.Flatten.forward
    monkeypatch.setattr(nn.Flatten, "forward", lambda self, x: seen.append(len(x)) or forward(self, x))
    assert gan.discriminator_step(REAL).item() == pytest.approx(expected.item(), rel=1e-6)
    assert seen == batches
    for name, buffer in gan.discriminator.named_buffers().items():
        np.testing.assert_allclose(buffer.numpy(), d.named_buffers()[name].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
def test_a_step_of_plain_descent_by_hand(objective):
    """θ ← θ − lr ∂L/∂θ for each player's own loss, with the latents that `latents` names."""
    g = nn.Sequential(nn.Dense(2, 3, rng=RNG(0)), nn.Tanh())
    d = nn.Sequential(nn.Dense(3, 1, rng=RNG(1)))
    gan = GAN(g, d, objective, SGD(g.parameters(), 0.5), SGD(d.parameters(), 0.25), latent_size=2, seed=9)
    real = RNG(2).standard_normal((5, 3)).astype(np.float32)
    g2, d2 = copy.deepcopy((g, d))
    z = [gan.latents(n, f"latents for {p}", 0) for n, p in ((5, "D"), (7, "G"))]

    game = losses.OBJECTIVES[objective]
    loss = game.discriminator(d2(real), d2(g2(z[0])))
    if (penalty := game.penalty(d2, Tensor(real), g2(z[0]), backend.generator(9, "penalty", 0))) is not None:
        loss = loss + penalty
    loss.backward(inputs=d2.parameters())
    assert gan.discriminator_step(real).item() == pytest.approx(loss.item())
    for ours, theirs in zip(d.parameters(), d2.parameters(), strict=True):
        expected = theirs.numpy() - 0.25 * theirs.grad.numpy()
        expected = expected.clip(-0.01, 0.01) if objective == "wgan-clip" else expected
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5, atol=1e-6)
    d2.load_state_dict(d.state_dict())
    loss = losses.OBJECTIVES[objective].generator(d2(g2(z[1])))
    loss.backward(inputs=g2.parameters())
    assert gan.generator_step(7).item() == pytest.approx(loss.item())
    for ours, theirs in zip(g.parameters(), g2.parameters(), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy() - 0.5 * theirs.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_value_where_it_has_a_meaning():
    for name, objective in losses.OBJECTIVES.items():
        gan = make(objective=name)
        assert gan.value is None
        loss = gan.discriminator_step(REAL)
        if objective.log_odds:
            penalty = 0.0 if gan.penalty is None else gan.penalty.item()
            assert gan.value.item() == pytest.approx(penalty - loss.item(), rel=1e-5)
            assert not gan.value.requires_grad
        else:
            assert gan.value is None


def test_ds_step_between_forward_and_backward_is_refused():
    gan = make()
    loss = gan.objective.generator(gan.discriminator(gan.generator(gan.latents(4, "mine"))))
    gan.discriminator_step(REAL)
    with pytest.raises(GraphError, match="stale graph"):
        loss.backward()


# ---------------------------------------------------------------- the average


def test_the_average_follows_weights_and_statistics():
    gan = make(average=0.75)
    expected = gan.generator.state_dict()
    for _ in range(4):
        train(gan, 1)
        now = gan.generator.state_dict()
        expected = {name: 0.75 * expected[name] + 0.25 * now[name] for name in now}
    assert {"layers.1.running_mean", "layers.1.running_variance", "layers.0.weight"} <= expected.keys()
    for name, array in gan.averaged.state_dict().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)
        assert array.dtype == np.float32


def test_average_zero_is_the_generator_itself_but_in_evaluation():
    gan = make(average=0)
    train(gan, 2)
    assert bytes_of(gan.averaged) == bytes_of(gan.generator)
    assert gan.averaged is not gan.generator


# ---------------------------------------------------------------- sampling


def test_sample_is_from_the_average_in_evaluation_mode():
    gan = make()
    train(gan, 2)
    twin = copy.deepcopy(gan.averaged).eval()
    z = backend.generator(5, "samples").standard_normal((6, 3), np.float32)
    images = gan.sample(6, seed=5)
    assert (images.shape, images.dtype) == ((6, 4, 4, 1), np.float32)
    np.testing.assert_allclose(images, twin(z).numpy(), rtol=1e-5, atol=1e-6)
    assert images.tobytes() == gan.sample(6, seed=5).tobytes() != gan.sample(6, seed=6).tobytes()
    assert np.abs(images - gan.generator(z).numpy()).max() > 1e-3


@pytest.mark.parametrize("model", ["mlp", "small"])
def test_the_first_of_more_are_the_same_to_the_byte(model):
    """Matrix products of other sizes may add up in another order; so this takes networks of some size."""
    gan = build_gan(model)
    many = gan.sample(150)
    for n in (0, 1, 2, 63, 64, 65, 149):
        few = gan.sample(n)
        assert few.shape == (n, 28, 28, 1)
        assert few.tobytes() == many[:n].tobytes()


def test_sampling_touches_nothing_and_draws_from_no_stream_of_training():
    with_samples, without = make(), make()
    for _ in range(3):
        train(with_samples, 1)
        before = bytes_of(with_samples.generator, with_samples.discriminator, with_samples.averaged)
        with_samples.sample(5)
        assert bytes_of(with_samples.generator, with_samples.discriminator, with_samples.averaged) == before
        assert all(m.training for m in with_samples.generator.modules())
    assert train(without, 3) == before


def test_eight_threads_sample_what_one_does():
    gan = make()
    train(gan, 1)
    expected = [gan.sample(100, seed).tobytes() for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(lambda seed: gan.sample(100, seed).tobytes(), range(8))) == expected


def test_sampling_while_another_thread_trains():
    """It neither fails nor changes what is trained."""
    expected = train(make(), 15)
    gan, begun, done, samples, errors = make(), threading.Event(), threading.Event(), [], []

    def sample():
        try:
            while not done.is_set():
                samples.append(gan.sample(20))
                begun.set()
        except Exception as error:
            errors.append(error)
            begun.set()

    threads = [threading.Thread(target=sample) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        begun.wait(60)
        result = train(gan, 15)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not errors
    assert result == expected
    assert samples and all(np.isfinite(s).all() for s in samples)


def test_two_trainings_in_two_threads_do_not_disturb_each_other():
    """No random numbers, modes or gradients are shared: each becomes what it would alone, while both sample besides."""
    settings = [{"seed": 1}, {"seed": 2, "objective": "wgan-gp"}]
    alone = [train(make(**chosen), 10) for chosen in settings]
    barrier = threading.Barrier(2)

    def run(chosen):
        gan = make(**chosen)
        barrier.wait(60)
        parts = []
        for _ in range(10):
            parts = train(gan, 1)
            gan.sample(3)
        return parts

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, settings)) == alone


def test_generate_checks_the_latents():
    gan = make()
    with pytest.raises(ShapeError, match=r"layer 0, Dense\(3 → 16, no bias\).*\(N, 3\)"):
        gan.generate(np.zeros((2, 4), np.float32))
    assert generate(gan.averaged, np.zeros((2, 3))).dtype == np.float32  # latents of float64 are welcome


@pytest.mark.parametrize(("n", "seed", "message"), [(-1, 0, "sample: n=-1;"), (1, -1, "seed -1"), (1, 0.5, "seed 0.5")])
def test_sample_settings_that_are_none(n, seed, message):
    with pytest.raises(SettingError, match=message):
        make().sample(n, seed)


# ---------------------------------------------------------------- randomness

SCRIPT = """
import hashlib, sys
sys.path[:0] = [{tests!r}, {root!r}]
import test_gan
digest = hashlib.sha256(repr(test_gan.train(test_gan.make(seed=7), 20)).encode())
print(digest.hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes_in_any_process():
    """After 20 steps, with two PYTHONHASHSEEDs, one and two threads, and here."""
    tests, root = os.path.dirname(__file__), os.path.dirname(os.path.dirname(tinygan.__file__))
    here = hashlib.sha256(repr(train(make(seed=7), 20)).encode()).hexdigest()
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT.format(tests=tests, root=root)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "TINYGAN_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for hash_seed, threads in (("1", "1"), ("2", "2"))
    ]  # fmt: skip
    assert runs == [here, here]


def test_the_number_of_threads_does_not_matter():
    """On batches large enough that the kernels cut them up."""
    real = RNG(1).uniform(-1, 1, (300, 4, 4, 1)).astype(np.float32)
    results = []
    try:
        for count in (1, 2, 4):
            set_threads(count)
            results.append(train(make(), 2, real))
    finally:
        set_threads(None)
    assert results[0] == results[1] == results[2]


def test_other_seeds_differ():
    assert len({repr(train(make(seed=seed), 1)) for seed in range(3)}) == 3


def test_the_gans_seed_reaches_dropout_and_nothing_else_does():
    def run(package_seed, seed=0):
        backend.seed(package_seed)
        state = backend.generator_or_default(None).bit_generator.state
        result = train(make(seed=seed), 2)
        assert backend.generator_or_default(None).bit_generator.state == state
        return result

    assert run(1) == run(2)

    def masks(seed):
        """D's first dropout, on real and then on fake images, in two steps."""
        gan, seen = make(seed=seed), []
        dropout = gan.discriminator.layers[2]
        forward = dropout.forward
        dropout.forward = lambda x: seen.append((y := forward(x)).numpy() != 0) or y
        for _ in range(2):
            gan.discriminator_step(REAL)
        return [m.tobytes() for m in seen]

    assert masks(1) == masks(1)
    assert len({*masks(1), *masks(2)}) == 8


def test_what_is_drawn_between_two_steps_does_not_matter():
    """Streams are derived from the step, not carried on: so a run can go on from its step counts."""
    one, two = make(), make()
    for _ in range(2):
        for step in (lambda gan: gan.discriminator_step(REAL), lambda gan: gan.generator_step(8)):
            step(one)
            step(two)
            with no_grad(), nn.frozen():
                two.discriminator(two.generator(two.latents(5, "mine")))
    assert train(one, 1) == train(two, 1)


def test_each_step_draws_anew_and_each_player_its_own():
    gan = make()
    first = gan.latents(4, "latents for D", 1).numpy()
    np.testing.assert_array_equal(gan.latents(4, "latents for D", 1).numpy(), first)
    others = [
        gan.latents(4, "latents for D", 2),
        gan.latents(4, "latents for G", 1),
        make(1).latents(4, "latents for D", 1),
    ]
    assert all(np.abs(other.numpy() - first).min() > 0 for other in others)
    seen = []
    forward = gan.generator.layers[0].forward
    gan.generator.layers[0].forward = lambda z: seen.append(z.numpy()) or forward(z)
    train(gan, 3)
    assert len({z.tobytes() for z in seen}) == 6


def test_latents_are_standard_normal():
    z = make().latents(20000, "test").numpy()
    assert z.shape == (20000, 3)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.04)


def test_two_gans_side_by_side_are_as_each_alone():
    alone = [train(make(seed=seed), 4) for seed in (1, 2)]
    one, two = make(seed=1), make(seed=2)
    for _ in range(4):
        one.discriminator_step(REAL)
        two.discriminator_step(REAL)
        one.generator_step(8)
        two.sample(3)
        two.generator_step(8)
    assert [bytes_of(g.generator, g.discriminator, g.averaged) for g in (one, two)] == alone


def test_the_state_of_a_run_is_players_optimizers_and_steps():
    whole, first = make(), make()
    expected = train(whole, 6)
    train(first, 3)
    second = make(networks=players(seed=8))
    for mine, theirs in ((second.generator, first.generator), (second.discriminator, first.discriminator),
                         (second.averaged, first.averaged), (second.g_optimizer, first.g_optimizer),
                         (second.d_optimizer, first.d_optimizer)):  # fmt: skip
        mine.load_state_dict(theirs.state_dict())
    second.g_steps, second.d_steps = first.g_steps, first.d_steps
    assert (first.g_steps, first.d_steps) == (3, 3)
    assert train(second, 3) == expected


def test_a_step_that_fails_did_not_happen():
    gan = make()
    with pytest.raises(ShapeError):
        gan.discriminator_step(REAL[:, :3])
    with pytest.raises(ShapeError):
        gan.generator_step(0)
    assert (gan.d_steps, gan.g_steps) == (0, 0)
    assert train(gan, 2) == train(make(), 2)


# ---------------------------------------------------------------- nothing leaks


def test_live_tensors_are_back_where_they_were_after_a_step():
    gan = make()
    train(gan, 2)

    def live():
        # by type: isinstance asks the object itself, and of PyTorch, where it is loaded, some answer by a warning
        return sum(issubclass(type(o), Tensor | tinygan.Op) for o in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = live()
        train(gan, 2)
        gan.sample(3)
        assert live() == before
        gan.generator_step(4)
        with contextlib.suppress(ShapeError):
            gan.discriminator_step(REAL[:, :3])
        assert live() == before
    finally:
        gc.enable()


# ---------------------------------------------------------------- dtypes


def test_float64_players_play_in_float64():
    g, d = (p.to("float64") for p in players())
    gan = make(networks=(g, d))
    assert gan.discriminator_step(REAL).dtype == np.float64
    assert gan.generator_step(4).dtype == np.float64
    assert {a.dtype for m in (g, d, gan.averaged) for a in m.state_dict().values()} == {np.dtype(np.float64)}


def test_players_of_two_dtypes_are_refused():
    g, d = players()
    with pytest.raises(DTypeError, match="float32 and float64 don't mix"):
        make(networks=(g.to("float64"), d)).discriminator_step(REAL)


def test_data_may_be_of_any_number_type_and_is_left_alone():
    gan, other = make(), make()
    real = REAL.astype(np.float64)
    real.setflags(write=False)
    assert gan.discriminator_step(Tensor(REAL)).item() == other.discriminator_step(real).item()


def test_place_like():
    layer = nn.Dense(2, 1).to("float64")
    assert place_like(layer, np.float32([1, 2])).dtype == np.float64
    assert place_like(layer, Tensor([1, 2])).dtype == np.float64


# ---------------------------------------------------------------- refusals


def test_a_sigmoid_at_the_end_of_d_is_refused():
    g, d = players()
    with pytest.raises(SettingError, match="the discriminator ends in a Sigmoid, but objectives take logits"):
        make(networks=(g, nn.Sequential(*d.layers, nn.Sigmoid())))
    gan = make(networks=(g, nn.Sequential(d, nn.Sequential(nn.Sigmoid(), nn.Flatten()))))  # where only the loss sees it
    for step in (lambda: gan.discriminator_step(REAL), lambda: gan.generator_step(4)):
        with pytest.raises(SettingError, match="output of a Sigmoid"):
            step()


def test_images_of_another_shape_than_the_data_are_refused():
    gan = make()
    before = bytes_of(gan.generator, gan.discriminator, gan.averaged)
    with pytest.raises(ShapeError, match=r"makes images of shape \(4, 4, 1\), the data have \(4, 3, 1\)"):
        gan.discriminator_step(REAL[:, :, :3])
    with pytest.raises(ShapeError, match=r"\(4, 4, 1\).*\(4, 4\)"):
        gan.discriminator_step(REAL[..., 0])
    assert bytes_of(gan.generator, gan.discriminator, gan.averaged) == before


def test_an_optimizer_of_the_others_parameters_is_refused():
    g, d = players()
    of_g, of_d, of_both = (Adam(p) for p in (g.parameters(), d.parameters(), [*g.parameters(), *d.parameters()]))
    with pytest.raises(SettingError, match=r"g_optimizer holds .* not the generator's; pass generator\.parameters\(\)"):
        GAN(g, d, "minimax", of_d, of_d)
    with pytest.raises(SettingError, match=r"d_optimizer holds .* not the discriminator's"):
        GAN(g, d, "minimax", of_g, of_g)
    with pytest.raises(SettingError, match="d_optimizer"):
        GAN(g, d, "minimax", of_g, of_both)
    with pytest.raises(SettingError, match=r"g_optimizer=None: an optimizer such as Adam\(generator.parameters\(\)\)"):
        GAN(g, d, "minimax", None, of_d)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "minmax"}, r"objective 'minmax'; one of minimax, non-saturating.* is expected"),
        ({"average": 1}, "average=1;"),
        ({"average": -0.1}, r"average=-0\.1;"),
        ({"average": float("nan")}, "average=nan;"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(SettingError, match=message):
        make(**settings)


def test_an_objective_object_is_taken_as_it_is():
    assert make(objective=losses.hinge).objective is losses.hinge
    assert make(objective="hinge").objective is losses.hinge


# ---------------------------------------------------------------- it learns


@pytest.mark.parametrize("objective", ["non-saturating", "minimax", "least-squares", "hinge", "wasserstein"])
def test_it_finds_a_gaussian(objective):
    """Two numbers around (2, −1): from far away, the samples' mean comes close to the data's."""
    rng = RNG(0)
    g = nn.Sequential(nn.Dense(2, 16, rng=rng), nn.LeakyReLU(), nn.Dense(16, 2, rng=rng))
    d = nn.Sequential(
        nn.Dense(2, 16, spectral_norm=True, rng=rng), nn.LeakyReLU(), nn.Dense(16, 1, spectral_norm=True, rng=rng)
    )
    optimizers = (Adam(p.parameters(), lr, (0.5, 0.9)) for p, lr in ((g, 2e-3), (d, 1e-2)))
    gan = GAN(g, d, objective, *optimizers, latent_size=2, seed=1, average=0.95)
    start = gan.sample(500).mean(0)
    assert np.linalg.norm(start - [2, -1]) > 1.5
    for _ in range(250):
        gan.discriminator_step(rng.standard_normal((32, 2)) * 0.5 + [2, -1])
        gan.generator_step(32)
    samples = gan.sample(500)
    assert np.linalg.norm(samples.mean(0) - [2, -1]) < 0.5
    assert 0.1 < samples.std(0).min() < samples.std(0).max() < 1.5
