"""Networks with a name: what they are made of, counted by hand."""

import re

import numpy as np
import pytest

from tinygan import nn
from tinygan.errors import SettingError
from tinygan.models import MODELS, build_gan, build_generator, find_model, small_discriminator

# (name, image shape): parameters of G, and of D
COUNTS = {
    # G: 64·256 + 2·256 (batch norm) + 256·3136 + 2·3136 + 4·4·64·32 + 2·32 + 4·4·32·1 + 1
    # D: 4·4·1·32 + 32 + 4·4·32·64 + 64 + 3136·128 + 128 + 128·1 + 1
    ("small", (28, 28, 1)): (
        16_384 + 512 + 802_816 + 6_272 + 32_768 + 64 + 512 + 1, 512 + 32 + 32_768 + 64 + 401_408 + 128 + 128 + 1,
    ),
    # 8·8·64 = 4096 in place of 3136, three channels
    ("small", (32, 32, 3)): (
        16_384 + 512 + 1_048_576 + 8_192 + 32_768 + 64 + 1_536 + 3,
        1_536 + 32 + 32_768 + 64 + 524_288 + 128 + 128 + 1,
    ),
    # G: 100·12544 + 2·12544 + 5·5·256·128 + 2·128 + 5·5·128·64 + 2·64 + 5·5·64·1
    # D: 5·5·1·64 + 64 + 5·5·64·128 + 128 + 7·7·128 + 1
    ("dcgan", (28, 28, 1)): (
        1_254_400 + 25_088 + 819_200 + 256 + 204_800 + 128 + 1_600, 1_600 + 64 + 204_800 + 128 + 6_272 + 1,
    ),
    ("dcgan", (32, 32, 3)): (
        1_638_400 + 32_768 + 819_200 + 256 + 204_800 + 128 + 4_800, 4_800 + 64 + 204_800 + 128 + 8_192 + 1,
    ),
    # G: 64·256 + 256 + 256·512 + 512 + 512·784 + 784;   D: 784·256 + 256 + 256 + 1
    ("mlp", (28, 28, 1)): (16_384 + 256 + 131_072 + 512 + 401_408 + 784, 200_704 + 256 + 256 + 1),
    ("mlp", (32, 32, 3)): (16_384 + 256 + 131_072 + 512 + 1_572_864 + 3_072, 786_432 + 256 + 256 + 1),
}  # fmt: skip


def size(module):
    return sum(p.size for p in module.parameters())


def layers(module, kind):
    return [m for m in module.modules() if isinstance(m, kind)]


@pytest.mark.parametrize(("name", "shape"), COUNTS)
def test_shapes_and_parameter_counts(name, shape):
    gan = build_gan(name, shape)
    assert (size(gan.generator), size(gan.discriminator)) == COUNTS[name, shape]
    images = gan.generator.eval()(gan.latents(2, "test"))
    assert images.shape == (2, *shape)
    assert images.dtype == np.float32
    assert np.abs(images.numpy()).max() <= 1
    assert isinstance(layers(gan.generator, (nn.Tanh, nn.Sigmoid))[-1], nn.Tanh)
    logits = gan.discriminator(images.detach())
    assert logits.shape == (2, 1)
    assert f"(N, {', '.join(map(str, shape))})" in gan.generator.summary((gan.latent_size,))


def test_the_counts_are_those_of_the_tutorial():
    """TensorFlow counts 2,330,944 in its DCGAN tutorial's G: batch norm's 25,472 running statistics with them."""
    running = sum(b.size for b in build_gan("dcgan").generator.named_buffers().values())
    assert COUNTS["dcgan", (28, 28, 1)][0] + running == 2_330_944
    assert COUNTS["dcgan", (28, 28, 1)] == (2_305_472, 212_865)


def test_small_is_spectrally_normalised_throughout_and_only_in_d():
    gan = build_gan("small")
    weighted = layers(gan.discriminator, (nn.Dense, nn.Conv))
    assert [float(layer.spectral_norm) for layer in weighted] == [2, 2, 2, 1]
    assert all(hasattr(layer, "u") for layer in weighted)
    assert not any(hasattr(layer, "u") for layer in gan.generator.modules())
    assert [layer.slope for layer in layers(gan.generator, nn.LeakyReLU)] == [0.2] * 3
    plain = small_discriminator((28, 28, 1), np.random.default_rng(0), spectral_norm=0)
    assert not any(hasattr(layer, "u") for layer in plain.modules())
    assert size(plain) == size(gan.discriminator)


def test_dcgan_has_the_tutorials_slopes_and_dropout():
    gan = build_gan("dcgan")
    assert [m.slope for p in (gan.generator, gan.discriminator) for m in layers(p, nn.LeakyReLU)] == [0.3] * 5
    assert [m.rate for m in layers(gan.discriminator, nn.Dropout)] == [0.3, 0.3]
    assert not layers(gan.generator, nn.Dropout)
    assert not any(hasattr(m, "bias") for m in gan.generator.modules())
    assert [m.stride for m in layers(gan.generator, nn.ConvTranspose)] == [(1, 1), (2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("name", "latent_size", "lr", "betas"),
    [("small", 64, 2e-3, (0.5, 0.99)), ("dcgan", 100, 1e-4, (0.9, 0.999)), ("mlp", 64, 2e-4, (0.5, 0.999))],
)
def test_recipes(name, latent_size, lr, betas):
    gan = build_gan(name)
    assert gan.latent_size == latent_size
    for optimizer, player in ((gan.g_optimizer, gan.generator), (gan.d_optimizer, gan.discriminator)):
        assert (optimizer.lr, optimizer.betas, optimizer.eps) == (lr, betas, 1e-8)
        assert [id(p) for p in optimizer.params] == [id(p) for p in player.parameters()]
    assert type(gan.objective).__name__ == "NonSaturating"
    assert gan.average == MODELS[name].average


def test_what_is_given_goes_before_the_recipe():
    gan = build_gan("mlp", (8, 8, 1), objective="hinge", lr=0.5, seed=3, average=0.25)
    assert (type(gan.objective).__name__, gan.g_optimizer.lr, gan.d_optimizer.lr) == ("Hinge", 0.5, 0.5)
    assert (gan.seed, gan.average) == (3, 0.25)
    assert build_gan("mlp", (8, 8, 1), average=0).average == 0


def test_weights_follow_the_seed():
    def weights(seed):
        gan = build_gan("small", (8, 8, 1), seed=seed)
        return [a.tobytes() for p in (gan.generator, gan.discriminator) for a in p.state_dict().values()]

    assert weights(1) == weights(1) != weights(2)
    gan = build_gan("mlp", (8, 8, 1))
    ours, theirs = (layers(player, nn.Dense)[0].weight.numpy() for player in (gan.generator, gan.discriminator))
    assert ours.shape == theirs.shape
    assert not np.array_equal(ours, theirs)  # each player has a stream of its own
    gan = build_gan("small", (8, 8, 1), seed=5)
    g = build_generator("small", (8, 8, 1), 64, seed=5)
    assert [a.tobytes() for a in g.state_dict().values()] == [a.tobytes() for a in gan.generator.state_dict().values()]


@pytest.mark.parametrize("name", MODELS)
def test_each_trains_a_step(name):
    gan = build_gan(name, (8, 8, 1))
    real = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    for loss in (gan.discriminator_step(real), gan.generator_step(4)):
        assert np.isfinite(loss.item())
    assert gan.sample(2).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("smal", "Did you mean 'small'"), ("DCGAN-2", "There are"), ("dcgn", "'dcgan'"), ("xyz", "There are")],
)
def test_an_unknown_name_suggests_the_nearest(name, hint):
    with pytest.raises(SettingError, match=rf"no model is called {name!r}\..*{hint}.*small, dcgan, mlp"):
        find_model(name)
    with pytest.raises(SettingError, match=repr(name)):
        build_gan(name)


@pytest.mark.parametrize("shape", [(28, 30, 1), (27, 28, 1), (2, 2, 1)])
@pytest.mark.parametrize("name", ["small", "dcgan"])
def test_sides_must_be_multiples_of_four(name, shape):
    with pytest.raises(
        SettingError, match=rf"{name!r} makes images whose sides are multiples of 4, not {shape[0]}×{shape[1]}"
    ):
        build_gan(name, shape)


def test_mlp_takes_any_sides():
    assert build_gan("mlp", (5, 7, 2)).sample(1).shape == (1, 5, 7, 2)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1, 1), (28, 28, 0), (0, 28, 1)])
def test_an_image_shape_is_height_width_channels(name, shape):
    message = f"image shape {shape}: (height, width, channels) is expected"
    with pytest.raises(SettingError, match=re.escape(message)):
        build_gan(name, shape)
