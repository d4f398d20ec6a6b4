"""Networks and recipes with a name: `small`, `dcgan`, `mlp`.

With a number of classes they are conditional: G and D take labels besides.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import backend
from .errors import SettingError
from .gan import GAN
from .losses import Objective
from .nn import (
    BatchNorm,
    ConditionalBatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    JoinLabels,
    LeakyReLU,
    Module,
    Projection,
    Reshape,
    Sequential,
    Tanh,
)
from .nn.init import normal
from .optim import Adam

Shape = tuple[int, int, int]
Builder = Callable[..., Module]
LABEL_FEATURES = 10  # of `mlp`


def small_generator(
    image_shape: Shape, latent_size: int, rng: np.random.Generator, classes: int | None = None, hidden: int = 256
) -> Module:
    """Latents -> a hidden layer -> a quarter of the size, 64 channels -> half, 32 -> full size.

    What a digit is as a whole is decided in the dense layers: convolutions of 4×4 only see strokes. So that is where a
    class is told, in the first batch norm; in all three it costs a fifth of the time, and samples vary less.
    """
    height, width, channels = _quarter("small", image_shape)
    return Sequential(
        Dense(latent_size, hidden, bias=False, init=normal(0.02), rng=rng),
        _batch_norm(hidden, classes),
        LeakyReLU(0.2),
        Dense(hidden, height * width * 64, bias=False, init=normal(0.02), rng=rng),
        BatchNorm(height * width * 64),
        LeakyReLU(0.2),
        Reshape(height, width, 64),
        ConvTranspose(64, 32, 4, stride=2, padding="same", bias=False, rng=rng),
        BatchNorm(32),
        LeakyReLU(0.2),
        ConvTranspose(32, channels, 4, stride=2, padding="same", rng=rng),
        Tanh(),
    )


def small_discriminator(
    image_shape: Shape,
    rng: np.random.Generator,
    classes: int | None = None,
    spectral_norm: float = 2.0,
    hidden: int = 128,
) -> Module:
    """Two convolutions of stride 2 to 32 and 64 channels, a hidden layer that sees all of it, and one number.

    spectral_norm: of each layer but the last, which has 1; 0: no layer is spectrally normalised.
    """
    height, width, channels = _quarter("small", image_shape)
    return Sequential(
        Conv(channels, 32, 4, stride=2, padding="same", spectral_norm=spectral_norm, rng=rng),
        LeakyReLU(0.2),
        Conv(32, 64, 4, stride=2, padding="same", spectral_norm=spectral_norm, rng=rng),
        LeakyReLU(0.2),
        Flatten(),
        Dense(height * width * 64, hidden, spectral_norm=spectral_norm, rng=rng),
        LeakyReLU(0.2),
        _logit(hidden, classes, spectral_norm > 0, rng),
    )


def dcgan_generator(
    image_shape: Shape, latent_size: int, rng: np.random.Generator, classes: int | None = None
) -> Module:
    """The generator of TensorFlow's DCGAN tutorial."""
    height, width, channels = _quarter("dcgan", image_shape)
    return Sequential(
        Dense(latent_size, height * width * 256, bias=False, rng=rng),
        _batch_norm(height * width * 256, classes),
        LeakyReLU(0.3),
        Reshape(height, width, 256),
        ConvTranspose(256, 128, 5, stride=1, padding="same", bias=False, rng=rng),
        _batch_norm(128, classes),
        LeakyReLU(0.3),
        ConvTranspose(128, 64, 5, stride=2, padding="same", bias=False, rng=rng),
        _batch_norm(64, classes),
        LeakyReLU(0.3),
        ConvTranspose(64, channels, 5, stride=2, padding="same", bias=False, rng=rng),
        Tanh(),
    )


def dcgan_discriminator(image_shape: Shape, rng: np.random.Generator, classes: int | None = None) -> Module:
    """The discriminator of the same tutorial."""
    height, width, channels = _quarter("dcgan", image_shape)
    return Sequential(
        Conv(channels, 64, 5, stride=2, padding="same", rng=rng),
        LeakyReLU(0.3),
        Dropout(0.3),
        Conv(64, 128, 5, stride=2, padding="same", rng=rng),
        LeakyReLU(0.3),
        Dropout(0.3),
        Flatten(),
        _logit(height * width * 128, classes, False, rng),
    )


def mlp_generator(image_shape: Shape, latent_size: int, rng: np.random.Generator, classes: int | None = None) -> Module:
    """Dense layers alone: latents -> 256 -> 512 -> pixels."""
    pixels = image_shape[0] * image_shape[1] * image_shape[2]
    told = [JoinLabels(classes, LABEL_FEATURES, rng=rng)] if classes else []
    return Sequential(
        *told,
        Dense(latent_size + LABEL_FEATURES * len(told), 256, rng=rng),
        LeakyReLU(0.2),
        Dense(256, 512, rng=rng),
        LeakyReLU(0.2),
        Dense(512, pixels, rng=rng),
        Tanh(),
        Reshape(*image_shape),
    )


def mlp_discriminator(image_shape: Shape, rng: np.random.Generator, classes: int | None = None) -> Module:
    """Dense layers alone: pixels -> 256 -> one number."""
    pixels = image_shape[0] * image_shape[1] * image_shape[2]
    told = [JoinLabels(classes, LABEL_FEATURES, rng=rng)] if classes else []
    return Sequential(
        Flatten(),
        *told,
        Dense(pixels + LABEL_FEATURES * len(told), 256, rng=rng),
        LeakyReLU(0.2),
        Dense(256, 1, rng=rng),
    )


@dataclass(frozen=True)
class Model:
    """Two networks and the recipe they are trained by where the user doesn't say otherwise.

    clusters: into how many `tinygan train` cuts a data set of that size or more; 0: none. See data.cluster.
    """

    generator: Builder
    discriminator: Builder
    latent_size: int
    lr: float
    betas: tuple[float, float]
    batch_size: int = 64
    average: float = 0.99
    objective: str = "non-saturating"
    steps: int = 2700  # of `small`: below 3 minutes on 2 cores
    clusters: int = 0


MODELS: dict[str, Model] = {
    "small": Model(small_generator, small_discriminator, latent_size=64, lr=2e-3, betas=(0.5, 0.99), clusters=100),
    "dcgan": Model(dcgan_generator, dcgan_discriminator, latent_size=100, lr=1e-4, betas=(0.9, 0.999), batch_size=256),
    "mlp": Model(mlp_generator, mlp_discriminator, latent_size=64, lr=2e-4, betas=(0.5, 0.999)),
}


def find_model(name: str) -> Model:
    """The model of that name. Raises SettingError for another, suggesting the nearest."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingError(f"no model is called {name!r}.{hint} There are: {', '.join(MODELS)}")
    return MODELS[name]


def build_generator(
    name: str, image_shape: Shape, latent_size: int, seed: int = 0, classes: int | None = None
) -> Module:
    """The named model's generator with fresh weights, drawn from a stream derived from the seed."""
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise SettingError(f"image shape {image_shape}: (height, width, channels) is expected, each at least 1")
    return find_model(name).generator(image_shape, latent_size, backend.generator(seed, "weights of G"), classes)


def build_gan(
    name: str = "small",
    image_shape: Shape = (28, 28, 1),
    objective: Objective | str | None = None,
    lr: float | None = None,
    seed: int = 0,
    average: float | None = None,
    classes: int | None = None,
) -> GAN:
    """The named model as a GAN ready to be trained; what is None is as its recipe says.

    classes: how many, for a conditional GAN: class-conditional batch norm in G (in `small` the first alone) and a
    projection in D, but in `mlp` label vectors that are joined to what each player sees.
    Raises SettingError for an unknown name or an image shape that the networks can't make.
    """
    model = find_model(name)
    generator = build_generator(name, image_shape, model.latent_size, seed, classes)
    discriminator = model.discriminator(image_shape, backend.generator(seed, "weights of D"), classes)
    for player in (generator, discriminator):
        player.to(backend.device())
    lr = model.lr if lr is None else lr
    return GAN(
        generator,
        discriminator,
        model.objective if objective is None else objective,
        Adam(generator.parameters(), lr, model.betas),
        Adam(discriminator.parameters(), lr, model.betas),
        latent_size=model.latent_size,
        seed=seed,
        average=model.average if average is None else average,
        classes=classes,
    )


def _batch_norm(features: int, classes: int | None) -> Module:
    return ConditionalBatchNorm(features, classes) if classes else BatchNorm(features)


def _logit(features: int, classes: int | None, spectral_norm: bool, rng: np.random.Generator) -> Module:
    """The last layer of D."""
    if classes:
        return Projection(features, classes, spectral_norm, rng)
    return Dense(features, 1, spectral_norm=spectral_norm, rng=rng)


def _quarter(model: str, image_shape: Shape) -> Shape:
    height, width, channels = image_shape
    if height % 4 or width % 4:
        raise SettingError(
            f"{model!r} makes images whose sides are multiples of 4, not {height}×{width}; "
            "resize the data, or use 'mlp'"
        )
    return height // 4, width // 4, channels
