"""The scripts that measure quality: short runs, what their tables say, and that QUALITY.md shows what was measured."""
# ruff: noqa: F811 (a fixture from another file)

import json

import numpy as np
import pytest
from test_benchmarks import HERE, bench  # noqa: F401

SCRIPTS = ("toys", "stacked", "objectives")

pytestmark = pytest.mark.skipif(not HERE.exists(), reason="benchmarks are not part of the wheel")


@pytest.fixture
def results(bench, tmp_path):
    """Results in a file of their own, out of a dict of entries."""

    def make(entries):
        lines = (json.dumps({"name": name, **entry}) + "\n" for name, entry in entries.items())
        (tmp_path / "results.json").write_text("".join(lines), encoding="utf-8")
        return bench("measured").Results(tmp_path / "results.json")

    return make


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_short_run_writes_nothing(bench, script, capsys, monkeypatch):
    monkeypatch.setenv("TINYGAN_THREADS", "1")
    module = bench(script)
    monkeypatch.setattr(module, "DATA", None)
    few = {name: bench("objectives").OBJECTIVES[name] for name in ("minimax", "wgan-clip", "r1")}
    monkeypatch.setattr(module, "OBJECTIVES", few, raising=False)
    before = {path: path.stat().st_mtime_ns for path in HERE.iterdir()}
    data = [] if script == "toys" else ["--data", "digits"]
    assert module.main(["--short", *data]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in HERE.iterdir()}
    said = capsys.readouterr().out
    rows = {"toys": 1 + 4, "stacked": 1 + 5, "objectives": 2 * (1 + 3)}
    assert sum(line.startswith("| ") for line in said.splitlines()) == rows[script]


def test_what_stands_in_the_page_was_measured(bench):
    page = (HERE / "QUALITY.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        module = bench(script)
        found = bench("measured").Results(module.DATA)
        tables = [module.table(found, module.SEEDS)]
        if script == "objectives":
            tables.append(module.rates_table(found))
        for table in tables:
            assert table in page, f"QUALITY.md lacks a table: python tests/benchmarks/{script}.py --table"


def test_a_run_that_was_stopped_goes_on(bench, tmp_path, capsys):
    measured, path, done = bench("measured"), tmp_path / "results.json", []

    def run(name):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(name)
        return {"size": len(name)}

    with pytest.raises(KeyboardInterrupt):
        measured.Results(path).measure(["a", "bb", "ccc"], run)
    again = measured.Results(path)
    assert again.entries == {"a": {"size": 1}, "bb": {"size": 2}}
    done.clear()
    again.measure(["a", "bb", "ccc"], run)
    assert done == ["ccc"] and again.of(["ccc", "dddd", "a"], "size") == [3, 1]
    assert capsys.readouterr().out == "a: size 1\nbb: size 2\nccc: size 3\n"


def test_two_processes_share_the_runs(bench, tmp_path):
    """One begins at the front and one at the back, and neither does what the other has done."""
    measured, path, done = bench("measured"), tmp_path / "results.json", []
    other = measured.Results(path)

    def run(name):
        done.append(name)
        if name == "a":
            other.measure("bc", lambda name: {"size": 2}, backwards=True)
        return {"size": 1}

    measured.Results(path).measure("abc", run)
    assert done == ["a"] and measured.Results(path).of("abc", "size") == [1, 2, 2]


def test_mean_and_deviation(bench):
    said = bench("measured").mean_and_deviation
    assert said([7.0, 8.0, 9.0], 1) == "8.0 ± 1.0" and said([8.0], 0) == "8" and said([], 1) == "not measured"


def test_steep_features_have_a_step_at_a_point_each(bench):
    toys, points = bench("toys"), np.array([[0.3, -0.7]], np.float32)
    layer = toys.steep(points, np.random.default_rng(0))
    assert np.abs(layer(points).numpy()).max() < 1e-5  # the middle of a tanh
    slopes = np.linalg.norm(layer.weight.numpy(), axis=0)
    assert slopes[0] == pytest.approx(0.5) and slopes[-1] == pytest.approx(toys.STEEPEST)


def test_a_picture_of_the_modes(bench, tmp_path):
    from PIL import Image

    toys = bench("toys")
    mixture = toys.metrics.grid()
    toys.draw(mixture.sample(2500), mixture, "grid", tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.size == (420, 440)


def test_learning_rates_fall_over_the_second_half(bench):
    toys = bench("toys")
    data, rates = toys.metrics.ring().sample(500), []
    gan = toys.build("codes", data, seed=0)
    step = gan.generator_step
    gan.generator_step = lambda n: rates.append((gan.d_optimizer.lr, gan.g_optimizer.lr)) or step(n)
    toys.train(gan, data, 4, decay=0.5)
    assert rates == [(toys.RATE * part,) * 2 for part in (1, 1, 1, 0.5)]


def test_a_packed_discriminator_judges_two_at_a_time(bench):
    stacked = bench("stacked")
    gan = stacked.build("packed", seed=0)
    images = np.zeros((4, *stacked.SHAPE), np.float32)
    assert gan.discriminator(stacked.tg.Tensor(images)).shape == (2, 1)
    assert gan.generate(np.zeros((3, gan.latent_size), np.float32)).shape == (3, *stacked.SHAPE)


def test_a_label_tells_the_cluster_of_each_channel(bench):
    """Labels are of the same digits as the images, and both players see each channel's."""
    stacked = bench("stacked")
    images = np.broadcast_to(np.arange(50, dtype=np.float32)[:, None, None, None] / 50, (50, 28, 28, 1))
    clusters = np.arange(50) % stacked.CLUSTERS
    digits = stacked.tg.data.Dataset(images, clusters, "", "", clustered=True)
    stack, labels = stacked.triples(digits, seed=3)
    shown = np.rint(50 * stack[:, 0, 0]).astype(int)
    assert np.array_equal(labels, clusters[shown] @ [1, 40, 1600]) and len(np.unique(shown)) > 30
    gan = stacked.build("clusters", seed=0)
    assert gan.classes == 64_000
    plain = stacked.triples(stacked.tg.data.Dataset(images, None, "", ""), seed=3)
    assert np.array_equal(plain[0], stack) and plain[1] is None
    latents = np.zeros((4, gan.latent_size), np.float32)
    drawn = gan.generate(latents, np.array([0, 1, 40, 1600]))
    assert all(not np.array_equal(drawn[0], other) for other in drawn[1:])
    gan.discriminator_step(stack, labels)  # D's vectors begin at 0
    logits = gan.discriminator(stacked.tg.Tensor(stack[[0] * 4]), np.array([0, 1, 40, 1600]) + labels[0] // 2).numpy()
    assert len(np.unique(logits)) > 1


def test_an_objective_is_measured_at_its_better_rate(bench, results):
    objectives = bench("objectives")
    entries = {
        "minimax/0.0005/100": {"distance": 9.0, "seconds": 1},
        "minimax/0.002/100": {"distance": 5.0, "seconds": 1},
        "hinge/0.0005/100": {"distance": 9.0, "seconds": 1},
    }
    found = results(entries)
    assert objectives.names(found, "minimax", 2) == ["minimax/0.002/0", "minimax/0.002/1"]
    assert objectives.names(found, "hinge", 2) == []  # its other rate isn't measured yet
    rows = objectives.rates_table(found).splitlines()
    assert rows == ["| objective | at 0.0005 | at 0.002 |", "|---|---|---|", "| minimax | 9.0 | 5.0 |"]


def test_the_order_is_held_against_the_papers(bench, results, tmp_path):
    from PIL import Image

    objectives = bench("objectives")
    distances = {"minimax": 3.0, "non-saturating": 2.0, "wgan-gp": 1.0, "r1": 0.5}
    entries = {
        f"{name}/{rate}/{seed}": {"distance": d + seed % 2 + 1e3 * rate, "seconds": 7}
        for name, d in distances.items()
        for rate in objectives.RATES
        for seed in (0, 1, objectives.TUNING_SEED)
    }
    found = results(entries)
    said = objectives.table(found, 2)
    assert "| r1 | 2 | 1.5 ± 0.7 | 0.0005 | 1 | 7 |  |" in said
    assert said.index("| r1 ") < said.index("| wgan-gp ") < said.index("| non-saturating ") < said.index("| minimax ")
    assert "objectives that are in its order: 1 of 3" in said
    assert "wgan-gp before non-saturating, wgan-gp before minimax." in said
    objectives.draw(found, 2, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width == 960


def test_a_generator_that_diverged_is_infinitely_far_off(bench, monkeypatch):
    objectives = bench("objectives")

    def diverge(gan, data, steps):
        gan.averaged.parameters()[0].assign(np.nan)

    monkeypatch.setattr(objectives, "train", diverge)
    assert objectives.run("minimax/0.0005/0", "digits", samples=100, count=200)["distance"] == float("inf")
