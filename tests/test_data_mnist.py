"""MNIST's ways in: the user's folder, the cache, the mirrors. All on tiny made-up files and a server of our own."""

import gzip
import hashlib
import http.server
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pooch
import pytest

from tinygan.data import load, load_default, mnist
from tinygan.errors import DataError, SettingError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


FILES = {
    "train-images-idx3-ubyte.gz": gzip.compress(idx_bytes(IMAGES), mtime=0),
    "train-labels-idx1-ubyte.gz": gzip.compress(idx_bytes(LABELS), mtime=0),
}


class Server:
    """A mirror on this machine: `pages` maps a path to its bytes; anything else is a 404. It notes what was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                content = server.pages.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def offer(self, mirror: str, files: dict[str, bytes]) -> None:
        self.pages.update({f"/{mirror}/{file}": content for file, content in files.items()})


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no folder of the user's, no proxy, and the hashes of our made-up files. Gives mnist's cache."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in FILES.items()}
    monkeypatch.setitem(mnist.SHA256, "mnist", hashes)
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    monkeypatch.delenv("TINYGAN_OFFLINE", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "cache" / "tinygan" / "mnist"


@pytest.fixture
def mirrors(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    urls = (f"{server.url}/one/", f"{server.url}/two/")
    monkeypatch.setitem(mnist.MIRRORS, "mnist", urls)
    return urls


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def check(data) -> None:
    np.testing.assert_array_equal(data.images[..., 0], IMAGES.astype(np.float32) / np.float32(127.5) - 1)
    assert data.labels.tolist() == LABELS.tolist()
    assert data.name == "mnist"


# ---------------------------------------------------------------- mirrors and cache


def test_download_then_cache(server, cache, mirrors):
    server.offer("one", FILES)
    check(load("mnist"))
    assert server.asked == [f"/one/{file}" for file in FILES]
    assert sorted(os.listdir(cache)) == sorted(FILES)
    check(load("mnist"))  # from the cache now
    assert len(server.asked) == 2


def test_a_mirror_with_wrong_bytes_is_passed_over(server, cache, mirrors):
    server.offer("one", dict.fromkeys(FILES, b"not what was published"))
    server.offer("two", FILES)
    check(load("mnist"))
    assert server.asked == [f"/{mirror}/{file}" for file in FILES for mirror in ("one", "two")]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == FILES


def test_a_mirror_that_refuses_the_connection_is_passed_over(server, cache, monkeypatch):
    closed = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    url = f"http://127.0.0.1:{closed.server_port}/"
    closed.server_close()  # now nobody listens there
    monkeypatch.setitem(mnist.MIRRORS, "mnist", (url, f"{server.url}/two/"))
    with pytest.raises(DataError, match=r"ConnectionError, .*refused"):
        load("mnist")
    server.offer("two", FILES)
    check(load("mnist"))


def test_all_mirrors_fail(server, cache, mirrors):
    server.offer("one", dict.fromkeys(FILES, b"not what was published"))
    with pytest.raises(DataError) as caught:
        load("mnist")
    lines = str(caught.value).splitlines()
    assert lines == [
        "mnist: train-images-idx3-ubyte.gz could not be downloaded from any mirror.",
        f"  {mirrors[0]}: its file has the wrong SHA-256",
        f"  {mirrors[1]}: HTTP status 404",
        "Set TINYGAN_DATA to a folder that has mnist/train-images-idx3-ubyte.gz, "
        'or use "digits", which needs no download.',
    ]
    assert os.listdir(cache) == []


def test_a_silent_mirror_is_given_up(cache, monkeypatch):
    monkeypatch.setattr(mnist, "TIMEOUT", 0.2)
    silent = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # accepts, never answers
    try:
        monkeypatch.setitem(mnist.MIRRORS, "mnist", (f"http://127.0.0.1:{silent.server_port}/",))
        start = time.monotonic()
        with pytest.raises(DataError, match="Timeout"):
            load("mnist")
        assert time.monotonic() - start < 2.5
    finally:
        silent.server_close()
    assert os.listdir(cache) == []


def test_a_damaged_cache_is_fetched_again(server, cache, mirrors):
    server.offer("one", FILES)
    write(cache, {**FILES, "train-labels-idx1-ubyte.gz": b"damaged"})
    check(load("mnist"))
    assert server.asked == ["/one/train-labels-idx1-ubyte.gz"]
    assert (cache / "train-labels-idx1-ubyte.gz").read_bytes() == FILES["train-labels-idx1-ubyte.gz"]


def test_offline_asks_nobody(server, cache, mirrors, monkeypatch):
    monkeypatch.setenv("TINYGAN_OFFLINE", "1")
    server.offer("one", FILES)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is not in .*TINYGAN_OFFLINE forbids"):
        load("mnist")
    assert server.asked == []
    write(cache, FILES)
    check(load("mnist"))
    write(cache, {"train-images-idx3-ubyte.gz": b"damaged"})
    with pytest.raises(DataError, match="TINYGAN_OFFLINE"):
        load("mnist")
    assert server.asked == []


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals(server, cache, mirrors, monkeypatch, terminal):
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", stderr)
    server.offer("one", FILES)
    load("mnist")
    assert ("100%" in stderr.getvalue()) is terminal


def test_the_download_says_nothing_else(server, cache, mirrors, monkeypatch):
    said = []
    logger = pooch.get_logger()
    logger.setLevel("INFO")
    monkeypatch.setattr(logger, "handle", said.append)
    server.offer("one", FILES)
    load("mnist")
    assert said == []


def test_the_published_hashes_are_complete():
    wanted = {f"{file}.gz" for files in mnist.FILES.values() for file in files}
    for name, mirrors in mnist.MIRRORS.items():
        assert set(mnist.SHA256[name]) == wanted
        assert all(len(bytes.fromhex(digest)) == 32 for digest in mnist.SHA256[name].values())
        assert all(mirror.endswith("/") for mirror in mirrors)


# ---------------------------------------------------------------- the user's own folder


@pytest.fixture
def own(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("TINYGAN_OFFLINE", "1")
    return tmp_path / "own" / "mnist"


@pytest.mark.parametrize("packed", [True, False])
def test_own_files_need_no_hash(own, packed):
    subset = {"train-images-idx3-ubyte": idx_bytes(IMAGES[:3]), "train-labels-idx1-ubyte": idx_bytes(LABELS[:3])}
    write(own, {f"{name}.gz": gzip.compress(raw) for name, raw in subset.items()} if packed else subset)
    data = load("mnist")
    assert len(data) == 3
    assert data.labels.tolist() == [3, 1, 4]
    assert data.source == f"mnist, train split, your files in {own}"
    assert load("mnist", count=2).labels.tolist() == [3, 1]


def test_each_split_and_each_set_has_its_files(own):
    write(own, FILES)
    test = {"t10k-images-idx3-ubyte": idx_bytes(IMAGES[::-1]), "t10k-labels-idx1-ubyte": idx_bytes(LABELS[::-1])}
    write(own, test)
    fashion = {"train-images-idx3-ubyte": idx_bytes(IMAGES[2:]), "train-labels-idx1-ubyte": idx_bytes(LABELS[2:])}
    write(own.parent / "fashion-mnist", fashion)
    check(load("mnist"))
    assert load("mnist", split="test").labels.tolist() == [5, 1, 4, 1, 3]
    data = load("fashion-mnist")
    assert (data.name, data.labels.tolist()) == ("fashion-mnist", [4, 1, 5])


def test_counts_that_differ(own):
    write(own, {**FILES, "train-labels-idx1-ubyte.gz": gzip.compress(idx_bytes(LABELS[:4]))})
    with pytest.raises(DataError, match=r"5 images in .*, but 4 labels in .*delete both"):
        load("mnist")


def test_half_a_data_set(own):
    write(own, {"train-images-idx3-ubyte": idx_bytes(IMAGES)})
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte \(or .*\.gz\) is missing beside train-images"):
        load("mnist")


def test_swapped_files(own):
    write(own, {"train-images-idx3-ubyte": idx_bytes(LABELS), "train-labels-idx1-ubyte": idx_bytes(IMAGES)})
    with pytest.raises(DataError, match=r"shape is \(5,\), but 3 axes are expected. Are two files swapped"):
        load("mnist")


def test_the_cache_comes_second(own, cache):
    write(cache, FILES)
    check(load("mnist"))  # TINYGAN_DATA is set, but has no mnist


# ---------------------------------------------------------------- load and load_default


def test_load_default_takes_mnist_where_it_is(own):
    write(own, FILES)
    data, sentence = load_default()
    check(data)
    assert sentence == f"Training images: mnist, train split, your files in {own}."


def test_load_default_draws_digits_where_mnist_is_not(server, cache, mirrors):
    data, sentence = load_default()
    assert (data.name, len(data)) == ("digits", 10_000)
    assert "\n" not in sentence
    assert sentence.startswith("Training images: 10000 digits drawn by code")
    assert "MNIST is not to be had (mnist: train-images-idx3-ubyte.gz could not be downloaded" in sentence


@pytest.mark.parametrize(
    ("name", "guess"), [("mnits", " Did you mean 'mnist'?"), ("digit", " Did you mean 'digits'?"), ("", "")]
)
def test_an_unknown_name(name, guess):
    with pytest.raises(DataError) as caught:
        load(name)
    expected = "Expected: digits, mnist, fashion-mnist, a folder of images, or a .npy or .npz file."
    assert str(caught.value) == f"{name!r} is no data set and no path.{guess} {expected}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "validation"}, "split='validation': one of train, test"),
        ({"size": 32}, r"size=32, channels=None: digits has images of the shape \(28, 28, 1\)"),
        ({"channels": 3}, "size=None, channels=3: digits has images"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(SettingError, match=message):
        load("digits", count=1, **options)


def test_options_that_say_what_is_there():
    assert load("digits", count=1, size=28, channels=1).image_shape == (28, 28, 1)


# ---------------------------------------------------------------- the real thing


def test_real_mnist():
    folder = Path(os.environ.get("TINYGAN_DATA", ""), "mnist")
    if not os.environ.get("TINYGAN_DATA") or not list(folder.glob("t10k-images-idx3-ubyte*")):
        pytest.skip("TINYGAN_DATA names no folder with mnist in it")
    data = load("mnist", split="test")
    assert data.images.shape == (10_000, 28, 28, 1)
    assert np.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.images.mean() == pytest.approx(2 * 0.1325 - 1, abs=1e-3)
