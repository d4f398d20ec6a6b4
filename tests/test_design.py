"""The plan of the house, held against the source: floors, who may import what, no pickle, light to load, documented."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest
from test_backend import python

import tinygan as tg
from tinygan import autograd, gan, losses, nn, ops, optim

PACKAGE = Path(tg.__file__).parent
SOURCES = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

# Floor by floor, from the ground up. Rooms of one floor may use each other, without circles.
FLOORS = [
    {"backend", "threads", "errors", "_version", "files", "rows", "workers"},
    {"kernels"},
    {"autograd", "debugging"},
    {"ops", "gradcheck", "testing"},
    {"nn", "losses", "penalties", "optim", "reduction"},
    {"gan"},
    {"training", "checkpoint", "plotting", "data", "metrics", "distributed", "models", "runs", "recording"}
    | {"sampling", "grading", "progress", "signals", "export", "onnx", "profiling", "diagnosis"},
    {"cli", "doctor", "lessons"},
    {"__init__", "__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module):
    return module.split("/")[0]


def imports(module):
    """The modules that `module` imports, those of this package as paths like "nn/module", others by their first name.

    Those for type checkers alone and those inside of functions are imports as well: they point the same way.
    """
    here = module.split("/") if SOURCES[module].name == "__init__.py" else module.split("/")[:-1]
    here = [part for part in here if part != "__init__"]
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield "other", alias.name.split(".")[0] if alias.name.split(".")[0] != "tinygan" else alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield "other", node.module.split(".")[0]
                continue
            base = here[: len(here) - (node.level - 1)] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                path = "/".join([*base, alias.name])
                inside = path in SOURCES or f"{path}/__init__" in SOURCES
                yield "own", path if inside else "/".join(base) or "__init__"


def test_every_room_has_a_floor():
    assert {room_of(m) for m in SOURCES} <= set(FLOOR), "say in FLOORS where the new module stands"


@pytest.mark.parametrize("module", SOURCES)
def test_an_import_only_goes_down(module):
    for kind, target in imports(module):
        assert target != "tinygan", f"{module}: import relatively, as in `from . import {target}`"
        if kind == "own":
            ours, theirs = FLOOR[room_of(module)], FLOOR[room_of(target)]
            assert theirs <= ours, (
                f"{module} (floor {ours}) imports {target} (floor {theirs}): an import only goes down"
            )


def test_no_circles():
    """Not between modules at all, within a floor or a package either."""
    edges = {
        m: {t if t in SOURCES else f"{t}/__init__" for k, t in imports(m) if k == "own"} & set(SOURCES) for m in SOURCES
    }
    # A package's __init__ gathers its modules; a module that takes a sibling from it is a circle and shows here.
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, " imports ".join([*open_[open_.index(module) :], module])
        if module not in done:
            open_.append(module)
            for target in sorted(edges[module]):
                visit(target)
            open_.pop()
            done.add(module)

    for module in SOURCES:
        visit(module)


@pytest.mark.parametrize("module", SOURCES)
def test_only_kernels_and_backend_touch_cupy(module):
    if module == "backend" or module.startswith("kernels/"):
        return
    assert "cupy" not in {target for _, target in imports(module)}, f"{module} imports cupy"
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            text = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            importing = name.endswith(("import_module", "__import__", "modules.get"))
            assert not (importing and any("cupy" in t for t in text)), f"{module}:{node.lineno} imports cupy by name"


@pytest.mark.parametrize("module", SOURCES)
def test_no_pickle(module):
    """Law 8. Of numpy.load too: unless told otherwise, an array file of objects may run any code."""
    forbidden = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    assert not forbidden & {target for _, target in imports(module)}
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            settings = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name in ("np.load", "numpy.load", "xp.load", "np.lib.format.read_array"):
                assert settings.get("allow_pickle") == "False", (
                    f"{module}:{node.lineno}: {name} with allow_pickle=False"
                )
            assert settings.get("allow_pickle", "False") == "False", f"{module}:{node.lineno}"
            assert name not in ("eval", "exec"), f"{module}:{node.lineno}: {name}"


def test_the_walk_sees_what_it_should():
    """The tests above can fail: the walk finds imports that are known to be there."""
    assert ("own", "autograd") in set(imports("gan")) and ("own", "backend") in set(imports("ops/activations"))
    assert ("own", "kernels/geometry") in set(imports("kernels/numpy_convolution")) and ("other", "numpy") in set(
        imports("gan")
    )
    assert ("own", "ops/shapes") in set(imports("ops/__init__")) and ("own", "nn") in set(imports("gan"))


# ---------------------------------------------------------------- light to load (law 10)

BLOCKED = ["socket", "subprocess", "concurrent.futures", "multiprocessing", "threadpoolctl", "cupy", "matplotlib"]
BLOCKED += ["pooch", "tqdm", "PIL"]

BROWSER = f"""
import sys, threading
import numpy.random  # which needs some of these itself on Python 3.10
for name in {BLOCKED}:
    sys.modules[name] = None

def refuse(self):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
import numpy as np
import tinygan as tg
from tinygan import models
tg.set_threads(TRIED)
for name, size in (("mlp", (8, 8, 1)), ("small", (28, 28, 1))):
    gan = models.build_gan(name, size)
    real = np.random.default_rng(0).uniform(-1, 1, (40, *size)).astype(np.float32)
    before = gan.generator.parameters()[0].numpy()
    losses = [gan.discriminator_step(real).item(), gan.generator_step(40).item()]
    assert np.isfinite(losses).all() and (gan.generator.parameters()[0].numpy() != before).any()
    assert gan.sample(4).shape == (4, *size)
print("trained")
"""


@pytest.mark.smoke
@pytest.mark.parametrize("threads", [None, 4])
def test_a_gan_trains_in_a_browsers_python(threads):
    """No threads, no sockets, nothing but NumPy."""
    assert python(BROWSER.replace("TRIED", str(threads))) == "trained\n"


@pytest.mark.smoke
def test_import_loads_numpy_alone():
    """What is not NumPy and not Python's own loads when it is first used."""
    code = "import sys, numpy.random; before = set(sys.modules); import tinygan; print(*set(sys.modules) - before)"
    loaded = {name.split(".")[0] for name in python(code).split()}
    foreign = loaded - set(sys.stdlib_module_names) - {"tinygan", "numpy"}
    assert not foreign, f"import tinygan also loads {foreign}"
    heavy = "concurrent multiprocessing asyncio http ssl socket sqlite3 tkinter subprocess xml email unittest pydoc"
    slow = loaded & set(heavy.split())
    assert not slow, f"import tinygan also loads {slow}, which nobody asked for yet"


def test_import_time_is_printed(capsys):
    """For whoever reads the log: a bound would fail on a busy machine and say nothing about the code."""
    code = "import time, numpy; t = time.perf_counter(); import tinygan; print(time.perf_counter() - t)"
    with capsys.disabled():
        print(f" import tinygan after NumPy: {min(float(python(code)) for _ in range(3)):.3f} s (aim: 0.3) ", end="")


# ---------------------------------------------------------------- documented


def public():
    for module in (ops, nn, losses, optim, gan):
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            item = getattr(module, name)
            if (inspect.isclass(item) or inspect.isfunction(item)) and item.__module__.startswith("tinygan"):
                yield f"{module.__name__}.{name}", item


@pytest.mark.parametrize("item", [item for _, item in public()], ids=[name for name, _ in public()])
def test_what_is_public_is_documented(item):
    assert item.__doc__, "a docstring is missing"


@pytest.mark.parametrize("op", [item for _, item in public() if inspect.isclass(item) and issubclass(item, tg.Op)])
def test_an_op_gives_its_derivative_as_a_formula(op):
    assert "∂L/∂" in op.__doc__, f"{op.__name__}: formula forward, formula backward, shapes"
    assert " = " in op.__doc__


@pytest.mark.parametrize("item", [autograd.Tensor, nn.Module, nn.Sequential, optim.Optimizer, gan.GAN])
def test_methods_are_documented(item):
    for name, member in vars(item).items():
        if inspect.isfunction(member) and not name.startswith("_"):
            assert inspect.getdoc(getattr(item, name)) or name == "forward", f"{item.__name__}.{name}"


def test_names_of_the_design():
    """DESIGN §5: what lessons and users rely on is there, under that name."""
    wanted = """add sub mul div neg power exp log sqrt abs maximum minimum clip where tanh sigmoid softplus relu
    leaky_relu matmul sum mean max min logsumexp softmax log_softmax reshape transpose broadcast_to concatenate stack
    pad take getitem conv conv_transpose batch_norm dropout"""
    assert set(wanted.split()) <= set(ops.__all__)
    assert set(ops.__all__) == {n for n in ops.__all__ if hasattr(ops, n)} and len(set(ops.__all__)) == len(ops.__all__)
    for module, names in {
        "": "Tensor grad no_grad gradcheck GAN Trainer use seed ops nn losses optim data testing",
        ".nn": "Module Sequential Dense Conv ConvTranspose BatchNorm LeakyReLU ReLU Tanh Sigmoid Dropout Flatten "
        "Reshape",
        ".optim": "SGD Adam",
        ".testing": "gradcheck_arrays OpCase check_case",
    }.items():
        found = importlib.import_module(f"tinygan{module}")
        missing = [name for name in names.split() if not hasattr(found, name)]
        assert not missing, f"tinygan{module} lacks {missing}"


def test_signatures_of_the_design():
    def signature(function):
        return {p.name: p.default for p in inspect.signature(function).parameters.values()}

    empty = inspect.Parameter.empty
    assert signature(ops.conv) == {"x": empty, "w": empty, "stride": 1, "padding": 0}
    assert signature(ops.conv_transpose) == {"x": empty, "w": empty, "stride": 1, "padding": 0, "output_padding": 0}
    assert signature(ops.batch_norm) == {"x": empty, "gamma": empty, "beta": empty, "eps": 1e-5}
    assert signature(ops.leaky_relu) == {"x": empty, "slope": 0.2}
    assert list(signature(tg.grad)) == ["output", "inputs", "grad_output", "create_graph", "retain_graph"]
    assert list(signature(tg.Tensor.backward))[1:] == ["grad_output", "create_graph", "retain_graph", "inputs"]
    assert signature(tg.gradcheck)["order"] == 2
