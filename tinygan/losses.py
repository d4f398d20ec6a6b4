"""What each player minimises, written on logits with softplus: finite, with a right gradient, at any logit.

An objective is a class of two formulas, one for each player, and one line in OBJECTIVES. l is D's output for
real images, f for fake ones; with D = σ(logit),  log D = −softplus(−l)  and  log(1 − D) = −softplus(f).
p is the data's density, q that of G's images.
"""

import numpy as np

from . import backend
from .autograd import Tensor
from .errors import SettingError, ShapeError
from .nn import Module
from .ops import Reshape, Sigmoid, relu, softplus
from .penalties import Discriminator, dragan_penalty, gradient_penalty, r1_penalty


class Objective:
    """A zero-sum (or nearly) game: `discriminator` and `generator` are each minimised by their player.

    log_odds: whether D's optimal logit is log(p/q), so that V(D, G) and its equilibrium −log 4 have a meaning.
    d_steps: how many steps of D the paper takes for each of G's; `tinygan train` does so.
    Both raise ShapeError where the logits aren't (N,) or (N, 1) alike, and SettingError where they went through a
    sigmoid already.
    """

    log_odds = False
    d_steps = 1

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """D's loss, one number. The two batches may differ in size."""
        _check_logits(real_logits)
        _check_logits(fake_logits)
        if real_logits.ndim != fake_logits.ndim:
            raise ShapeError(
                f"real logits have shape {real_logits.shape}, fake ones {fake_logits.shape}; "
                "make both (N, 1) or both (N,)"
            )
        return self.real_loss(real_logits).mean() + self.fake_loss(fake_logits).mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        """G's loss, one number."""
        _check_logits(fake_logits)
        return self.generator_loss(fake_logits).mean()

    def penalty(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, rng: np.random.Generator
    ) -> Tensor | None:
        """What D minimises besides, such as a penalty on its slope: one number, or None."""
        return None

    def constrain(self, discriminator: Module) -> None:
        """What is done to D's weights after each of its steps."""

    def real_loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def fake_loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def generator_loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def describe(self) -> str:
        """The kind and its numbers: `WassersteinGP(weight=10.0)`."""
        numbers = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return type(self).__name__ + (f"({numbers})" if numbers else "")


class Minimax(Objective):
    """V(D, G) = E[log D(x)] + E[log(1 − D(G(z)))]: D minimises −V, G minimises V. Goodfellow et al. 2014, eq. 1.

    At the optimum D = p/(p + q) = ½ and V = −log 4. G's gradient is −σ(f): it vanishes where D is sure of the fakes.
    """

    log_odds = True

    def real_loss(self, logits: Tensor) -> Tensor:
        return softplus(-logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        return softplus(logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -softplus(logits)


class NonSaturating(Minimax):
    """D as in minimax; G minimises −E[log D(G(z))]. Goodfellow et al. 2014, section 3.

    The same equilibrium, but G's gradient −(1 − σ(f)) is largest where D is sure of the fakes.
    """

    def generator_loss(self, logits: Tensor) -> Tensor:
        return softplus(-logits)


class LeastSquares(Objective):
    """L_D = ½E[(D(x) − 1)²] + ½E[D(G(z))²],  L_G = ½E[(D(G(z)) − 1)²], on D's output itself. Mao et al. 2017, eq. 9.

    The best D is p/(p + q), at the equilibrium ½; L_D is then ¼, L_G ⅛.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - 1) ** 2

    def fake_loss(self, logits: Tensor) -> Tensor:
        return 0.5 * logits**2

    def generator_loss(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - 1) ** 2


class Hinge(Objective):
    """L_D = E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))],  L_G = −E[D(G(z))].

    Lim & Ye 2017; Miyato et al. 2018, eq. 16–17. The best D is the sign of p − q; at the equilibrium L_D = 2.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        return relu(1 - logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        return relu(1 + logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -logits


class Wasserstein(Objective):
    """L_D = E[D(G(z))] − E[D(x)],  L_G = −E[D(G(z))]; D must be kept Lipschitz besides, by spectral norm or as below.

    Arjovsky et al. 2017 (arXiv 1701.07875), eq. 2–3. Over 1-Lipschitz D the least L_D is −W(p, q), the earth mover's
    distance: 0 at the equilibrium.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        return -logits

    def fake_loss(self, logits: Tensor) -> Tensor:
        return logits

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -logits


class WassersteinClipped(Wasserstein):
    """Wasserstein, with D's weights clipped to [−c, c] after each of its steps. Arjovsky et al. 2017, algorithm 1.

    So D is K-Lipschitz for a K that depends on the network; the least L_D is −K · W(p, q) or more.
    """

    d_steps = 5

    def __init__(self, clip: float = 0.01):
        if not clip > 0:
            raise SettingError(f"{type(self).__name__}: clip={clip}; a number above 0 is expected")
        self.clip = clip

    def constrain(self, discriminator: Module) -> None:
        for parameter in discriminator.parameters():
            array = parameter.writable()
            backend.array_library(array).clip(array, -self.clip, self.clip, out=array)


class Weighted(Objective):
    """An objective with a penalty, which D's loss counts `weight` times."""

    def __init__(self, weight: float = 10.0):
        if not weight >= 0:
            raise SettingError(f"{type(self).__name__}: weight={weight}; a number of at least 0 is expected")
        self.weight = weight


class WassersteinGP(Weighted, Wasserstein):
    """Wasserstein + λ E[(‖∂D(x̂)/∂x̂‖ − 1)²], λ = 10. Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3.

    The best critic has slope 1 between p and q; where p = q, L_D = 0. See penalties.gradient_penalty.
    """

    d_steps = 5

    def penalty(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, rng: np.random.Generator
    ) -> Tensor | None:
        return self.weight * gradient_penalty(discriminator, real, fake, rng)


class R1(Weighted, NonSaturating):
    """Non-saturating + γ/2 E[‖∂D(x)/∂x‖²] at real x, γ = 10. Mescheder et al. 2018 (arXiv 1801.04406), eq. 9.

    The equilibrium is minimax's, D = ½ around the data, where the penalty is 0; near it training converges.
    """

    def penalty(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, rng: np.random.Generator
    ) -> Tensor | None:
        return self.weight * r1_penalty(discriminator, real)


class Dragan(Weighted, NonSaturating):
    """Non-saturating + λ E[(‖∂D(x + δ)/∂x‖ − 1)²] around real x, λ = 10. Kodali et al. 2017 (arXiv 1705.07215), eq. 1.

    It asks for slope 1 near the data, so that minimax's equilibrium, where D is flat, is not quite its own.
    See penalties.dragan_penalty.
    """

    def penalty(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, rng: np.random.Generator
    ) -> Tensor | None:
        return self.weight * dragan_penalty(discriminator, real, rng)


class SmoothedLabels(NonSaturating):
    """Non-saturating with the real label α = 0.9 in place of 1, the fake one 0 as it is (one-sided).

    L_D = −E[α log D(x) + (1 − α) log(1 − D(x))] − E[log(1 − D(G(z)))]. Salimans et al. 2016 (arXiv 1606.03498), 3.4.
    The best D is α p/(p + q), never sure of a real image: at the equilibrium α/2.
    """

    log_odds = False

    def __init__(self, label: float = 0.9):
        if not 0.5 < label <= 1:
            raise SettingError(f"SmoothedLabels: label={label}; a number above 0.5, up to 1, is expected")
        self.label = label

    def real_loss(self, logits: Tensor) -> Tensor:
        return self.label * softplus(-logits) + (1 - self.label) * softplus(logits)


minimax = Minimax()
non_saturating = NonSaturating()
least_squares = LeastSquares()
hinge = Hinge()
wasserstein = Wasserstein()
wgan_clip = WassersteinClipped()
wgan_gp = WassersteinGP()
r1 = R1()
dragan = Dragan()
smoothed_labels = SmoothedLabels()

OBJECTIVES: dict[str, Objective] = {
    "minimax": minimax,
    "non-saturating": non_saturating,
    "least-squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "wgan-clip": wgan_clip,
    "wgan-gp": wgan_gp,
    "r1": r1,
    "dragan": dragan,
    "smoothed-labels": smoothed_labels,
}


def value(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """V(D, G) = E[log D(x)] + E[log(1 − D(G(z)))] itself: −log 4 ≈ −1.386 where D can't tell, up to 0 where it can."""
    return -minimax.discriminator(real_logits, fake_logits)


def _check_logits(logits: Tensor) -> None:
    if not logits.size or logits.ndim not in (1, 2) or logits.shape[1:] not in ((), (1,)):
        raise ShapeError(f"logits have shape {logits.shape}; one number an example is expected, (N, 1) or (N,)")
    op = logits.op
    while isinstance(op, Reshape):
        op = op.inputs[0].op
    if isinstance(op, Sigmoid):
        raise SettingError(
            "this loss was given the output of a Sigmoid, but it takes logits: it applies the sigmoid itself, and "
            "two of them flatten the gradient. Take the Sigmoid from the end of the discriminator"
        )
