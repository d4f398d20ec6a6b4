"""What each player minimises, written on logits with softplus: finite, with a right gradient, at any logit.

An objective is a class of two formulas, one for each player, and one line in OBJECTIVES. l is D's output for
real images, f for fake ones; with D = σ(logit),  log D = −softplus(−l)  and  log(1 − D) = −softplus(f).
"""

from .autograd import Tensor
from .errors import SettingError, ShapeError
from .ops import Reshape, Sigmoid, relu, softplus


class Objective:
    """A zero-sum (or nearly) game: `discriminator` and `generator` are each minimised by their player.

    log_odds: whether D's optimal logit is log(p_data/p_G), so that V(D, G) and its equilibrium −log 4 have a meaning.
    Both raise ShapeError where the logits aren't (N,) or (N, 1) alike, and SettingError where they went through a
    sigmoid already.
    """

    log_odds = False

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

    def real_loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def fake_loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError

    def generator_loss(self, logits: Tensor) -> Tensor:
        raise NotImplementedError


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
    """L_D = ½E[(D(x) − 1)²] + ½E[D(G(z))²],  L_G = ½E[(D(G(z)) − 1)²], on D's output itself. Mao et al. 2017, eq. 9."""

    def real_loss(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - 1) ** 2

    def fake_loss(self, logits: Tensor) -> Tensor:
        return 0.5 * logits**2

    def generator_loss(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - 1) ** 2


class Hinge(Objective):
    """L_D = E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))],  L_G = −E[D(G(z))].

    Lim & Ye 2017; Miyato et al. 2018, eq. 16–17.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        return relu(1 - logits)

    def fake_loss(self, logits: Tensor) -> Tensor:
        return relu(1 + logits)

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -logits


class Wasserstein(Objective):
    """L_D = E[D(G(z))] − E[D(x)],  L_G = −E[D(G(z))]; D must be kept Lipschitz besides.

    Arjovsky et al. 2017, eq. 2–3.
    """

    def real_loss(self, logits: Tensor) -> Tensor:
        return -logits

    def fake_loss(self, logits: Tensor) -> Tensor:
        return logits

    def generator_loss(self, logits: Tensor) -> Tensor:
        return -logits


minimax = Minimax()
non_saturating = NonSaturating()
least_squares = LeastSquares()
hinge = Hinge()
wasserstein = Wasserstein()

OBJECTIVES: dict[str, Objective] = {
    "minimax": minimax,
    "non-saturating": non_saturating,
    "least-squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
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
