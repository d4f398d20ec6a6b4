"""Processes over MPI: the same gradients as one, and no hang when one dies. With the extra `mpi`; see .ci/run."""

import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import test_workers

from tinygan import checkpoint, cli, distributed, models, threads
from tinygan.errors import SettingError
from tinygan.workers import Workers

HERE = Path(__file__).parent
BESIDE = Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
LIMIT = 120  # seconds until a hang is called one

needs_mpi = pytest.mark.skipif(
    not (MPIEXEC and importlib.util.find_spec("mpi4py")), reason="needs mpi4py and mpiexec: the extra `mpi`"
)
processes = pytest.mark.parametrize("size", [1, 2, 3])


def environment():
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "TINYGAN_THREADS": "1", "PYTHONPATH": path, "MPLBACKEND": "Agg"}


@pytest.fixture(autouse=True)
def no_job_outlives_its_test():
    yield
    while jobs:
        with jobs.pop() as job:
            job.kill()


jobs = []


def start(size, *arguments):
    """mpiexec with so many processes of `python arguments`."""
    command = [MPIEXEC, "-n", str(size), sys.executable, "-W", "error", *map(str, arguments)]
    jobs.append(
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    )
    return jobs[-1]


def end(process):
    """Exit status and what was said; fails where it hangs."""
    said, _ = process.communicate(timeout=LIMIT)
    return process.returncode, said


def program(size, *arguments):
    return end(start(size, HERE / "mpi_program.py", *arguments))


# ---------------------------------------------------------------- the same as one


@needs_mpi
@processes
def test_every_kind_of_message(size, tmp_path):
    status, said = program(size, "exchange", tmp_path)
    assert status == 0 and said.count("is done") == size, said


@needs_mpi
@pytest.mark.parametrize(("size", "batch"), [(1, 7), (2, 7), (3, 7), (3, 3)])
def test_processes_have_the_gradients_of_one(size, batch, tmp_path):
    """Uneven shards, and shards of one image; what one has was computed in this process."""
    status, said = program(size, "gradients", tmp_path / "found.npz", batch)
    assert status == 0, said
    expected = test_workers.as_arrays(test_workers.steps(Workers(), batch))
    with np.load(tmp_path / "found.npz", allow_pickle=False) as found:
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-12, err_msg=name)


@needs_mpi
def test_arrays_on_the_gpu_go_over_the_host(tmp_path):
    status, said = program(2, "stand_in_gpu", tmp_path)
    assert status == 0, said


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def npy(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8))
    return path


def train(npy, out, *options):
    return ["-m", "tinygan", "train", "--data", npy, "--model", "mlp", "--batch", 9, "--out", out, *options]


def resume(out, *options):
    return ["-m", "tinygan", "train", "--resume", out, *options]


def lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def assert_same_run(out, reference):
    """The losses, to rounding in float32."""
    assert [x["step"] for x in lines(out)] == [x["step"] for x in lines(reference)]
    for line, expected in zip(lines(out), lines(reference), strict=True):
        whole = ("step", "d_loss", "g_loss", "value")  # the rest is of a process's rows
        assert [line[name] for name in whole] == pytest.approx([expected[name] for name in whole], rel=1e-3)


@pytest.fixture(scope="module")
def alone(npy, tmp_path_factory):
    """The run of one process, without mpiexec."""
    out = tmp_path_factory.mktemp("alone") / "run"
    arguments = ["train", "--data", npy, "--model", "mlp", "--batch", 9, "--out", out, "--steps", 40]
    assert cli.main(list(map(str, arguments))) == 0
    return out


@needs_mpi
@processes
def test_a_training_by_processes(size, npy, alone, tmp_path):
    out = tmp_path / "run"
    status, said = end(start(size, *train(npy, out, "--steps", 40)))
    assert status == 0 and said.count("40 steps done") == 1, said  # one speaks, and one writes
    assert ("this one takes" in said) == (size > 1)
    assert_same_run(out, alone)
    assert sorted(p.relative_to(out) for p in out.rglob("*")) == sorted(p.relative_to(alone) for p in alone.rglob("*"))


def wait_for(condition, process):
    until = time.monotonic() + LIMIT
    while not condition():
        assert process.poll() is None and time.monotonic() < until, process.stdout.read()
        time.sleep(0.02)


def pythons(pid):
    """The Python processes that descend from this one, from /proc."""
    found = []
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        name = os.readlink(f"/proc/{child}/exe")
        found += [child] if "python" in Path(name).name else pythons(child)
    return found


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@needs_mpi
@linux
def test_a_killed_process_ends_the_job_which_goes_on_with_another_number(npy, alone, tmp_path):
    out = tmp_path / "run"
    job = start(3, *train(npy, out, "--steps", 100_000, "--checkpoint-every", 5))
    wait_for((out / "checkpoints" / "step-000005.npz").exists, job)
    pids = pythons(job.pid)
    assert len(pids) == 3
    os.kill(pids[1], signal.SIGKILL)
    status, said = end(job)
    assert status != 0, said
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)  # the others are gone, too
    at = max(int(p.stem[5:]) for p in (out / "checkpoints").glob("step-*.npz"))
    shorter = tmp_path / "shorter"
    reference = at + 20
    assert cli.main(list(map(str, [*train(npy, shorter)[2:], "--steps", reference]))) == 0
    status, said = end(start(2, *resume(out, "--steps", at + 10)))
    assert status == 0 and f"Going on at step {at}" in said and "workers 3 → 2" in said, said
    status, said = end(start(1, *resume(out, "--steps", reference)))
    assert status == 0 and "workers 3 → 1" in said, said
    np.testing.assert_allclose(lines(out)[-1]["d_loss"], lines(shorter)[-1]["d_loss"], rtol=0.02)
    states = [checkpoint.load(run / "checkpoints" / f"step-{reference:06}.npz")[0] for run in (out, shorter)]
    assert states[0]["g_steps"] == states[1]["g_steps"] == reference


@needs_mpi
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_saves_and_stops_all(npy, tmp_path):
    out = tmp_path / "run"
    job = start(2, *train(npy, out, "--steps", 100_000))
    wait_for(lambda: (out / "log.jsonl").exists() and len(lines(out)) > 2, job)
    job.send_signal(signal.SIGINT)
    status, said = end(job)
    assert status != 0 and "To go on: tinygan train --resume" in said, said
    step = max(int(p.stem[5:]) for p in (out / "checkpoints").glob("step-*.npz"))
    assert step >= 30 and f"{step} steps done" in said


@needs_mpi
def test_an_error_in_one_process_ends_all_with_its_message(tmp_path):
    status, said = program(3, "fail", tmp_path)
    assert status != 0
    assert "worker 2 of 3:" in said and "ZeroDivisionError: this one has had enough" in said, said
    assert "is done" not in said


@needs_mpi
def test_a_process_that_ends_by_itself_ends_those_that_wait_for_it(tmp_path):
    status, said = program(3, "leave", tmp_path)
    assert status != 0 and "is done" not in said
    assert "waits for worker 2, whose process has ended" in said, said


@needs_mpi
@pytest.mark.parametrize("how", ["linger", "finalise"])
def test_processes_that_nobody_waits_for_end_in_peace(how, tmp_path):
    status, said = program(3, how, tmp_path)
    assert status == 0 and said.count("is done") == 3, said


@needs_mpi
def test_processes_whose_data_differ(npy, tmp_path):
    other = tmp_path / "other.npy"
    np.save(other, np.zeros((60, 8, 8, 1), np.uint8))
    job = start(1, *train(npy, tmp_path / "run"), ":", "-n", 1, sys.executable, *train(other, tmp_path / "run"))
    status, said = end(job)
    assert status == 2 and "the data of workers 1 differ from worker 0's" in said, said
    assert not (tmp_path / "run").exists()


@needs_mpi
def test_a_batch_smaller_than_the_number_of_processes(npy, tmp_path):
    status, said = end(start(3, *train(npy, tmp_path / "run", "--batch", 2)))
    assert status == 2 and "a batch of 2 for 3 workers" in said, said


@needs_mpi
def test_a_profile_is_of_one_process(npy, tmp_path):
    status, said = end(start(2, *train(npy, tmp_path / "run", "--profile")))
    assert status == 2 and "--profile measures one process; start it without mpiexec" in said, said


# ---------------------------------------------------------------- who is started by mpiexec, and how


@pytest.fixture
def no_world(monkeypatch):
    monkeypatch.setattr(distributed, "_world", None)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in distributed.SIZES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_mpiexec_one_is_alone(no_world):
    assert distributed.world().size == 1
    no_world.setenv("PMI_SIZE", "1")
    assert distributed.world().size == 1
    distributed.abort(3)  # which ends nothing
    assert "mpi4py" not in sys.modules or MPIEXEC


@pytest.mark.parametrize("name", distributed.SIZES)
def test_mpi4py_is_missing(no_world, name):
    no_world.setenv(name, "4")
    no_world.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(SettingError, match=r"mpiexec started 4 processes, but mpi4py can't be loaded .*tinygan\[mpi\]"):
        distributed.world()


def test_the_command_says_so_too(no_world, npy, tmp_path, capsys):
    no_world.setenv("PMI_SIZE", "2")
    no_world.setitem(sys.modules, "mpi4py", None)
    assert cli.main(["train", "--data", str(npy), "--out", str(tmp_path / "run")]) == 2
    assert "Install the extra: tinygan[mpi]" in capsys.readouterr().err


def test_an_mpiexec_of_another_kind(no_world):
    """Then each process sees itself alone."""
    mpi = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(size=1), Get_library_version=lambda: "MPICH 5\nmore")
    no_world.setenv("OMPI_COMM_WORLD_SIZE", "2")
    no_world.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=mpi))
    with pytest.raises(SettingError, match=r"started 2 processes.* MPI sees 1: .*Use the mpiexec of MPICH 5"):
        distributed.world()


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.delenv("TINYGAN_THREADS", raising=False)
    threads.set_threads(None)
    monkeypatch.setattr(threads, "thread_count", lambda: 8)
    threads.share_cores(3)
    assert threads._count == 2
    threads.share_cores(100)
    assert threads._count == 2  # chosen already
    threads.set_threads(None)
    threads.share_cores(100)
    assert threads._count == 1
    threads.set_threads(None)
    monkeypatch.setenv("TINYGAN_THREADS", "5")
    threads.share_cores(2)
    assert threads._count is None


# ---------------------------------------------------------------- on paper


@pytest.fixture
def paper(monkeypatch):
    """tests/benchmarks/workers.py"""
    monkeypatch.syspath_prepend(str(HERE / "benchmarks"))
    yield importlib.import_module("workers")
    sys.modules.pop("workers", None)


def test_the_model_of_a_sum(paper):
    """By hand: three rounds of everything, or twice three rounds and 7/8 of it twice, whichever is less."""
    net = paper.Net("", 1e-3, 1e6)
    assert net.sum(1e9, 1) == 0
    assert net.sum(8, 8) == pytest.approx(3 * (1e-3 + 8e-6))
    assert net.sum(1e6, 8) == pytest.approx(6e-3 + 2 * 7 / 8)
    assert net.sum(1e6, 5) == pytest.approx(6e-3 + 2 * 4 / 5)


def test_the_model_of_a_step(paper):
    net, machine = paper.Net("", 1e-3, 1e6), paper.Machine(0.5, 0.01, (8, 1_000_000))
    assert machine.step(64, 1, net) == pytest.approx(0.5 + 0.64)
    assert machine.step(65, 8, net) == pytest.approx(0.5 + 0.09 + net.sum(8, 8) + net.sum(1e6, 8))
    assert machine.step(65, 8, net, every=4) == pytest.approx(0.59 + (net.sum(8, 8) + net.sum(1e6, 8)) / 4)


def test_the_page_says_what_was_measured(paper, capsys, tmp_path):
    """Each row of the tables that are printed from workers.json stands in WORKERS.md, and the figure can be drawn."""
    data = json.loads((HERE / "benchmarks" / "workers.json").read_text())
    paper.tables(data)
    said, page = capsys.readouterr().out, (HERE / "benchmarks" / "WORKERS.md").read_text(encoding="utf-8")
    page = page.replace(" %", "%")
    rows = [
        line for line in said.splitlines() if line.startswith("| ") and "workers" not in line and "model" not in line
    ]
    kept = [row for row in rows if row in page]
    assert len(kept) >= 20 and all(row in kept for row in rows[:2])
    for row in page.splitlines():
        if row.startswith("| ") and row[2].isdigit():
            assert row in rows
    paper.draw(data, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@needs_mpi
def test_what_is_measured(paper):
    """A turn of each kind that measures, very short ones."""
    found = paper.start(2, "small", 6, 1, "late")
    gan = models.build_gan("small")
    gradients = 4 * sum(p.size for p in (*gan.generator.parameters(), *gan.discriminator.parameters()))
    assert found["ms"] > 0 and gradients < sum(found["messages"]) < 1.1 * gradients  # and batch norm's statistics
    assert paper.start(1, "small", 3, 1, "joined")["messages"] == []
    assert paper.start(2, "small", 3, 1, "apart")["messages"] == []
