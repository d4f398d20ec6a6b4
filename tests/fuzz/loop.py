"""Hostile files: python tests/fuzz/loop.py --count 20000 --seed 0

Each case takes a good file, or a good run folder, damages it, and reads it. It has to end in an error of the library's
own, or in a right result, with a bounded use of memory and time. A case is told by its seed and number alone, so
`--only N` repeats it.
"""

import argparse
import atexit
import contextlib
import gzip
import io
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

import tinygan as tg
from tinygan import checkpoint, export, nn, runs
from tinygan.data.idx import read_idx
from tinygan.errors import TinyganError

SECONDS = 20  # of CPU, for one case
MEMORY = 3 * 2**30  # bytes of address space above those at the start, where the system can limit them
SHAPE = (4, 4, 1)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 12, 10), np.uint8)


# ---------------------------------------------------------------- damage


def damaged(content, rng):
    """The bytes with one to three mutations."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(MUTATIONS)(content, rng)
    return bytes(content)


def flip_bit(content, rng):
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def set_byte(content, rng):
    if content:
        content[_early(content, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def set_number(content, rng):
    """An extreme whole number of 2, 4 or 8 bytes, of either byte order: the sizes and offsets of most formats."""
    size = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1, 2**16 - 1, 70_000))
    place = _early(content, rng) if content else 0
    content[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))


def cut(content, rng):
    del content[rng.randrange(len(content) + 1) :]


def remove(content, rng):
    place = rng.randrange(len(content) + 1)
    del content[place : place + rng.randrange(1, 64)]


def insert(content, rng):
    place = rng.randrange(len(content) + 1)
    content[place:place] = rng.choice(
        (rng.randbytes(rng.randrange(1, 64)), bytes(rng.randrange(1, 5000)), bytes(content))
    )


def move(content, rng):
    a, b, n = rng.randrange(len(content) + 1), rng.randrange(len(content) + 1), rng.randrange(1, 200)
    content[a : a + n] = content[b : b + n]


def set_digits(content, rng):
    """Another number where digits stand as text: shapes in .npy headers, JSON."""
    places = [i for i, byte in enumerate(content[:4096]) if 48 <= byte <= 57]
    if places:
        place = rng.choice(places)
        content[place : place + 1] = rng.choice((b"0", b"-1", b"99999999", b"1e400", b"9" * 5000, b"3.5", b"null"))


def _early(content, rng):
    """A place in it, more often in the first hundred bytes, where headers are."""
    return rng.randrange(min(100, len(content))) if rng.random() < 0.5 else rng.randrange(len(content))


MUTATIONS = (flip_bit, set_byte, set_number, cut, remove, insert, move, set_digits)


def damaged_json(value, rng):
    """The value with something in it replaced by what nobody expects there."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        return {**value, key: damaged_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return [*value[:i], damaged_json(value[i], rng), *value[i + 1 :]]
    return rng.choice(
        (
            None,
            True,
            -1,
            0,
            1,
            3.5,
            8192,
            2**31,
            10**30,
            1e308,
            "",
            "mlp",
            "dcgan",
            "x" * 1000,
            [],
            {},
            [8192, 8192, 3],
            [[1]],
        )
    )


# ---------------------------------------------------------------- what is read


def idx_case(rng, folder):
    array = PIXELS if rng.random() < 0.7 else PIXELS[:, 0, 0]
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    if rng.random() < 0.5:
        content = damaged(content, rng) if rng.random() < 0.5 else content
        content = gzip.compress(content, mtime=0)
    path = _write(folder / "images-idx", damaged(content, rng))
    found = read_idx(path)
    assert found.dtype == np.uint8 and found.ndim in (1, 3) and found.nbytes < 2**25


def arrays_case(rng, folder):
    buffer, suffix = io.BytesIO(), rng.choice((".npy", ".npz", ".npz"))
    images = PIXELS if rng.random() < 0.6 else (PIXELS / 127.5 - 1).astype(rng.choice(("f2", "<f4", ">f8")))
    if suffix == ".npy":
        np.save(buffer, images)
    else:
        rng.choice((np.savez, np.savez_compressed))(buffer, images=images, labels=np.arange(6))
    content = damaged(buffer.getvalue(), rng)
    if suffix == ".npz" and rng.random() < 0.5:  # a sound zip around a damaged member
        member = io.BytesIO()
        np.save(member, images)
        content = _zip(
            {"images.npy": damaged(member.getvalue(), rng)}, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        )
    data = tg.data.load(_write(folder / f"images{suffix}", content))
    assert data.images.dtype == np.float32 and np.abs(data.images).max() <= 1


def image_case(rng, folder):
    kind, suffix, options = rng.choice(PICTURES)
    buffer = io.BytesIO()
    mode = (
        "RGB" if kind in ("JPEG", "PPM") else rng.choice(("L", "RGB", "RGBA") if kind not in ("BMP", "GIF") else ("L",))
    )
    Image.fromarray(PIXELS[0]).convert(mode).save(buffer, kind, **options)
    _write(folder / f"picture{suffix}", damaged(buffer.getvalue(), rng))
    data = tg.data.load(folder, size=8)
    assert data.images.shape[:3] == (1, 8, 8) and np.abs(data.images).max() <= 1


PICTURES = [("PNG", ".png", {}), ("JPEG", ".jpg", {}), ("JPEG", ".jpg", {"progressive": True}), ("GIF", ".gif", {}),
            ("BMP", ".bmp", {}), ("PPM", ".ppm", {}), ("TGA", ".tga", {}), ("TGA", ".tga", {"compression": "tga_rle"}),
            ("TIFF", ".tif", {}), ("TIFF", ".tif", {"compression": "tiff_deflate"})]  # fmt: skip
PICTURES += [("WEBP", ".webp", {"lossless": True})] * ("WEBP" in Image.registered_extensions().values())


def safetensors_case(rng, folder):
    arrays = {"a": PIXELS[0].astype(np.float32), "b": np.zeros((0, 3)), "c": np.array(3)}
    path = folder / "x.safetensors"
    export.save_safetensors(path, arrays, {"k": "v"})
    content = path.read_bytes()
    if rng.random() < 0.5:
        length = int.from_bytes(content[:8], "little")
        text = json.dumps(damaged_json(json.loads(content[8 : 8 + length]), rng)).encode()
        content = len(text).to_bytes(8, "little") + text + content[8 + length :]
    path.write_bytes(damaged(content, rng) if rng.random() < 0.7 else content)
    found, _ = export.load_safetensors(path)
    assert sum(a.nbytes for a in found.values()) < len(content) + 10_000


def checkpoint_case(rng, folder):
    path = folder / "x.npz"
    checkpoint.save(path, {"a": PIXELS[0], "b": np.arange(5.0)}, {"step": 3, "note": "σ"})
    path.write_bytes(damaged(path.read_bytes(), rng))
    arrays, header = checkpoint.load(path)
    assert header == {"step": 3, "note": "σ"} and np.array_equal(arrays["a"], PIXELS[0])  # its checksum says so


def model_case(rng, folder):
    """What `tinygan sample` reads."""
    arrays = {f"averaged.{name}": array for name, array in _good_generator().items()}
    checkpoint.save(folder / "model.npz", arrays, {})
    runs.save_json(folder / "config.json", {"model": "mlp", "image_shape": [1, 1, 1], "latent_size": 64})
    _damage_run(folder, rng)
    generator, latent_size, _ = runs.load_generator(folder)
    assert tg.gan.generate(generator, np.zeros((1, latent_size), np.float32)).size == 1


def run_case(rng, folder):
    """A run folder with one or two damaged files is gone on with."""
    out = folder / "run"
    shutil.copytree(_good_run(), out)
    for _ in range(rng.choice((1, 1, 2))):
        _damage_run(out, rng)
    run = _trainer(out)
    run.fit(steps=6)
    assert run.step >= 6 and [line["step"] for line in run.log] == sorted({line["step"] for line in run.log})


def _damage_run(out, rng):
    paths = sorted(p for p in out.rglob("*") if p.is_file())
    path, way = rng.choice(paths), rng.random()
    if way < 0.1:
        path.unlink()
    elif path.suffix == ".json" and way < 0.8:
        path.write_text(json.dumps(damaged_json(json.loads(path.read_text()), rng)))
    elif path.suffix == ".npz" and way < 0.7:  # with a checksum that is right
        with contextlib.suppress(TinyganError):
            arrays, header = checkpoint.load(path)
            name = rng.choice(sorted(arrays))
            arrays[name] = rng.choice(
                (np.zeros(3), np.array(-1), np.array(np.nan), arrays[name].astype("f8"), np.zeros((0, 9)))
            )
            checkpoint.save(path, arrays, header if rng.random() < 0.5 else _object(damaged_json(header, rng)))
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))


def _object(value):
    return value if isinstance(value, dict) else {"step": value}


@cache
def _good_generator():
    return tg.models.build_generator("mlp", (1, 1, 1), 64).state_dict()


@cache
def _good_run():
    """A finished run of 4 steps."""
    folder = Path(tempfile.mkdtemp(prefix="tinygan-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _trainer(folder / "run").fit(steps=4)
    return folder / "run"


def _trainer(out):
    rng = np.random.default_rng(0)
    g = nn.Sequential(nn.Dense(2, 16, rng=rng), nn.BatchNorm(16), nn.Tanh(), nn.Reshape(*SHAPE))
    d = nn.Sequential(nn.Flatten(), nn.Dense(16, 1, spectral_norm=True, rng=rng))
    gan = tg.GAN(g, d, "hinge", tg.optim.Adam(g.parameters()), tg.optim.SGD(d.parameters(), 0.1, 0.9), latent_size=2)
    settings = {"batch_size": 2, "log_every": 1, "sample_every": 2, "checkpoint_every": 2, "checkpoint_minutes": None}
    images = (PIXELS[:, :4, :4, None] / 127.5 - 1).astype(np.float32)
    return tg.Trainer(gan, images, out, **settings, progress=False, resume=True)


def _write(path, content):
    path.write_bytes(content)
    return path


def _zip(members, compression):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# ---------------------------------------------------------------- the loop

CASES = {"idx": idx_case, "npy, npz": arrays_case, "image": image_case, "safetensors": safetensors_case,
         "checkpoint": checkpoint_case, "model": model_case, "run folder": run_case}  # fmt: skip
SHARES = (8, 8, 12, 4, 4, 2, 2)


def run(count, seed=0, first=0):
    """Cases `first` to `first + count`: how many of each kind were refused and how many read, and what failed."""
    counts, failures = Counter(), []
    for number in range(first, first + count):
        rng = random.Random(f"{seed} {number}")
        kind = rng.choices(list(CASES), SHARES)[0]
        began = time.process_time()
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # Pillow's, of what is odd but readable
            try:
                CASES[kind](rng, Path(folder))
                end = "read"
            except TinyganError as error:
                end = "refused" if str(error) else "refused without a word"
            except BaseException:
                end = "failed"
                failures.append(f"case {number} ({kind}):\n{traceback.format_exc()}")
        if time.process_time() - began > SECONDS:
            failures.append(f"case {number} ({kind}) took {time.process_time() - began:.0f} s")
        counts[kind, end] += 1
    return counts, failures


def _peak():
    """MiB of memory that the process has had at most."""
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    except ImportError:
        return float("nan")


def _limit_memory():
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    except (ImportError, OSError):
        print("memory is not limited on this system", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="N", help="this case alone")
    options = parser.parse_args()
    _good_run()
    _limit_memory()
    first, count = (0, options.count) if options.only is None else (options.only, 1)
    began = time.process_time()
    counts, failures = run(count, options.seed, first)
    for (kind, end), number in sorted(counts.items()):
        print(f"{kind:12} {end:10} {number:8,}")
    print(*failures[:20], sep="\n")
    took = time.process_time() - began
    print(f"{sum(counts.values()):,} cases, {len(failures)} failures, {took:.0f} s of CPU, {_peak():.0f} MiB at most")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
