"""Conditional GANs, penalised objectives and critics with several steps: the game, the run, the commands."""

import json

import numpy as np
import pytest

import tinygan as tg
from tinygan import cli, losses, metrics, nn, runs
from tinygan.errors import DataError, SettingError, ShapeError
from tinygan.gan import GAN
from tinygan.models import MODELS, build_gan
from tinygan.optim import SGD, Adam

RNG = np.random.default_rng
REAL = RNG(0).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(8) % 3


def bytes_of(*modules):
    return [(name, a.tobytes()) for m in modules for name, a in m.state_dict().items()]


def conditional(name="small", **settings):
    return build_gan(name, (8, 8, 1), classes=3, **settings)


@pytest.mark.parametrize("name", MODELS)
def test_each_model_can_be_conditional(name):
    gan = conditional(name)
    for _ in range(2):
        assert np.isfinite([gan.discriminator_step(REAL, LABELS).item(), gan.generator_step(4).item()]).all()
    asked = [gan.sample(6, labels=np.full(6, k)) for k in range(3)]
    assert asked[0].shape == (6, 8, 8, 1)
    assert not np.array_equal(asked[0], asked[1])  # the same latents, told another class
    in_turn = gan.sample(6)
    for k in range(3):
        assert np.array_equal(in_turn[k::3], asked[k][k::3])
    assert np.array_equal(in_turn[:4], gan.sample(4))


@pytest.mark.parametrize("name", MODELS)
def test_both_players_learn_from_the_labels(name):
    """D's loss, and G's, depends on them."""
    results = []
    for labels in (LABELS, np.sort(LABELS)):
        gan = conditional(name)
        results.append([gan.discriminator_step(REAL, labels).item() for _ in range(3)])
    assert results[0] != results[1]


def test_a_conditional_step_leaves_the_other_player_alone():
    gan = conditional()
    before = bytes_of(gan.generator)
    gan.discriminator_step(REAL, LABELS)
    assert bytes_of(gan.generator) == before
    before = bytes_of(gan.discriminator)
    gan.generator_step(8)
    assert bytes_of(gan.discriminator) == before


@pytest.mark.parametrize("objective", [name for name, o in losses.OBJECTIVES.items() if o.d_steps == 5 or "r" in name])
def test_a_penalty_changes_d_alone_and_is_reproducible(objective):
    states = []
    for _ in range(2):
        gan = build_gan("small", (8, 8, 1), objective)
        before = bytes_of(gan.generator)
        for _ in range(2):
            gan.discriminator_step(REAL)
        assert bytes_of(gan.generator) == before
        gan.generator_step(8)
        states.append(bytes_of(gan.generator, gan.discriminator, gan.averaged))
    assert states[0] == states[1]


def test_the_loss_of_d_is_with_its_penalty_and_the_penalty_is_told():
    plain, penalised = (build_gan("mlp", (8, 8, 1), o) for o in ("wasserstein", losses.WassersteinGP(3.0)))
    without, with_penalty = plain.discriminator_step(REAL).item(), penalised.discriminator_step(REAL).item()
    assert plain.penalty is None and penalised.penalty.item() > 0
    assert with_penalty == pytest.approx(without + penalised.penalty.item(), rel=1e-5)
    assert not penalised.penalty.requires_grad


def test_the_penalty_leaves_spectral_vectors_and_statistics_alone():
    """They were brought up to date by the two looks at real and fake images."""
    vectors = []
    for objective in ("non-saturating", "r1"):
        gan = build_gan("small", (8, 8, 1), objective)
        gan.discriminator_step(REAL)
        vectors.append([a.tobytes() for name, a in gan.discriminator.state_dict().items() if name.endswith(".u")])
    assert vectors[0] and vectors[0] == vectors[1]


def test_clipped_weights_stay_clipped():
    gan = build_gan("mlp", (8, 8, 1), "wgan-clip")
    for _ in range(3):
        gan.discriminator_step(REAL)
        assert max(abs(a).max() for a in gan.discriminator.state_dict().values()) <= np.float32(0.01)
    assert abs(gan.generator.state_dict()["layers.0.weight"]).max() > 0.01


def test_a_gradient_penalty_holds_the_slope():
    """On a line, real numbers at 3, fake ones at −3: with slope s D's loss is −6s + 10(s − 1)², least at s = 1.3."""
    rng = RNG(0)
    critic = nn.Sequential(nn.Dense(1, 32, rng=rng), nn.Softplus(), nn.Dense(32, 1, rng=rng))
    generator = nn.Sequential(nn.Dense(1, 1, rng=rng))
    generator.layers[0].bias.assign(np.array([-3.0], np.float32))
    generator.layers[0].weight.assign(np.array([[0.1]], np.float32))
    gan = GAN(generator, critic, "wgan-gp", SGD(generator.parameters(), 1e-9), Adam(critic.parameters(), 5e-3), 1)
    for step in range(300):
        gan.discriminator_step(RNG(step).normal(3, 0.1, (64, 1)).astype(np.float32))
    between = tg.Tensor(np.linspace(-2, 2, 9, dtype=np.float32)[:, None])
    slopes = tg.penalties.slope(critic, between).numpy()
    np.testing.assert_allclose(slopes, 1.3, atol=0.05)


def test_packs_of_a_discriminator():
    """PacGAN: D sees two images at a time, and the rest of the game is as ever."""
    discriminator = nn.Sequential(nn.Pack(2), nn.Flatten(), nn.Dense(2 * 64, 1, rng=RNG(0)))
    generator = build_gan("mlp", (8, 8, 1)).generator
    gan = GAN(
        generator, discriminator, "non-saturating", Adam(generator.parameters()), Adam(discriminator.parameters())
    )
    assert np.isfinite([gan.discriminator_step(REAL).item(), gan.generator_step(6).item()]).all()
    with pytest.raises(ShapeError, match=r"Pack\(2\) takes x .* multiple of 2, got \(5, 8, 8, 1\)"):
        gan.generator_step(5)


def test_refusals():
    gan, plain = conditional(), build_gan("small", (8, 8, 1))
    with pytest.raises(SettingError, match="no labels were given, but this GAN has classes=3"):
        gan.discriminator_step(REAL)
    with pytest.raises(SettingError, match="labels were given, but this GAN has classes=None"):
        plain.discriminator_step(REAL, LABELS)
    with pytest.raises(ShapeError, match=r"labels have shape \(5,\)"):
        gan.discriminator_step(REAL, LABELS[:5])
    with pytest.raises(ShapeError, match=r"6 latents need as many labels; their shape is \(5,\)"):
        gan.sample(6, labels=LABELS[:5])
    with pytest.raises(DataError, match="there is a label 3"):
        gan.sample(1, labels=[3])
    g, d = plain.generator, gan.discriminator
    with pytest.raises(SettingError, match="classes=None, but generator and discriminator take labels"):
        GAN(g, d, "hinge", Adam(g.parameters()), Adam(d.parameters()))
    with pytest.raises(SettingError, match="classes=3, but generator and discriminator take no labels"):
        GAN(g, plain.discriminator, "hinge", Adam(g.parameters()), Adam(plain.discriminator.parameters()), classes=3)


# ---------------------------------------------------------------- a run


THRICE = np.tile(LABELS, 3)


def dataset(labels=THRICE):
    return tg.data.Dataset(np.tile(REAL, (3, 1, 1, 1)), labels, "test", "a test's images")


def test_a_conditional_run_can_be_stopped_and_gone_on_with(tmp_path):
    def trainer(out, **more):
        return tg.Trainer(conditional(), dataset(), tmp_path / out, 8, progress=False, **more)

    whole = trainer("whole").fit(steps=6)
    trainer("parts").fit(steps=3)
    again = trainer("parts", resume=True).fit(steps=6)
    assert bytes_of(whole.generator, whole.discriminator) == bytes_of(again.generator, again.discriminator)
    other = dataset((THRICE + 1) % 3)
    with pytest.raises(SettingError, match=r"can't resume .*data was test"):
        tg.Trainer(conditional(), other, tmp_path / "parts", 8, resume=True)


def test_a_run_with_critic_steps_and_penalty(tmp_path):
    gan = build_gan("mlp", (8, 8, 1), "wgan-gp")
    tg.Trainer(gan, dataset(), tmp_path / "run", 8, log_every=1, progress=False).fit(steps=2)
    assert (gan.g_steps, gan.d_steps) == (2, 10)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["objective"] == "WassersteinGP(weight=10.0)" and config["d_steps"] == 5
    lines = runs.read_log(tmp_path / "run", lambda step: True)
    measured = {"d_accuracy", "diversity", "d_gradient", "g_gradient"}
    assert [line.keys() for line in lines] == [{"step", "d_loss", "g_loss", "penalty"} | measured] * 2
    once = tg.Trainer(build_gan("mlp", (8, 8, 1), "wgan-gp"), dataset(), None, 8, d_steps=1, progress=False)
    assert once.fit(steps=2).d_steps == 2


@pytest.mark.parametrize(("labels", "have"), [(None, "no labels"), (THRICE + 1, "labels up to 3")])
def test_data_that_does_not_go_with_the_classes(labels, have):
    with pytest.raises(DataError, match=f"test has {have}, but this GAN is conditional, of 3 classes"):
        tg.Trainer(conditional(), dataset(labels), None, 8)


# ---------------------------------------------------------------- the commands


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, images=RNG(0).integers(0, 256, (60, 28, 28, 1), np.uint8), labels=np.arange(60) % 3)
    return str(path)


@pytest.fixture
def run(labelled, tmp_path, capsys):
    out = str(tmp_path / "run")
    arguments = ["train", "--model", "mlp", "--data", labelled, "--conditional", "--batch", "8"]
    assert cli.main([*arguments, "--steps", "3", "--out", out]) == 0
    capsys.readouterr()
    return out


def fails(capsys, *arguments):
    assert cli.main(list(arguments)) == 2
    return capsys.readouterr().err


def test_the_command_trains_resumes_samples_and_evaluates(run, tmp_path, capsys):
    assert json.loads((tmp_path / "run/config.json").read_text())["classes"] == 3
    assert cli.main(["train", "--resume", run, "--steps", "5"]) == 0
    assert cli.main(["sample", run, "--n", "4", "--label", "2", "--out", str(tmp_path / "two.npy")]) == 0
    assert cli.main(["sample", run, "--n", "6", "--out", str(tmp_path / "all.npy")]) == 0
    two, every = (np.load(tmp_path / f"{name}.npy") for name in ("two", "all"))
    assert np.array_equal(two[2], every[2]) and not np.array_equal(two[0], every[0])
    assert cli.main(["sample", run]) == 0  # a column a class
    assert cli.main(["sample", run, "--walk", "4", "--label", "1"]) == 0
    assert cli.main(["export", run]) == cli.main(["export", run, "--out", str(tmp_path / "g.onnx")]) == 0
    samples = metrics.find_samples(run, 9)
    assert np.array_equal(samples.labels, np.arange(9) % 3)
    assert "can't be exported" not in capsys.readouterr().out


def test_what_a_user_may_get_wrong(run, labelled, tmp_path, capsys):
    assert "the generator draws 3 classes, 0 to 2" in fails(capsys, "sample", run, "--label", "3")
    plain = str(tmp_path / "plain")
    assert (
        cli.main(["train", "--model", "mlp", "--data", labelled, "--steps", "1", "--batch", "8", "--out", plain]) == 0
    )
    assert "can't be told what to draw; train one with --conditional" in fails(capsys, "sample", plain, "--label", "1")
    np.save(tmp_path / "bare.npy", RNG(0).integers(0, 256, (60, 8, 8, 1), np.uint8))
    bare = str(tmp_path / "bare.npy")
    assert "--conditional needs data with labels" in fails(capsys, "train", "--data", bare, "--conditional")
    np.savez(tmp_path / "far.npz", images=RNG(0).integers(0, 256, (9, 8, 8, 1), np.uint8), labels=np.arange(9) * 10**6)
    far = str(tmp_path / "far.npz")
    assert "number its classes from 0, at most 1000" in fails(capsys, "train", "--data", far, "--conditional")
