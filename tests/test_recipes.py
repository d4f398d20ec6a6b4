"""tests/benchmarks/recipes.py: its ablations are what they are called, its table is made of what was measured."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from tinygan import Trainer, data, models, nn

HERE = Path(__file__).parent / "benchmarks"
REAL = np.random.default_rng(0).uniform(-1, 1, (4, 28, 28, 1)).astype(np.float32)


@pytest.fixture
def recipes(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("recipes")


def dense_sizes(player):
    return [(m.in_features, m.out_features) for m in player.modules() if isinstance(m, nn.Dense)]


def test_each_ablation_undoes_one_choice(recipes):
    plain = recipes.build(0)
    for name, settings in recipes.ABLATIONS.items():
        settings = {key: value for key, value in settings.items() if key not in ("labels", "decay")}
        gan = recipes.build(0, **settings)
        labels = np.arange(4) if gan.classes else None
        gan.discriminator_step(REAL, labels)
        gan.generator_step(4)
        hidden = dense_sizes(gan.generator), dense_sizes(gan.discriminator)
        if "hidden" not in name:
            assert hidden == (dense_sizes(plain.generator), dense_sizes(plain.discriminator))
        norms = [float(m.spectral_norm) for m in gan.discriminator.modules() if hasattr(m, "spectral_norm")]
        expected = {"no spectral norm": [0, 0, 0, 0], "spectral norm 1 in place of 2": [1, 1, 1, 1]}
        assert norms == expected.get(name, [2, 2, 1] if "layer in D" in name else [2, 2, 2, 1])
        assert gan.average == (0 if name == "no moving average" else 0.99)
        assert gan.g_optimizer.lr == gan.d_optimizer.lr == (5e-4 if name == "learning rate 5e-4" else 2e-3)
        assert type(gan.objective).__name__ == ("Hinge" if name == "hinge objective" else "NonSaturating")
        told = sum(isinstance(m, nn.ConditionalBatchNorm) for m in gan.generator.modules())
        assert told == {"no clusters": 0, "clusters told in every batch norm": 3}.get(name, 1)
        classes = {"no clusters": None, "labels in place of clusters": 10}
        number = name.partition(" clusters")[0]
        assert gan.classes == classes.get(name, int(number) if number.isdigit() else plain.classes)
    assert dense_sizes(recipes.build(0, d=recipes.flat_discriminator).discriminator) == [(3136, 1)]
    assert dense_sizes(recipes.build(0, g=recipes.flat_generator).generator) == [(64, 3136)]


def test_its_small_is_that_of_the_command(recipes):
    ours, theirs = recipes.build(3), models.build_gan("small", seed=3, classes=models.MODELS["small"].clusters)
    for player in ("generator", "discriminator"):
        a, b = (getattr(gan, player).state_dict() for gan in (ours, theirs))
        assert all(np.array_equal(a[name], b[name]) for name in b)
    for part in ("g_optimizer", "d_optimizer", "objective"):
        assert getattr(ours, part).describe() == getattr(theirs, part).describe()
    assert (ours.average, ours.classes, ours.latent_size) == (theirs.average, theirs.classes, theirs.latent_size)


def test_clusters_are_told_as_the_command_tells_them(recipes, monkeypatch):
    """In a short run, to the byte."""
    digits = data.load("digits", count=400)
    monkeypatch.setattr(recipes.metrics.sources, "SAMPLES", 30)
    monkeypatch.setattr(recipes, "SHAPE", digits.image_shape)
    ours = recipes.train_tinygan("40 clusters", 1, 2, digits)
    clustered = data.cluster(digits, 40, seed=1)
    gan = models.build_gan("small", seed=1, classes=40)
    Trainer(gan, clustered, None, 64, progress=False).fit(steps=2)
    assert np.array_equal(ours, gan.sample(30, seed=1))


def test_the_table_says_median_and_worst(recipes, tmp_path):
    results = recipes.Results(tmp_path / "recipes.json")
    result = {"steps": 9, "rarest": 0.06, "precision": 0.5, "recall": 0.7, "score": 9.0}
    for seed, distance in enumerate((3.0, 1.0, 2.0)):
        results.add(f"small/{seed}", {**result, "distance": distance, "rarest": 0.05 + 0.01 * seed})
    row = recipes.table(results, recipes.SEEDS).splitlines()[-1]
    assert row == "| small | 9 | 3 | 2.00 | 3.00 | 5.0 % | 0.50 | 0.70 | 9.00 |"


def test_ablations_have_one_seed_and_the_reference_is_run_once(recipes):
    every = recipes.names([*recipes.RECIPES, *recipes.ABLATIONS], 2)
    assert every.index("reference, 10 minutes/1") < every.index("reference/1")
    assert len(every) == 2 * len(recipes.RECIPES) + len(recipes.ABLATIONS)


def test_the_page_shows_what_was_measured(recipes):
    found = recipes.table(recipes.Results(recipes.DATA), recipes.SEEDS)
    assert found in (HERE / "QUALITY.md").read_text(encoding="utf-8"), "QUALITY.md: recipes.py --table"
