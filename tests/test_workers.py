"""n workers are one: rows of a batch, their random numbers, sums over threads, batch statistics, whole trainings."""

import gc
import threading

import numpy as np
import pytest

import tinygan as tg
from tinygan import backend, models, nn, ops, runs
from tinygan.errors import DataError, NonFiniteError, SettingError, ShapeError
from tinygan.ops.normalization import BatchNorm
from tinygan.ops.sharing import all_sum
from tinygan.reduction import BUNDLE_BYTES, summed_backward
from tinygan.rows import Rows, RowsGenerator
from tinygan.workers import ThreadWorkers, Workers, run_together

SHAPE = (8, 8, 1)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------- rows, and their random numbers


@pytest.mark.parametrize(("total", "size"), [(1, 1), (7, 3), (8, 4), (5, 5), (64, 3)])
def test_rows_cover_the_batch_in_order(total, size):
    rows = run_together(size, lambda workers: workers.rows(total))
    assert [r.start for r in rows] == [0, *(r.stop for r in rows[:-1])] and rows[-1].stop == total
    lengths = {r.stop - r.start for r in rows}
    assert min(lengths) >= 1 and max(lengths) - min(lengths) <= 1
    assert sum(r.share for r in rows) == pytest.approx(1)


def test_a_batch_smaller_than_the_number_of_workers():
    with pytest.raises(SettingError, match="a batch of 2 for 3 workers: each needs a row at least; use a batch of 3"):
        run_together(3, lambda workers: workers.rows(2))


DRAWS = {
    "float32": lambda g, n: g.random((n, 3), np.float32),
    "float32, odd": lambda g, n: g.random(n, np.float32),
    "float64": lambda g, n: g.random((n, 2)),
    "normal": lambda g, n: g.standard_normal((n, 5)),
    "normal float32": lambda g, n: g.standard_normal((n, 3), np.float32),
    "uniform": lambda g, n: g.uniform(-1, 2, (n, 1)),
    "integers": lambda g, n: g.integers(0, 10, (n,)),
    "two rows a sample": lambda g, n: g.random((2 * n, 3), np.float32),
}


@pytest.mark.parametrize("rows", [Rows(0, 3, 7), Rows(3, 4, 7), Rows(4, 7, 7), Rows(0, 7, 7), Rows(1, 2, 3)], ids=str)
def test_a_samples_random_numbers_are_the_same_whoever_draws_them(rows):
    """Whatever was drawn before: in all orders of two kinds, and three times in a row."""
    for first in DRAWS.values():
        for second in DRAWS.values():
            whole = backend.generator(3, "test")
            mine = RowsGenerator(backend.generator(3, "test"), rows)
            for kind in (first, second, first, second):
                expected, found = kind(whole, rows.total), kind(mine, rows.stop - rows.start)
                times = len(expected) // rows.total
                np.testing.assert_array_equal(found, expected[times * rows.start : times * rows.stop])


def test_random_numbers_that_belong_to_no_sample():
    generator = RowsGenerator(backend.generator(0, "test"), Rows(0, 3, 7))
    for size in ((4, 2), ()):
        with pytest.raises(ShapeError, match="for 3 rows of a batch of 7: the first axis has to count the samples"):
            generator.random(size, np.float32)
    with pytest.raises(AttributeError):
        generator.permutation(3)  # rather than a wrong one


# ---------------------------------------------------------------- workers in threads


def test_sums_and_broadcasts_are_the_same_bytes_for_all():
    parts = [draw(4, 3, seed=rank).astype(np.float32) for rank in range(3)]

    def work(workers):
        end = workers.begin_sum(parts[workers.rank])
        return workers.sum(parts[workers.rank]), end(), workers.broadcast(parts[workers.rank])

    for total, later, first in run_together(3, work):
        assert total.tobytes() == later.tobytes() == (parts[0] + parts[1] + parts[2]).tobytes()
        assert first.tobytes() == parts[0].tobytes() and not np.may_share_memory(first, parts[0])


def test_states_of_other_shapes_are_broadcast_by_name():
    state = {"weight": draw(2, 3), "steps": np.array(7), "none": np.zeros((0, 2), np.float32), "yes": np.array([True])}
    for found in run_together(2, lambda w: w.broadcast_state(state if w.rank == 0 else {"other": np.ones(1)})):
        assert found.keys() == state.keys()
        for name, array in state.items():
            assert found[name].dtype == array.dtype and found[name].shape == array.shape
            np.testing.assert_array_equal(found[name], array)


def test_one_that_is_alone():
    alone = Workers()
    assert (alone.rank, alone.size, alone.rows(5)) == (0, 1, Rows(0, 5, 5))
    assert alone.broadcast_json({"a": [1, None]}) == {"a": [1, None]} and alone.differing("ab") == []
    alone.wait()


def test_who_differs_from_worker_0():
    assert run_together(4, lambda w: w.differing("aa" if w.rank % 2 == 0 else "bb")) == [[1, 3]] * 4


def test_an_error_of_one_worker_ends_all():
    def work(workers):
        if workers.rank == 1:
            raise ZeroDivisionError("worker 1")
        for _ in range(1000):
            workers.wait()
        raise AssertionError("the others wait in vain")

    before = threading.active_count()
    with pytest.raises(SettingError, match="waits for the others, but one of them has finished: all workers have to"):
        run_together(3, lambda workers: workers.rank and workers.wait())
    with pytest.raises(ZeroDivisionError, match="worker 1"):
        run_together(3, work)
    assert threading.active_count() == before
    with pytest.raises(SettingError, match="size=0; at least 1"):
        run_together(0, work)


# ---------------------------------------------------------------- derivatives over workers


def part(workers, array):
    return array[workers.rows(len(array)).slice]


def test_the_derivative_of_a_sum_over_workers():
    """L = Σ_r L_r with L_r = Σ w_r (Σ_s x_s)²: each worker's x has a gradient from every worker's loss."""
    x, w = draw(3, 4), draw(3, 4, seed=1)

    def work(workers):
        mine = tg.Tensor(x[workers.rank], requires_grad=True)
        total = all_sum(mine, workers)
        (first,) = tg.grad((w[workers.rank] * total**2).sum(), mine, create_graph=True)
        (second,) = tg.grad((first * w[workers.rank]).sum(), mine)
        return first.numpy(), second.numpy()

    for rank, (first, second) in enumerate(run_together(3, work)):
        np.testing.assert_allclose(first, 2 * w.sum(0) * x.sum(0), rtol=1e-12, err_msg=f"worker {rank}")
        np.testing.assert_allclose(second, 2 * w.sum(0) * w.sum(0), rtol=1e-12)


@pytest.mark.parametrize("shape", [(7, 3), (7, 4, 4, 3), (3, 1)])
@pytest.mark.parametrize("create_graph", [False, True], ids=["kernel", "composed"])
def test_synchronised_batch_norm_is_that_of_the_whole_batch(shape, create_graph):
    """With shards of one row as well; y, statistics, and gradients of first and second order."""
    x, g, gamma, beta = 3 * draw(*shape) + 5, draw(*shape, seed=1), draw(shape[-1], seed=2), draw(shape[-1], seed=3)

    def passes(workers):
        op = BatchNorm(1e-5, workers)
        leaves = [tg.Tensor(a, requires_grad=True) for a in (part(workers, x), gamma, beta)]
        y = op(*leaves)
        output, statistics = y.numpy(), (op.mean, op.variance, op.count)  # a freed op forgets them
        first = tg.grad((y * part(workers, g)).sum(), leaves, create_graph=create_graph)
        second = ()
        if create_graph:
            second = tg.grad((first[0] * first[0]).sum(), leaves[:2])
        return output, *statistics, [f.numpy() for f in first], [s.numpy() for s in second]

    (whole,) = run_together(1, passes)
    for size in (2, 3):
        found = run_together(size, passes)
        close = {"rtol": 1e-9, "atol": 1e-9} if create_graph else {"rtol": 1e-10, "atol": 1e-12}
        np.testing.assert_allclose(np.concatenate([f[0] for f in found]), whole[0], **close)
        for f in found:
            np.testing.assert_allclose(f[1], whole[1], rtol=1e-12)
            np.testing.assert_allclose(f[2], whole[2], rtol=1e-12)
            assert f[3] == whole[3]
        for k in (4, 5):
            for i, expected in enumerate(whole[k]):
                parts = [f[k][i] for f in found]
                total = np.concatenate(parts) if i == 0 else sum(parts)  # those of γ and β are each worker's own part
                np.testing.assert_allclose(total, expected, **close)


# ---------------------------------------------------------------- the game


def conv_gan(seed=0, norm=nn.BatchNorm):
    """All that could tell workers from one: batch norm in both players, dropout, spectral norm.

    norm: in D; with LayerNorm D treats images one by one, so real and fake ones pass it together.
    """
    rng = np.random.default_rng(seed)
    g = nn.Sequential(
        nn.Dense(5, 4 * 4 * 6, rng=rng), nn.BatchNorm(96), nn.LeakyReLU(), nn.Reshape(4, 4, 6),
        nn.ConvTranspose(6, 4, 4, stride=2, padding="same", rng=rng), nn.BatchNorm(4), nn.Dropout(0.1),
        nn.Conv(4, 1, 3, padding="same", rng=rng), nn.Tanh(),
    )  # fmt: skip
    d = nn.Sequential(
        nn.Conv(1, 4, 4, stride=2, padding="same", spectral_norm=True, rng=rng), nn.LeakyReLU(), nn.Dropout(0.3),
        nn.Conv(4, 4, 3, padding="same", rng=rng), norm(4), nn.LeakyReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Dense(64, 1, rng=rng),
    )  # fmt: skip
    g.to("float64"), d.to("float64")
    optimizers = tg.optim.SGD(g.parameters(), 0.05), tg.optim.SGD(d.parameters(), 0.05)
    return tg.GAN(g, d, "non-saturating", *optimizers, latent_size=5, seed=seed)


def steps(workers, batch, count=3, synchronised=True, objective=None, norm=nn.BatchNorm):
    """Losses, and the gradients of each step as differences of weights, of some steps of each player."""
    gan = conv_gan(norm=norm)
    gan.objective = objective or gan.objective
    gan.join(workers, synchronised)
    found = []
    for step in range(count):
        before = gan.state_dict()
        losses = [gan.discriminator_step(draw(batch, *SHAPE, seed=step)).item(), gan.generator_step(batch).item()]
        after = gan.state_dict()
        found.append((losses, gan.value.item(), {k: (before[k] - after[k]) / 0.05 for k in after}, after))
    return found


def as_arrays(found):
    """What `steps` gave, by name."""
    arrays = {}
    for step, (losses, value, gradients, after) in enumerate(found):
        arrays[f"{step} losses"] = np.array([*losses, value])
        arrays |= {f"{step} gradient {k}": g for k, g in gradients.items()}
        arrays |= {f"{step} {k}": a for k, a in after.items()}
    return arrays


@pytest.mark.parametrize("norm", [nn.BatchNorm, nn.LayerNorm])
@pytest.mark.parametrize(("size", "batch"), [(2, 8), (3, 8), (3, 3), (2, 3), (4, 5)])
def test_workers_are_one(size, batch, norm):
    """Losses, V(D, G), gradients, statistics and spectral vectors, with uneven shards and shards of one image."""
    (one,) = run_together(1, lambda w: steps(w, batch, norm=norm))
    for mine in run_together(size, lambda w: steps(w, batch, norm=norm)):
        for (losses, value, gradients, _), (losses1, value1, gradients1, _) in zip(mine, one, strict=True):
            np.testing.assert_allclose([*losses, value], [*losses1, value1], rtol=1e-12)
            for name, gradient in gradients.items():
                if "optimizer" not in name and "steps" not in name:
                    np.testing.assert_allclose(gradient, gradients1[name], rtol=0, atol=1e-12, err_msg=name)


def test_all_workers_have_the_same_bytes():
    first, *others = run_together(3, lambda w: steps(w, 7)[-1][3])
    for other in others:
        assert {k: a.tobytes() for k, a in other.items()} == {k: a.tobytes() for k, a in first.items()}


def test_without_synchronised_batch_norm_the_weights_still_agree():
    first, second = run_together(2, lambda w: steps(w, 8, synchronised=False)[-1][3])
    whole = run_together(1, lambda w: steps(w, 8))[0][-1][3]
    weights = [k for k in first if "running" not in k and "averaged" not in k]
    assert all(first[k].tobytes() == second[k].tobytes() for k in weights)
    assert any(first[k].tobytes() != second[k].tobytes() for k in first)  # each has its own statistics
    assert not np.allclose(first["generator.layers.0.weight"], whole["generator.layers.0.weight"], atol=1e-12)


def test_one_alone_is_what_it_was_without_workers():
    """To the byte, in float32, and with an optimizer that remembers."""

    def train(workers=None):
        gan = models.build_gan("dcgan", (8, 8, 1), seed=1)
        if workers:
            gan.join(workers)
        for step in range(2):
            gan.discriminator_step(draw(6, *SHAPE, seed=step).astype(np.float32))
            gan.generator_step(6)
        return {name: a.tobytes() for name, a in gan.state_dict().items()}

    assert train() == train(Workers()) == run_together(1, train)[0]


@pytest.mark.parametrize("size", [2, 3, 7])
def test_latents_and_labels_of_large_batches(size):
    """Several streams, whose borders aren't those of the workers."""

    def work(workers):
        gan = models.build_gan("mlp", SHAPE, classes=5)
        gan.join(workers)
        return [(gan.latents(n, "test", 3).numpy(), gan.labels(n, "test", 3)) for n in (1024, 1025, 2500)]

    (whole,) = run_together(1, work)
    found = run_together(size, work)
    for k, (latents, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([f[k][0] for f in found]), latents)
        np.testing.assert_array_equal(np.concatenate([f[k][1] for f in found]), labels)
        assert len(labels) == len(latents) and len({row.tobytes() for row in latents}) == len(latents)
    first = backend.generator(0, "test", 3).standard_normal((1024, 64)).astype(np.float32)
    np.testing.assert_array_equal(whole[2][0][:1024], first)


@pytest.mark.parametrize("objective", ["wgan-gp", "r1", "hinge"])
def test_penalties_of_workers_are_one(objective):
    """Gradients inside the loss, to second order, with the ε of each sample; and labels, of images and drawn ones."""

    def steps(workers):
        gan = models.build_gan("small", (8, 8, 1), objective, lr=1e-3, seed=2, classes=3)
        gan.generator.to("float64"), gan.discriminator.to("float64"), gan.averaged.to("float64")
        gan.join(workers)
        found = []
        for step in range(2):
            labels = np.random.default_rng(step).integers(0, 3, 7)
            loss = gan.discriminator_step(draw(7, *SHAPE, seed=step), labels).item()
            found += [loss, gan.generator_step(7).item(), 0.0 if gan.penalty is None else gan.penalty.item()]
        return found, gan.state_dict()

    ((expected, state),) = run_together(1, steps)
    for found, mine in run_together(3, steps):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        weight = "discriminator.layers.0.weight"
        np.testing.assert_allclose(mine[weight], state[weight], atol=1e-9)


def test_rows_may_be_given_in_place_of_the_whole_batch():
    def work(workers):
        gan, batch = conv_gan(), draw(7, *SHAPE)
        gan.join(workers)
        return gan.discriminator_step(part(workers, batch), total=7).item()

    (whole,) = run_together(1, lambda w: conv_gan().discriminator_step(draw(7, *SHAPE)).item())
    np.testing.assert_allclose(run_together(3, work), whole, rtol=1e-12)


def test_nothing_leaks():
    """After a step of three workers there are as many Tensors as before, without a collection of cycles."""

    def work(workers):
        gan = conv_gan()
        gan.join(workers)
        counts = []
        for _ in range(3):
            gan.discriminator_step(draw(5, *SHAPE))
            gan.generator_step(5)
            workers.wait()
            counts.append(sum(issubclass(type(x), tg.Tensor) for x in gc.get_objects()))
            workers.wait()
        return counts

    gc.collect()
    gc.disable()
    try:
        for counts in run_together(3, work):
            assert counts[1] == counts[2]
    finally:
        gc.enable()


def test_who_joins_starts_from_worker_0():
    def work(workers):
        gan = models.build_gan("mlp", SHAPE, seed=10 + workers.rank)
        if workers.rank == 0:  # which has slots of Adam that the other lacks
            gan.discriminator_step(draw(4, *SHAPE))
        workers.wait()
        gan.join(workers)
        return gan.seed, {name: a.tobytes() for name, a in gan.state_dict().items()}

    (seed, state), (other_seed, other) = run_together(2, work)
    assert (seed, other_seed) == (10, 10) and state == other and state["d_steps"] == np.int64(1).tobytes()


def test_a_copied_layer_shares_with_the_same_workers():
    def work(workers):
        gan = conv_gan()
        gan.join(workers)
        return gan.generator.summary((5,)).count("BatchNorm")  # made from a copy

    assert run_together(2, work) == [2, 2]


# ---------------------------------------------------------------- gradients on their way during the backward pass


class Counting(ThreadWorkers):
    """Notes how many bytes each sum has."""

    def begin_sum(self, array):
        self.__dict__.setdefault("sizes", []).append(array.nbytes)
        return super().begin_sum(array)


def test_large_gradients_leave_while_the_rest_is_computed():
    wide = BUNDLE_BYTES // 8 // 16

    def work(workers):
        workers = Counting(workers.rank, workers.meeting)
        rng = np.random.default_rng(0)
        weights = [tg.Tensor(rng.standard_normal(s) / 9, requires_grad=True) for s in ((3, wide), (wide, 16), (16, 1))]
        x = tg.Tensor(part(workers, draw(5, 3)))
        loss = ops.tanh(ops.tanh(x @ weights[0]) @ weights[1]) @ weights[2]
        share = workers.rows(5).share
        (total,) = summed_backward(loss.mean(), weights, workers, share, [loss.mean().detach()])
        return total.item(), [w.grad.numpy() for w in weights], getattr(workers, "sizes", [])

    (whole,) = run_together(1, work)
    for total, gradients, sizes in run_together(2, work):
        np.testing.assert_allclose(total, whole[0], rtol=1e-12)
        for gradient, expected in zip(gradients, whole[1], strict=True):
            np.testing.assert_allclose(gradient, expected, atol=1e-12)
        assert sizes == [8 * (16 + 16 * wide), 8 * (3 * wide + 1)]  # from the back; the loss goes with the last
    assert whole[2] == []


def test_hooks_are_taken_away_again():
    def work(workers):
        x = tg.Tensor(draw(3), requires_grad=True)
        (x * x).sum().backward()
        with pytest.raises(tg.errors.GraphError):
            summed_backward(tg.Tensor(1.0), [x], workers, 0.5)
        return list(x._hooks)

    assert run_together(2, work) == [[], []]


# ---------------------------------------------------------------- the trainer

IMAGES = np.random.default_rng(1).uniform(-1, 1, (40, *SHAPE)).astype(np.float32)


def train(workers, out=None, steps=6, data=IMAGES, **settings):
    gan = conv_gan()
    gan.join(workers)
    settings = {"batch_size": 7, "log_every": 1, "sample_every": 3, "progress": False, "d_steps": 2, **settings}
    trainer = tg.Trainer(gan, data, out, **settings)
    trainer.fit(steps=steps)
    return trainer


def shared(log):
    """What a log says of the whole batch; the rest is of a worker's rows."""
    return [{name: line[name] for name in ("step", "d_loss", "g_loss", "value")} for line in log]


def test_a_training_by_workers_is_that_of_one(tmp_path):
    one = train(Workers(), tmp_path / "one")
    for trainer in run_together(3, lambda w: train(w, tmp_path / "three")):
        assert [line["step"] for line in trainer.log] == [1, 2, 3, 4, 5, 6]
        assert shared(trainer.log) == [pytest.approx(line, rel=1e-9) for line in shared(one.log)]
    names = [{p.relative_to(out).as_posix() for p in out.rglob("*")} for out in (tmp_path / "one", tmp_path / "three")]
    assert names[0] == names[1]


def test_a_run_goes_on_with_another_number_of_workers(tmp_path, capsys):
    one = train(Workers(), tmp_path / "one", steps=9)
    out = tmp_path / "run"
    for size, steps in ((2, 3), (3, 6), (1, 9)):
        trainers = run_together(size, lambda w, steps=steps: train(w, out, steps, resume=True))
    assert shared(trainers[0].log) == [pytest.approx(line, rel=1e-8) for line in shared(one.log)]
    said = capsys.readouterr().err
    assert said.count("maybe not to the same bytes: workers 2 → 3.") == 1  # by worker 0 alone
    assert runs.read_config(out)["resumed"]["versions"].get("workers") is None  # the last one was alone


def test_workers_whose_data_differ():
    def work(workers):
        return train(workers, data=IMAGES if workers.rank != 1 else -IMAGES)

    with pytest.raises(DataError, match="the data of workers 1 differ from worker 0's"):
        run_together(3, work)


def test_workers_that_were_given_another_run():
    with pytest.raises(SettingError, match="workers 2 were given another run than worker 0"):
        run_together(3, lambda w: train(w, d_steps=1 + w.rank // 2))


def test_workers_that_were_told_to_train_longer():
    with pytest.raises(SettingError, match="workers 1 were told to train longer or shorter than worker 0"):
        run_together(2, lambda w: train(w, steps=3 + w.rank))


def test_a_nan_is_one_for_all(tmp_path):
    """Of one worker's loss: all raise, after the run's last pictures are drawn."""

    def work(workers):
        gan = conv_gan()
        gan.join(workers)
        trainer = tg.Trainer(gan, IMAGES, tmp_path / "run", batch_size=4, progress=False, log_every=1)
        if workers.rank == 1:
            step = gan.discriminator_step
            gan.discriminator_step = lambda real, *rest: step(real * (np.nan if gan.d_steps == 2 else 1), *rest)
        with pytest.raises(NonFiniteError, match="step 3: D's loss is nan"):
            trainer.fit(steps=9)
        return (tmp_path / "run" / "losses.png").exists()

    assert run_together(2, work) == [True, True]


def test_told_to_stop_by_any_worker(tmp_path):
    """The one that was told stops after its step, and so do the others after the same one."""

    def work(workers):
        gan = conv_gan()
        gan.join(workers)
        trainer = tg.Trainer(gan, IMAGES, tmp_path / "run", batch_size=4, progress=False)
        if workers.rank == 1:
            after = trainer._after_step
            trainer._after_step = lambda *a: (after(*a), trainer.step == 3 and interruption(trainer))

        def interruption(trainer):
            trainer._told.number = 2

        agree = trainer._agree
        trainer._agree = lambda told: (setattr(trainer, "_told", told), agree(told))[1]
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(steps=99)
        return trainer.step

    assert run_together(2, work) == [4, 4]
    assert (tmp_path / "run" / "checkpoints" / "step-000004.npz").exists()
