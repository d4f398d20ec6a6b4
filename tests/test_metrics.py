"""The metrics against closed forms and cases that are small enough to be counted by hand."""

import itertools
import math

import numpy as np
import pytest

from tinygan import metrics
from tinygan.errors import DataError, NonFiniteError, SettingError, ShapeError
from tinygan.metrics.neighbours import squared_distances


def exactly(mean, covariance, n=200, seed=0):
    """n vectors whose own mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


# ---------------------------------------------------------------- Fréchet


def test_frechet_of_diagonal_gaussians():
    """‖Δμ‖² + Σ (σ_a − σ_b)²."""
    a = exactly([0, 0, 0], np.diag([1, 4, 9]))
    b = exactly([1, 2, 2], np.diag([4, 4, 1]), seed=1)
    assert metrics.frechet_distance(a, b) == pytest.approx(9 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, rel=1e-9)


def test_frechet_of_covariances_that_do_not_commute():
    """In two dimensions tr (ab)^½ = √(tr(ab) + 2 √det(ab)), by Cayley and Hamilton."""
    a, b = np.array([[2, 1.5], [1.5, 3]]), np.array([[1, -0.5], [-0.5, 4]])
    root = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a @ b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    assert metrics.gaussian_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(expected, rel=1e-12)
    assert metrics.frechet_distance(exactly([0, 0], a), exactly([0, 0], b, seed=1)) == pytest.approx(expected, rel=1e-9)


def test_frechet_is_a_distance_that_knows_no_axes():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 6)), rng.standard_normal((250, 6)) + 0.3
    turn, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    d = metrics.frechet_distance(a, b)
    assert d > 1
    assert metrics.frechet_distance(b, a) == pytest.approx(d, rel=1e-9)
    assert metrics.frechet_distance(a @ turn + 5, b @ turn + 5) == pytest.approx(d, rel=1e-9)
    assert metrics.frechet_distance(3 * a, 3 * b) == pytest.approx(9 * d, rel=1e-9)
    assert 0 <= metrics.frechet_distance(a, a[::-1]) < 1e-9


def test_frechet_of_singular_covariances_is_real_and_finite():
    """Features that never change, or all do as one: the roots of matrices like that come out complex elsewhere."""
    flat = np.zeros((50, 4))
    line = np.random.default_rng(3).standard_normal((50, 1)) * np.ones(4)
    variance = float(np.var(line[:, 0], ddof=1))
    assert metrics.frechet_distance(flat, flat) == 0
    expected = 16 * line[:, 0].mean() ** 2 / 4 + 4 * variance
    assert metrics.frechet_distance(flat, line) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet_distance(line, line) == pytest.approx(0, abs=1e-9)


def test_frechet_works_in_float64_on_float32():
    a = exactly([1000, 1000], np.eye(2)).astype(np.float32)
    assert metrics.frechet_distance(a, a + np.float32(0.5)) == pytest.approx(0.5, rel=1e-3)


# ---------------------------------------------------------------- kernel distance


def kernel_mmd(a, b):
    """MMD² of the distributions that are uniform on the numbers of a and of b, with every pair."""
    k = lambda x, y: np.mean([(p * q + 1) ** 3 for p in x for q in y])  # noqa: E731
    return k(a, a) + k(b, b) - 2 * k(a, b)


@pytest.mark.parametrize(("p", "q"), [([0, 1], [0, 2]), ([0, 1, 3], [0, 1, 3])])
def test_kernel_distance_has_no_bias(p, q):
    """Its mean over every pair of samples of size 2, drawn with replacement, is MMD² itself: 0 for p = q."""
    column = lambda numbers: np.array(numbers, float)[:, None]  # noqa: E731
    estimates = [
        metrics.kernel_distance(column(x), column(y))
        for x in itertools.product(p, repeat=2)
        for y in itertools.product(q, repeat=2)
    ]
    assert np.mean(estimates) == pytest.approx(kernel_mmd(p, q), abs=1e-12)
    assert min(estimates) < 0 < max(estimates)


def test_kernel_distance_of_known_moments():
    """In one dimension MMD² = 3 Δm₁² + 3 Δm₂² + Δm₃²; N(0, 1) and N(1, 1) have (0, 1, 0) and (1, 2, 4): 22."""
    x = np.random.default_rng(4).standard_normal((2, 3000, 1))
    assert metrics.kernel_distance(x[0], x[1] + 1) == pytest.approx(22, rel=0.1)
    assert abs(metrics.kernel_distance(x[0], x[1])) < 0.1


# ---------------------------------------------------------------- precision, recall, density, coverage


def test_neighbourhood_by_hand():
    """Real balls have radius 1; those of the fakes 9.5 around 0.5, and 0.5 around 10 and 10.5."""
    real, fake = np.array([[0.0], [1], [2], [3]]), np.array([[0.5], [10], [10.5]])
    found = metrics.neighbourhood(real, fake, k=1)
    assert found == pytest.approx((1 / 3, 1.0, 2 / 3, 2 / 4))  # 0.5 lies in two real balls, around 0 and 1


def test_neighbourhood_of_equal_and_of_distant_sets():
    x = np.random.default_rng(5).standard_normal((60, 3))
    same = metrics.neighbourhood(x, x)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert metrics.neighbourhood(x, x + 100) == (0, 0, 0, 0)


def test_neighbourhood_in_chunks_agrees_with_the_definition():
    rng = np.random.default_rng(6)
    real, fake, k = rng.standard_normal((1100, 3)), 1.2 * rng.standard_normal((700, 3)), 5

    def distances(a, b):
        return ((a[:, None] - b[None]) ** 2).sum(axis=-1)

    real_radii = np.sort(distances(real, real))[:, k]
    fake_radii = np.sort(distances(fake, fake))[:, k]
    cross = distances(real, fake)
    inside = cross <= real_radii[:, None]
    expected = (
        inside.any(axis=0).mean(),
        (cross <= fake_radii).any(axis=1).mean(),
        inside.sum(axis=0).mean() / k,
        inside.any(axis=1).mean(),
    )
    assert metrics.neighbourhood(real, fake, k) == pytest.approx(expected, rel=1e-12)


def test_density_of_one_distribution_is_one_on_average():
    """A ball to the k-th of N neighbours holds k/N of the distribution, on average, in any dimension."""
    x = np.random.default_rng(7).standard_normal((20, 2, 200, 8))
    assert np.mean([metrics.neighbourhood(a, b).density for a, b in x]) == pytest.approx(1, abs=0.05)


def test_squared_distances_are_never_negative():
    x = np.random.default_rng(8).standard_normal((50, 4)) + 1e6
    found = squared_distances(x, x)
    assert found.min() == 0 and np.diag(found).max() < 0.1


# ---------------------------------------------------------------- classes


def test_class_shares_and_their_distance_from_uniform():
    shares = metrics.class_shares(np.array([0, 0, 0, 1]), classes=4)
    assert shares.tolist() == [0.75, 0.25, 0, 0]
    assert metrics.distance_from_uniform(shares) == pytest.approx(0.5)  # half would have to move, to 2 and 3
    assert metrics.distance_from_uniform(np.full(10, 0.1)) == pytest.approx(0)
    assert metrics.distance_from_uniform(np.eye(10)[3]) == pytest.approx(0.9)


def test_classifier_score():
    assert metrics.classifier_score(np.eye(10)) == pytest.approx(10)  # sure, and of each class as often
    assert metrics.classifier_score(np.full((5, 10), 0.1)) == pytest.approx(1)
    assert metrics.classifier_score(np.eye(10)[[3, 3, 3]]) == pytest.approx(1)
    by_hand = math.exp(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert metrics.classifier_score(np.array([[0.9, 0.1], [0.1, 0.9]])) == pytest.approx(by_hand)


def test_confidence_and_accuracy():
    assert metrics.mean_confidence(np.array([[0.9, 0.1], [0.3, 0.7]])) == pytest.approx(0.8)
    assert metrics.conditional_accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0])) == 0.75
    with pytest.raises(DataError, match="have no labels"):
        metrics.conditional_accuracy(np.array([1]), None)
    with pytest.raises(ShapeError, match=r"predictions \(2,\), but labels \(3,\)"):
        metrics.conditional_accuracy(np.array([1, 2]), np.array([1, 2, 3]))
    with pytest.raises(DataError, match="at least one image"):
        metrics.class_shares(np.array([], np.int64))


# ---------------------------------------------------------------- memorisation


def images(n, seed):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 3, 3, 1)).astype(np.float32)


def test_copies_are_found():
    train, test = images(600, 0), images(300, 1)
    found = metrics.memorisation(train[50:250] + 0.001, train, test)
    assert found.nearest.tolist() == list(range(50, 250))
    assert found.distance == pytest.approx(0.001, rel=0.1)
    assert (found.hits, found.share, found.copied) == (200, 1, 1) and found.found
    # by hand: variance of a draw of 200 from 900, of which 600 are training images
    assert found.z == pytest.approx((1 - 2 / 3) / math.sqrt(2 / 9 / 200 * 700 / 899))


def test_new_samples_are_no_copies():
    for seed in range(5):
        found = metrics.memorisation(images(400, 10 + seed), images(600, 0), images(300, 1))
        assert not found.found and abs(found.z) < 4 and found.expected == pytest.approx(2 / 3)


def test_a_lack_of_variety_is_not_taken_for_copying():
    found = metrics.memorisation(np.zeros((400, 3, 3, 1), np.float32), images(600, 0), images(300, 1))
    assert found.hits == 1 and not found.found


def test_the_standard_score_is_one():
    """For sets of one distribution z has mean 0 and variance 1, also where few samples repeat many times."""
    rng = np.random.default_rng(9)
    scores = []
    for _ in range(300):
        x = rng.standard_normal((260, 2, 1, 1)).astype(np.float32)
        samples = np.repeat(x[:60], rng.integers(1, 9, 60), axis=0)
        scores.append(metrics.memorisation(samples, x[60:190], x[190:]).z)
    assert abs(np.mean(scores)) < 0.2 and np.var(scores) == pytest.approx(1, abs=0.3)


# ---------------------------------------------------------------- mixtures


@pytest.mark.parametrize(("mixture", "modes", "radius"), [(metrics.ring(), 8, 1), (metrics.grid(), 25, 32**0.5)])
def test_a_mixture_reports_itself_as_sound(mixture, modes, radius):
    assert mixture.centres.shape == (modes, 2)
    assert np.linalg.norm(mixture.centres, axis=1).max() == pytest.approx(radius)
    report = metrics.mode_report(mixture.sample(2500), mixture)
    assert report.captured == modes
    assert report.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert report.reverse_kl == pytest.approx((modes - 1) / 5000, rel=0.9)


def test_modes_by_hand():
    ring = metrics.ring()
    centres = ring.centres
    points = np.concatenate([np.repeat(centres[:1], 3, axis=0), centres[2:3] * 1.029, centres[4:5] * 1.031])
    report = metrics.mode_report(points, ring)
    assert report.captured == 2 and report.high_quality == pytest.approx(4 / 5)  # the last lies beyond 3σ
    q = np.array([3, 1, 1]) / 5
    assert report.reverse_kl == pytest.approx(np.sum(q * np.log(q * 8)))
    assert metrics.mode_report(centres[:1], ring).reverse_kl == pytest.approx(math.log(8))


def test_more_points_begin_with_the_same():
    ring = metrics.ring()
    assert np.array_equal(ring.sample(50, seed=3)[:20], ring.sample(20, seed=3))
    assert not np.array_equal(ring.sample(20, seed=3), ring.sample(20, seed=4))


# ---------------------------------------------------------------- bad input


def test_too_few_or_unequal_or_broken_features():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 10, 4))
    nan = a.copy()
    nan[7, 2] = np.nan
    for metric, enough in ((metrics.frechet_distance, 5), (metrics.kernel_distance, 2), (metrics.neighbourhood, 6)):
        metric(a[:enough], b[:enough])
        with pytest.raises(DataError, match=f"{enough - 1} samples are too few, at least {enough} are needed"):
            metric(a, b[: enough - 1])
        with pytest.raises(ShapeError, match=r"\(10, 4\), \(10, 3\)"):
            metric(a, b[:, :3])
        with pytest.raises(ShapeError, match=r"\(N, d\)"):
            metric(a[0], b[0])
        with pytest.raises(NonFiniteError, match="row 7"):
            metric(a, nan)
    with pytest.raises(SettingError, match="k=0"):
        metrics.neighbourhood(a, b, k=0)
    with pytest.raises(ShapeError, match=r"\(10, 4\)"):
        metrics.mode_report(a, metrics.ring())
    with pytest.raises(NonFiniteError, match="row 1"):
        metrics.mode_report(np.array([[0, 0], [np.nan, 0]]), metrics.ring())
    with pytest.raises(SettingError, match="n=0"):
        metrics.ring().sample(0)
    with pytest.raises(ShapeError, match="different sizes"):
        metrics.memorisation(images(2, 0), images(2, 0), images(2, 0)[:, :2])
    with pytest.raises(DataError, match="empty"):
        metrics.memorisation(images(2, 0), images(2, 0), images(0, 0))
