"""Early warnings and the report: for each warning a run that triggers it and one that doesn't."""

import json
import math
import re

import numpy as np
import pytest
from test_resume import IMAGES, everything_gan, posix, stop_in
from test_resume import trainer as resumable

import tinygan as tg
from tinygan import data, models, nn
from tinygan.autograd import Tensor
from tinygan.diagnosis import Diagnosis, Watch, classes_read, judging
from tinygan.diagnosis import report as diagnosis_report
from tinygan.diagnosis.measuring import dead_share, diversity, gradient_norm, hidden_layers, ranking
from tinygan.errors import NonFiniteError

REAL = np.random.default_rng(1).uniform(-1, 1, (64, 4, 4, 1)).astype(np.float32)
HALF = np.where(np.arange(4)[:, None, None] % 2, np.float32(1), REAL)  # every second row is white
BRIGHT = 0.25 * REAL + 0.75


def make_gan(
    objective="non-saturating", g_lr=2e-3, d_lr=2e-3, hidden=None, activation=nn.LeakyReLU, optimizer=tg.optim.Adam
):
    """Latents -> 16 -> 4×4 pixels; pixels -> 16 -> a logit."""
    rng = np.random.default_rng(0)
    g = nn.Sequential(nn.Dense(3, 16, rng=rng), activation(), nn.Dense(16, 16, rng=rng), nn.Tanh(), nn.Reshape(4, 4, 1))
    d = nn.Sequential(nn.Flatten(), nn.Dense(16, 16, rng=rng), activation(), nn.Dense(16, 1, rng=rng))
    return tg.GAN(g, d, objective, optimizer(g.parameters(), g_lr), optimizer(d.parameters(), d_lr), latent_size=3)


def train(gan, steps, images=REAL, out=None, **settings):
    settings = {"batch_size": 32, "log_every": 1, "sample_every": 10, "progress": False, **settings}
    run = tg.Trainer(gan, images, out, **settings)
    run.fit(steps=steps)
    return run


def begun(run):
    """The first words of each warning."""
    return [episode.seen.split(":")[0] for episode in run.diagnosis.episodes]


# ---------------------------------------------------------------- what is measured


def test_ranking_is_the_area_under_the_roc_curve():
    real, fake = np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [2.0]])
    assert ranking(real, fake) == (4 + 0.5) / 6  # 1 > 0, 2 > 0, 3 > 0, 3 > 2; 2 = 2


def test_diversity():
    assert diversity(0.5 * REAL, REAL) == pytest.approx(0.5)
    assert diversity(np.ones_like(REAL), REAL) == 0
    pairs = REAL[:, None] - REAL[None]
    apart = math.sqrt((pairs**2).sum((2, 3, 4)).mean())
    fake = REAL[::-1] ** 3
    fakes_apart = math.sqrt(((fake[:, None] - fake[None]) ** 2).sum((2, 3, 4)).mean())
    assert diversity(fake, REAL) == pytest.approx(fakes_apart / apart, rel=1e-5)


def test_diversity_with_labels_is_within_the_classes():
    labels = np.arange(64) % 4
    one_image_a_class = REAL[:4][labels]
    assert diversity(one_image_a_class, REAL) > 0.5 and diversity(one_image_a_class, REAL, labels) < 1e-3
    assert diversity(REAL, REAL, labels) == pytest.approx(1)
    assert diversity(REAL, REAL, np.arange(64)) is None


def test_images_that_are_all_alike_leave_diversity_out():
    run = train(make_gan(), 3, np.zeros_like(REAL))
    assert "d_accuracy" in run.log[-1] and "diversity" not in run.log[-1]


def test_gradient_norm():
    x, y = Tensor([3.0, 0.0], requires_grad=True), Tensor([4.0], requires_grad=True)
    (x * x).sum().backward()
    assert gradient_norm([x, y]) == 6
    (y * 4).sum().backward()
    assert gradient_norm([x, y]) == pytest.approx(math.sqrt(36 + 16))


def test_dead_share():
    least, largest = np.array([0.0, 0.0, -1.0, 5.0]), np.array([0.0, 3.0, -1.0, 5.0001])
    assert dead_share(least, largest) == 0.75
    assert dead_share(np.zeros(3), np.zeros(3)) == 1


def test_hidden_layers_leave_out_the_ends():
    gan = models.build_gan("mlp", (4, 4, 1))
    assert [name for name, _ in hidden_layers(gan.generator)] == ["layers.1", "layers.3"]
    assert [name for name, _ in hidden_layers(gan.discriminator)] == ["layers.2"]
    conditional = models.build_gan("small", (4, 4, 1), classes=3)
    kinds = {type(layer) for _, layer in hidden_layers(conditional.generator)}
    assert kinds == {nn.LeakyReLU, nn.Reshape}
    assert hidden_layers(nn.Flatten()) == []


def test_watching_changes_nothing_and_measures_what_the_step_has():
    watched, alone = everything_gan(), everything_gan()
    watch = Watch(watched, layers=True)
    with watch.on():
        losses = [watched.discriminator_step(IMAGES[:8]), watched.generator_step(8)]
    assert losses[0].item() == alone.discriminator_step(IMAGES[:8]).item()
    assert losses[1].item() == alone.generator_step(8).item()
    a, b = watched.state_dict(), alone.state_dict()
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    line = watch.line()
    assert list(line) == ["d_gradient", "d_accuracy", "diversity", "g_gradient", "d_dead", "d_dead_layer", "g_dead",
                          "g_dead_layer"]  # fmt: skip
    assert watched.look is None and all(type(number) in (int, float) for number in line.values())


def test_gradients_are_those_of_the_step():
    gan = make_gan(optimizer=tg.optim.SGD, g_lr=1.0, d_lr=1.0)
    before = gan.state_dict()
    watch = Watch(gan)
    with watch.on():
        gan.discriminator_step(REAL)
        gan.generator_step(64)
    after, line = gan.state_dict(), watch.line()
    for player in ("generator", "discriminator"):
        moved = math.sqrt(sum(((after[n] - before[n]) ** 2).sum() for n in before if n.startswith(player)))
        assert line[f"{player[0]}_gradient"] == pytest.approx(moved, rel=1e-4)


def test_on_a_gpu_nothing_comes_over_but_with_the_line(fake_gpu):
    gan = models.build_gan("small", (8, 8, 1), classes=3)
    real, labels = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32), np.arange(8) % 3
    gan.discriminator_step(real, labels)
    watch, before = Watch(gan, layers=True), fake_gpu.device_to_host_copies
    with watch.on():
        gan.discriminator_step(real, labels)
        gan.generator_step(8)
    assert fake_gpu.device_to_host_copies == before
    assert len(watch.line()) == 8 and fake_gpu.device_to_host_copies > before


# ---------------------------------------------------------------- warnings: a run that has it, and one that hasn't


@pytest.mark.parametrize("objective", ["non-saturating", "minimax", "least-squares", "hinge", "r1", "wasserstein"])
def test_a_healthy_run_hears_nothing(objective, capsys):
    run = train(make_gan(objective), 150)
    said = capsys.readouterr().err
    assert begun(run) == [] and "Nothing was found wrong on the way." in said and "step" not in said.split("\n", 1)[1]


def test_d_wins(capsys):
    """Against a G that hardly learns, D is always right."""
    run = train(make_gan(g_lr=1e-9, d_lr=0.02), 100, HALF)
    assert begun(run) == ["D wins"]
    said = capsys.readouterr().err
    assert said.count("D wins: for 49 steps it has ranked the real image above the fake one in more than 98%") == 2
    assert "(--objective r1), spectral normalisation" in said and "(--lr 0.007 in place of 0.02)" in said
    critic = train(make_gan("wgan-gp", g_lr=1e-9, d_lr=0.02), 100, HALF, d_steps=1)
    assert min(critic.diagnosis.numbers.last("d_accuracy", 50)) > judging.WON and begun(critic) == []


def test_collapse():
    """G runs for the one image that a slow D takes for the most real."""
    gan = make_gan(g_lr=0.05, d_lr=1e-4)
    assert begun(train(gan, 100))[0] == "the fakes collapse"
    assert gan.sample(16).std(0).mean() < 0.05


@pytest.mark.parametrize(
    ("objective", "warnings", "advice"),
    [
        ("minimax", ["D wins", "G's gradient vanishes"], "--objective non-saturating"),
        ("non-saturating", ["D wins"], ""),
    ],
)
def test_a_vanishing_gradient(objective, warnings, advice, capsys):
    """Where D is sure of the fakes, minimax hands G nothing; the non-saturating objective does."""
    run = train(make_gan(objective, g_lr=1e-4, d_lr=0.02), 200, HALF)
    assert begun(run) == warnings
    assert advice in capsys.readouterr().err


def test_a_vanishing_gradient_of_another_objective(capsys):
    """D's hidden units die, so nothing comes through to G."""
    run = train(make_gan(d_lr=10.0, activation=nn.ReLU, optimizer=tg.optim.SGD), 60, BRIGHT)
    assert "G's gradient vanishes" in begun(run)
    assert "LeakyReLU in place of ReLU, tanh and sigmoid" in capsys.readouterr().err


def test_a_dead_layer(capsys):
    run = train(make_gan(d_lr=10.0, activation=nn.ReLU, optimizer=tg.optim.SGD), 60, BRIGHT)
    assert "a layer of D is dead" in begun(run) and "a layer of G is dead" not in begun(run)
    assert re.search(r"\d+% of the units of layers\.2, ReLU, give one and the same output", capsys.readouterr().err)
    run = train(make_gan(activation=nn.ReLU), 60)
    assert begun(run) == [] and run.diagnosis.numbers["d_dead"]


def test_an_exploding_gradient(capsys):
    """Nothing bounds the slope of this critic."""
    run = train(make_gan("wasserstein", g_lr=1e-3, d_lr=0.05), 200)
    assert begun(run) == ["G's gradient explodes"]
    assert "--objective wgan-gp, which bounds D's slope" in capsys.readouterr().err
    run = train(make_gan("wgan-gp", g_lr=1e-3, d_lr=0.05), 200, d_steps=1)
    assert begun(run) == []


def test_a_nan_says_what_to_try_and_what_was_wrong_before(tmp_path):
    gan = make_gan("least-squares", d_lr=1e3, optimizer=tg.optim.SGD)
    with pytest.raises(
        NonFiniteError, match=r"step 2: .* (nan|inf)\. Training stopped.*Try a smaller learning rate \(--lr .*debug\(\)"
    ):
        train(gan, 100, out=tmp_path / "run")
    assert "Ended by an error: step 2" in (tmp_path / "run" / "report.txt").read_text(encoding="utf-8")
    diagnosis = Diagnosis(make_gan())
    for step, norm in enumerate([1.0] * 30 + [500.0], 1):
        diagnosis.read({"step": step, "d_gradient": norm})
    assert diagnosis.after_nan().endswith("Since step 31 D's gradient explodes: its norm is 5e+02, where 1 was usual.")


def test_a_gradient_that_is_nan_is_named():
    gan = make_gan()

    def spoil(parameter):
        if gan.g_steps == 3:
            parameter.grad = parameter.grad * float("nan")

    gan.generator.parameters()[0].register_hook(spoil)
    with pytest.raises(
        NonFiniteError, match=r"step 4: D's loss is [\d.]+, G's [\d.]+, g_gradient nan\. Training stopped"
    ):
        train(gan, 10)


def test_the_loss_of_a_d_that_cannot_tell():
    for objective, loss in (("minimax", math.log(4)), ("least-squares", 0.25), ("hinge", 2), ("r1", math.log(4))):
        assert judging.DiscriminatorWins(make_gan(objective), "").undecided == pytest.approx(loss)


# ---------------------------------------------------------------- warnings: when they begin and end


def hear(gan, **series):
    """All that is said of a log with these numbers."""
    diagnosis, said = Diagnosis(gan), []
    for i, numbers in enumerate(zip(*series.values(), strict=True), 1):
        said += diagnosis.read({"step": 10 * i, "d_loss": 1.0, "g_loss": 1.0} | dict(zip(series, numbers, strict=True)))
    return [sentence.split(". ")[0].rstrip(".") for sentence in said]


def test_d_wins_after_50_lines_and_until_it_is_beaten():
    sure = [0.1] * 99
    assert hear(make_gan(), d_accuracy=[0.99] * 49 + [0.98] + [0.99] * 49, d_loss=sure) == []
    assert hear(make_gan(), d_accuracy=[0.99] * 99, d_loss=[0.7] * 99) == []  # of 2 log 2 = 1.386
    (penalised,) = hear(make_gan(), d_accuracy=[0.99] * 99, d_loss=[0.9] * 99, penalty=[0.3] * 99)
    began, ended = hear(make_gan(), d_accuracy=[0.7] * 3 + [0.99] * 60 + [0.96] * 20 + [0.6] * 16, d_loss=sure)
    assert began.startswith("step 530: D wins: for 490 steps") and began.endswith(
        "its loss is 0.1, where 1.4 is that of a D that can't tell"
    )
    assert penalised.startswith("step 500: D wins") and "its loss is 0.6, " in penalised
    assert ended == "step 880: D no longer wins: it ranks 78% of all pairs rightly"


def test_collapse_is_held_against_what_was():
    assert hear(make_gan(), diversity=[0.03] * 40 + [0.9] * 20 + [0.35] * 20) == []
    began, ended = hear(make_gan(), diversity=[0.9] * 20 + [0.2] * 20 + [0.8] * 20)
    assert began == (
        "step 260: the fakes collapse: they are 20% as far from each other as real images are, after 90% at step 100, "
        "so G draws nearly the same for different latents"
    )
    assert ended == "step 450: the fakes are diverse again, 50% as far from each other as real images are"
    (never,) = hear(make_gan(), diversity=[0.01] * 60)
    assert never.startswith("step 500: the fakes collapse")


def test_a_gradient_explodes_at_once_or_by_growing():
    (sudden, over) = hear(make_gan(), d_gradient=[1.0] * 30 + [101.0] + [1.0] * 20)
    assert sudden == "step 310: D's gradient explodes: its norm is 1e+02, where 1 was usual"
    assert over == "step 410: D's gradient is tame again: its norm is 1"
    (growing,) = hear(make_gan(), g_gradient=list(1.1 ** np.arange(70)))
    assert growing.startswith("step 590: G's gradient explodes")
    assert hear(make_gan(), d_gradient=[1.0] * 30 + [99.0] + [1.0] * 20) == []
    assert hear(make_gan(), d_gradient=[1.0] * 20 + [1e-3] * 60 + [1.0] * 20) == []  # back, and not exploding


def test_a_gradient_that_comes_back():
    began, ended = hear(make_gan(), g_gradient=[1.0] * 20 + [1e-3] * 20 + [0.5] * 20)
    assert began.startswith("step 260: G's gradient vanishes: its norm is 0.001, after 1 at step 100")
    assert ended == "step 450: G's gradient is back: its norm is 0.25"


def test_a_layer_that_comes_to_life_again():
    began, ended = hear(make_gan(), g_dead=[0.6, 0.4, 0.6, 0.7, 0.2], g_dead_layer=[0.0] * 5)
    assert began.startswith("step 40: a layer of G is dead: 70% of the units of layers.1, LeakyReLU(0.2), give one")
    assert ended == "step 50: the dead layer of G is alive again"


def test_what_to_try_is_said_once():
    diagnosis, said = Diagnosis(make_gan()), []
    for i, norm in enumerate(([1.0] * 30 + [500.0] + [1.0] * 30) * 2, 1):
        said += diagnosis.read({"step": i, "d_gradient": norm})
    assert len(said) == 4 and "Try" in said[0] and not any("Try" in sentence for sentence in said[1:])
    words = diagnosis_report.in_words(diagnosis, "The end.")
    assert words.count("explodes") == 2 and words.count("Try") == 1 and "From step 31 to step 41: D's" in words


def test_the_rate_to_try_is_below_the_one_that_was_asked_for(capsys):
    """Not below what it has fallen to."""
    train(win(), 60, HALF, decay=0.9)
    assert capsys.readouterr().err.count("(--lr 0.007 in place of 0.02)") == 2


def test_lines_without_these_numbers_are_no_news():
    assert hear(make_gan(), value=[-1.0] * 60) == []


# ---------------------------------------------------------------- the run folder, and going on


def test_the_log_and_the_report_have_it(tmp_path):
    out = tmp_path / "run"
    train(make_gan(), 25, out=out, log_every=5)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    measured = {"d_accuracy", "diversity", "d_gradient", "g_gradient"}
    assert all(measured <= line.keys() for line in lines)
    assert [line["step"] for line in lines if "d_dead" in line] == [10, 20]
    report = (out / "report.txt").read_text(encoding="utf-8")
    assert report.startswith("Trained for 25 steps.\nD ranks the real image above the fake one in ")
    assert "V(D, G) is −" in report and report.endswith("Nothing was found wrong on the way.\n")


def test_a_run_that_is_stopped_warns_as_if_it_never_had_been(tmp_path, capsys):
    """The same report, and each warning once; a line that only the stop left counts for nothing."""
    reports, said = [], []
    for name, stops in (("whole", []), ("parts", [47, 53, 80])):
        for stop in stops:
            train(win(), stop, HALF, tmp_path / name, resume=True, log_every=1)
        train(win(), 100, HALF, tmp_path / name, resume=True, log_every=1)
        reports.append((tmp_path / name / "report.txt").read_bytes())
        said.append([line for line in capsys.readouterr().err.splitlines() if line.startswith("tinygan: step")])
    assert reports[0] == reports[1] and b"D wins" in reports[0]
    assert said[0] == said[1] and len(said[0]) == 1


def win():
    return make_gan(g_lr=1e-9, d_lr=0.02)


@posix
def test_a_run_that_was_interrupted_has_a_report(tmp_path):
    run = resumable(tmp_path / "run")
    stop_in(run, 5)
    with pytest.raises(KeyboardInterrupt):
        run.fit(steps=10)
    assert (tmp_path / "run" / "report.txt").read_text(encoding="utf-8").startswith("Stopped after 5 steps.\n")


# ---------------------------------------------------------------- classes


class Drawn:
    """A GAN's `sample`, of these images."""

    seed, classes = 0, None

    def __init__(self, images):
        self.images = images

    def sample(self, n, seed):
        return np.resize(self.images, (n, *self.images.shape[1:]))


def test_classes_that_are_missing():
    digits = data.load("digits")
    assert "finds all ten classes in 500 samples; the rarest is " in classes_read(Drawn(digits.images[:500]), digits)
    few = digits.images[:2000][np.isin(digits.labels[:2000], [0, 1, 2, 3, 4, 6, 7, 8])]
    assert "less than 1% each as 5, 9: G may have lost" in classes_read(Drawn(few), digits)
    noise = np.random.default_rng(0).uniform(-1, 1, (10, 28, 28, 1)).astype(np.float32)
    assert "reads 100% of 500 samples as 8: G draws one digit alone, or nothing yet" in classes_read(
        Drawn(noise), digits
    )
    for other in (data.Dataset(digits.images, None, "fashion-mnist", ""), data.Dataset(REAL, None, "digits", "")):
        assert classes_read(Drawn(digits.images[:500]), other) is None


def test_the_report_of_a_run_on_digits_names_the_classes(tmp_path):
    digits = data.load("digits")
    few = data.Dataset(digits.images[:64], digits.labels[:64], "digits", "few")
    train(models.build_gan("mlp"), 2, few, tmp_path / "run")
    assert "The classifier reads" in (tmp_path / "run" / "report.txt").read_text(encoding="utf-8").splitlines()[-2]


def test_samples_that_cannot_be_read_cost_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tinygan.training.classes_read", broken)
    train(make_gan(), 2, out=tmp_path / "run")
    assert "The samples can't be read: image 3" in (tmp_path / "run" / "report.txt").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "checkpoints" / "step-000002.npz").exists()


def broken(gan, data):
    raise NonFiniteError("image 3 holds a NaN")
