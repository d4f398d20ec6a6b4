"""tinygan evaluate: a run, a folder, a file; the table, metrics.json, report.html; and what it refuses."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tinygan import cli, data, metrics
from tinygan.errors import DataError, SettingError
from tinygan.metrics.evaluation import FRECHET, KERNEL

TRAIN, TEST, N = 300, 200, 120


def idx(array):
    """The bytes of an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def drawn():
    """Bytes and labels of drawn digits, which play MNIST here."""
    images, labels = data.digits.digits(TRAIN + TEST + N)
    return np.rint((images[..., 0] + 1) * 127.5).astype(np.uint8), labels


@pytest.fixture
def mnist(drawn, tmp_path, monkeypatch):
    """A folder of a small data set that is called mnist."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for split, name in ((slice(TRAIN), "train"), (slice(TRAIN, TRAIN + TEST), "t10k")):
        for part, array, kind in (("images", drawn[0], "idx3"), ("labels", drawn[1], "idx1")):
            (folder / f"{name}-{part}-{kind}-ubyte").write_bytes(idx(array[split]))
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TINYGAN_OFFLINE", "1")
    return folder


@pytest.fixture
def run(mnist, tmp_path, capsys):
    """A run on it of a few steps."""
    out = tmp_path / "run"
    arguments = ["--model", "mlp", "--data", "mnist", "--batch", "16", "--steps", "2", "--out", str(out)]
    assert cli.main(["train", *arguments]) == 0
    capsys.readouterr()
    return out


class Page(HTMLParser):
    """What a page shows, and what it would load from elsewhere."""

    def __init__(self, path):
        super().__init__()
        self.pictures, self.elsewhere, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.pictures.append(found)
        elsewhere = [value for key, value in attributes if key in ("src", "href") and not value.startswith("data:")]
        self.elsewhere += elsewhere + [tag] * (tag in ("script", "link", "iframe"))

    def handle_data(self, text):
        self.text += text


def fails(capsys, *arguments):
    assert cli.main(["evaluate", *map(str, arguments)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("tinygan evaluate: ") and "Traceback" not in message
    return message


def test_a_run(run, capsys):
    assert cli.main(["evaluate", str(run), "--n", str(N)]) == 0
    said = capsys.readouterr().out
    assert f"N = {N} samples against {TEST} test images of mnist; floor: N training images" in said
    assert "mnist-cnn-1" in said and "FID" not in said
    assert f"Wrote {run / 'metrics.json'} and {run / 'report.html'}" in said
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert found["samples"]["n"] == N and found["reference"]["n"] == TEST
    assert found["classifier"]["id"] == "mnist-cnn-1"
    for name in (FRECHET, KERNEL):
        assert found["metrics"][name]["value"] > 10 * found["metrics"][name]["floor"]  # noise against digits
    assert found["metrics"]["classifier score"]["floor"] > 5
    assert sum(found["class_shares"]) == pytest.approx(1)
    for name, row in found["metrics"].items():
        line = next(line for line in said.splitlines() if line.startswith(f"{name}  "))
        assert f"{row['value']:.4g}" in line and f"{row['floor']:.4g}" in line and line.endswith(row["better"])


def test_the_report_is_one_file_with_alt_texts(run, tmp_path):
    out = tmp_path / "elsewhere" / "report"
    assert cli.main(["evaluate", str(run), "--n", str(N), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "report.html"]
    page = Page(out / "report.html")
    assert not page.elsewhere and len(page.pictures) == 4  # samples, classes, neighbours, losses
    for picture in page.pictures:
        assert len(picture["alt"]) > 30 and picture["alt"] in page.text
        kind, content = picture["src"].split(",")
        assert kind == "data:image/png;base64" and base64.b64decode(content).startswith(b"\x89PNG")
    for row in json.loads((out / "metrics.json").read_text(encoding="utf-8"))["metrics"].values():
        assert f"{row['floor']:.4g}" in page.text
    assert FRECHET in page.text and "training images" in page.text


def test_a_report_of_hostile_names_is_still_text(mnist, drawn, tmp_path):
    name = tmp_path / "<script>alert(1)<"
    name.mkdir()
    np.save(name / "images.npy", drawn[0][-N:])
    assert cli.main(["evaluate", str(name / "images.npy")]) == 0
    page = Page(name / "images-report" / "report.html")
    assert not page.elsewhere and "<script>alert(1)" in page.text


def test_the_same_command_gives_the_same_bytes(run, tmp_path):
    for out in ("a", "b"):
        assert cli.main(["evaluate", str(run), "--n", "100", "--seed", "3", "--out", str(tmp_path / out)]) == 0
    for file in ("metrics.json", "report.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_real_images_as_a_file_and_as_a_folder_reach_the_floor(mnist, drawn, tmp_path, capsys):
    from PIL import Image

    new = drawn[0][-N:]
    np.save(tmp_path / "new.npy", new)
    folder = tmp_path / "new images"
    folder.mkdir()
    for i, image in enumerate(new):
        Image.fromarray(image).save(folder / f"{i:04}.png")
    assert cli.main(["evaluate", str(tmp_path / "new.npy")]) == 0
    assert cli.main(["evaluate", str(folder)]) == 0
    file, images = (
        json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8"))
        for name in ("new-report", "new images-report")
    )
    assert file["metrics"] == images["metrics"] and file["samples"]["sha256"] == images["samples"]["sha256"]
    for name in (FRECHET, "classifier score", "coverage"):
        row = file["metrics"][name]
        assert row["value"] == pytest.approx(row["floor"], rel=0.3)
    assert not file["memorisation"]["found"]
    assert len(Page(tmp_path / "new-report" / "report.html").pictures) == 3  # there are no losses
    assert "no sign of memorisation" in capsys.readouterr().out


def test_copies_of_the_training_images_are_told(mnist, drawn, tmp_path, capsys):
    np.save(tmp_path / "copies.npy", drawn[0][:N])
    assert cli.main(["evaluate", str(tmp_path / "copies.npy")]) == 0
    assert re.search(r"100\.0% are training images, .*about 100% are copied", capsys.readouterr().out)


def test_labels_give_the_accuracy(mnist, drawn, tmp_path):
    images, labels = drawn[0][-N:], drawn[1][-N:]
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.savez(tmp_path / "b.npz", images=images, labels=(labels + 1) % 10)
    right, wrong = (
        metrics.evaluate(metrics.find_samples(tmp_path / name), *metrics.load_reference("mnist"))
        for name in ("a.npz", "b.npz")
    )
    assert right.value("conditional accuracy") > 0.8 and wrong.value("conditional accuracy") < 0.2


def test_other_data_has_no_classes(mnist, drawn, tmp_path):
    """The classifier's features are compared, but what it calls the classes of clothes means nothing."""
    mnist.rename(mnist.with_name("fashion-mnist"))
    np.save(tmp_path / "a.npy", drawn[0][-N:])
    found = metrics.evaluate(metrics.find_samples(tmp_path / "a.npy"), *metrics.load_reference("fashion-mnist"))
    assert found.shares is None and "classifier score" not in str(found) and "coverage" in str(found)
    metrics.write_report(found, tmp_path)
    assert len(Page(tmp_path / "report.html").pictures) == 2
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["class_shares"] is None


def test_a_run_is_held_against_what_it_was_trained_on(run, tmp_path):
    assert metrics.reference_name(run) == "mnist" and metrics.reference_name(tmp_path) == "mnist"
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    for found, name in (({"name": "digits"}, "digits"), ({"name": "photos"}, "mnist"), (7, "mnist")):
        (run / "config.json").write_text(json.dumps(config | {"data": found}), encoding="utf-8")
        assert metrics.reference_name(run) == name


# ---------------------------------------------------------------- bad input


def test_too_few_and_too_many(run, capsys):
    assert "64 samples are too few, at least 65 are needed" in fails(capsys, run, "--n", 64)
    assert "Take fewer samples: --n 300" in fails(capsys, run)  # 10,000 against a small data set
    assert not (run / "report.html").exists()


def test_images_of_another_size(mnist, tmp_path, capsys):
    for shape in ((N, 32, 32), (N, 28, 28, 3)):
        np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
        message = fails(capsys, tmp_path / "a.npy")
        assert str((*shape[1:], 1)[:3]) in message and "(28, 28, 1)" in message


def test_what_is_no_run_and_no_images(mnist, run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    message = fails(capsys, tmp_path / "empty")
    assert "is no run, since it has no config.json" in message and "there are no images in it" in message
    assert "isn't there" in fails(capsys, tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("hello")
    assert "a .npy or .npz file is expected" in fails(capsys, tmp_path / "notes.txt")
    (run / "model.npz").unlink()
    assert "model.npz" in fails(capsys, run)
    (run / "config.json").write_text("{")
    assert "is not JSON" in fails(capsys, run)


def test_nan(mnist, run, drawn, tmp_path, capsys, monkeypatch):
    images = drawn[0][-N:].astype(np.float32) / 255
    images[3, 4, 5] = np.nan
    np.save(tmp_path / "a.npy", images)
    assert "image 3 has the value nan" in fails(capsys, tmp_path / "a.npy")
    monkeypatch.setattr(
        "tinygan.metrics.sources.generate", lambda *arguments: np.full((N, 28, 28, 1), np.nan, np.float32)
    )
    assert "image 0 has the value nan" in fails(capsys, run, "--n", N)


def test_mnist_missing(drawn, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    monkeypatch.setenv("TINYGAN_OFFLINE", "1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    np.save(tmp_path / "a.npy", drawn[0][-N:])
    message = fails(capsys, tmp_path / "a.npy")
    assert "TINYGAN_OFFLINE forbids the network" in message and "mnist" in message
    assert "mnist, fashion-mnist" in fails(capsys, tmp_path / "a.npy", "--data", "cifar")


def test_errors_have_their_classes(mnist, tmp_path):
    with pytest.raises(SettingError):
        metrics.load_reference("cifar")
    with pytest.raises(DataError):
        metrics.find_samples(tmp_path / "missing")


def test_a_folder_that_cannot_be_made(mnist, drawn, tmp_path, capsys):
    np.save(tmp_path / "a.npy", drawn[0][-N:])
    assert "could not make the folder" in fails(capsys, tmp_path / "a.npy", "--out", tmp_path / "a.npy")


def test_clusters_are_no_classes(mnist, drawn, tmp_path):
    """A run that was told clusters is not judged by whether cluster 3 shows threes."""
    for clusters, judged in ((["--clusters", "10"], False), (["--conditional"], True)):
        run = tmp_path / f"run-{judged}"
        assert cli.main(["train", "--data", "mnist", "--steps", "1", "--out", str(run), *clusters]) == 0
        samples = metrics.find_samples(run, N)
        assert samples.clustered is not judged and len(np.unique(samples.labels)) == 10
        found = metrics.evaluate(samples, *metrics.load_reference("mnist"))
        assert ("conditional accuracy" in str(found)) is judged
