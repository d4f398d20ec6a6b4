"""The tape: order, accumulation, what is freed and when, what is refused, and that nothing leaks."""

import copy
import gc
import inspect
import threading
import weakref

import numpy as np
import pytest

import tinygan as tg
from tinygan import ops
from tinygan.autograd import Op, Tensor, grad, no_grad
from tinygan.errors import DeviceError, DTypeError, GraphError, NonFiniteError, ShapeError


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def live_tensors():
    return sum(issubclass(type(o), Tensor) for o in gc.get_objects())


# ---------------------------------------------------------------- backward


def test_diamond():
    x = leaf([2.0, 3.0])
    a, b = x * 3, ops.exp(x)
    ((a * b) + a).sum().backward()  # d/dx (3x·eˣ + 3x)
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.exp([2, 3]) * np.array([3, 4]) + 3, rtol=1e-14)


def test_many_diamonds_are_visited_once():
    """2⁶⁰ paths, 60 nodes: each Tensor is visited after all its users, not once a path."""
    x = y = leaf(1.0)
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


@pytest.mark.parametrize("f", [ops.add, ops.sub, ops.mul, ops.div, ops.maximum])
def test_the_same_tensor_twice(f):
    x = leaf([1.5, -2.0])
    f(x, x).sum().backward()
    np.testing.assert_allclose(
        x.grad.numpy(), {"mul": [3, -4], "add": [2, 2], "maximum": [1, 1]}.get(f.__name__, [0, 0])
    )


def test_side_branch_without_gradient():
    """An op that gives None for one input: that branch is still counted, so the other is not waited for in vain."""

    class First(Op):
        """y = a, b is looked at only.   ∂L/∂a = ∂L/∂y."""

        def forward(self, a, b):
            return a * 1

        def backward(self, grad):
            return grad, None

    x = leaf([1.0, 2.0])
    b = x * x
    y = First()(x * 3, b) + b
    y.sum().backward()
    assert x.grad.numpy().tolist() == [3 + 2, 3 + 4]
    z = leaf(1.0)
    First()(x, z).sum().backward()
    assert z.grad is None
    assert grad(First()(x, z).sum(), z)[0].item() == 0


def test_long_chain():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward(create_graph=True)
    assert x.grad.item() == 1 and y.item() == 10_001


def test_a_very_long_chain_is_deallocated_without_recursion():
    y = leaf(1.0)
    for _ in range(100_000):
        y = -y
    del y


def test_gradients_accumulate():
    x = leaf([1.0, 2.0])
    for expected in (2, 4):
        (2 * x).sum().backward()
        assert x.grad.numpy().tolist() == [expected] * 2
    assert x.grad.op is None and not x.grad.requires_grad
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.numpy().tolist() == [2, 4]


def test_gradients_dont_share_memory():
    a, b = leaf([1.0]), leaf([1.0])
    (a + b).sum().backward()
    a.grad.assign([5.0])
    assert b.grad.numpy().tolist() == [1]


def test_inputs_restricts():
    calls = []

    class Watched(Op):
        def forward(self, a, b):
            return a * b

        def backward(self, grad):
            a, b = self.inputs
            return lambda: (calls.append("a"), grad * b)[1], lambda: (calls.append("b"), grad * a)[1]

    a, b, c = leaf(2.0), leaf(3.0), leaf(1.0)
    Watched()(a, b).backward(inputs=[a, c])
    assert (a.grad.item(), b.grad, c.grad.item(), calls) == (3, None, 0, ["a"])


def test_inputs_may_be_intermediate():
    x = leaf([1.0, 2.0])
    y = x * x
    z = (y * 3).sum()
    (dy,) = grad(z, y, retain_graph=True)
    assert dy.numpy().tolist() == [3, 3]
    dx, dy = grad(z, [x, y])  # both, though the one lies on the way to the other
    assert dx.numpy().tolist() == [6, 12] and dy.numpy().tolist() == [3, 3]
    assert x.grad is None and y.grad is None


def test_of_itself_and_twice():
    x = leaf([1.0, 2.0])
    np.testing.assert_array_equal(grad(x, x, np.array([4.0, 5.0]))[0].numpy(), [4, 5])
    a, b = grad((x * x).sum(), [x, x])
    assert a.numpy().tolist() == b.numpy().tolist() == [2, 4]
    (x * x).sum().backward(inputs=[x, x])
    assert x.grad.numpy().tolist() == [2, 4]


def test_unrelated_inputs_get_zeros():
    x, other = leaf([1.0]), Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    (zero,) = grad(x.sum(), [other])
    assert (zero.shape, zero.dtype, zero.numpy().any()) == ((2, 3), np.float32, False)


def test_third_order():
    x = leaf([0.5, -1.0])
    y = ops.sum(x**4 * ops.exp(x))
    for _ in range(3):
        (y,) = grad(y.sum(), x, create_graph=True)
    v = x.numpy()
    np.testing.assert_allclose(y.numpy(), np.exp(v) * (v**4 + 12 * v**3 + 36 * v**2 + 24 * v), rtol=1e-13)


def test_create_graph_records_grad():
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    x.grad.backward(inputs=[x])  # adds 6x = 18 to 27
    assert x.grad.item() == 45


def test_without_create_graph_nothing_is_recorded():
    x = leaf(3.0)
    (g,) = grad(x**3, x)
    assert not g.requires_grad and g.op is None
    with no_grad():
        pass
    with pytest.raises(GraphError, match="nothing was recorded"):
        g.backward()


@pytest.mark.parametrize("order", [1, 2])
def test_fused_op_that_is_given_one_tensor_twice(order):
    """The engine's notes: where γ depends on x, or γ is β, the path between them is not counted twice."""
    x = Tensor(np.random.default_rng(0).standard_normal((5, 3)))
    tg.gradcheck(lambda x: ops.batch_norm(x, x.sum(0), x.mean(0) * 2), x, order=order)
    tg.gradcheck(
        lambda x, g: ops.batch_norm(ops.tanh(x), g, g), [x, Tensor([1.0, 2.0, 3.0], dtype="float64")], order=order
    )


def test_fused_op_agrees_with_composed():
    rng = np.random.default_rng(1)
    leaves = [leaf(rng.standard_normal(s)) for s in ((4, 2, 3), (3,), (3,))]
    y = ops.batch_norm(*leaves)
    textbook = ops.BatchNorm(1e-5).composed(*leaves)
    c = rng.standard_normal(y.shape)
    np.testing.assert_allclose(y.numpy(), textbook.numpy(), rtol=1e-12, atol=1e-14)
    fused, recorded = grad(y, leaves, c, retain_graph=True), grad(y, leaves, c, create_graph=True)
    expected = grad(textbook, leaves, c)
    for a, b, e in zip(fused, recorded, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e.numpy(), rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(b.numpy(), e.numpy(), rtol=1e-11, atol=1e-13)


# ---------------------------------------------------------------- freed graphs


def test_a_second_time():
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 4
    with pytest.raises(
        GraphError, match=r"a second time through Sum, whose graph was freed .*: pass retain_graph=True to"
    ):
        y.backward()
    with pytest.raises(GraphError, match="a second time"):
        grad(y * 2, x)
    y = (x * x).sum()
    grad(y, x, create_graph=True)  # implies retain_graph
    grad(y, x)
    with pytest.raises(GraphError, match="a second time"):
        grad(y, x)


def test_retain_graph_of_false_stands_back_for_create_graph():
    x = leaf(2.0)
    y = x**3
    (g,) = grad(y, x, create_graph=True, retain_graph=False)
    assert grad(g, x)[0].item() == 12


def test_what_was_not_visited_is_not_freed():
    a, b = leaf(2.0), leaf(3.0)
    shared = a * a
    (shared * b).backward(inputs=[b])
    shared.backward()
    assert a.grad.item() == 4


def test_memory_is_freed_as_it_is_used():
    """A large array in between is gone right after its last use, though the output is still held."""
    x = leaf(np.zeros(1000))
    middle = ops.exp(x)
    seen = weakref.ref(middle)
    y = ops.tanh(ops.sum(middle * 2)) + ops.sum(middle)
    del middle
    assert seen() is not None
    y.backward(retain_graph=True)
    assert seen() is not None
    y.backward()
    assert seen() is None and x.grad is not None


def test_chain_frees_behind_itself():
    """While backward is at the start of a chain, the end of it is gone."""
    x = leaf(np.zeros(10))
    alive = []

    class Probe(Op):
        def forward(self, x):
            return x + 0

        def backward(self, grad):
            alive.append(seen() is not None)
            return grad

    h = Probe()(x)
    h = ops.tanh(h)
    late = ops.exp(h)
    seen = weakref.ref(late)
    y = (late * 3).sum()
    del late, h
    y.backward()
    assert alive == [False]


# ---------------------------------------------------------------- stale graphs (law 6)


def test_stale():
    w, x = leaf([[2.0]]), leaf([[1.0]])
    y = ops.matmul(x, w)
    w.assign([[3.0]])
    with pytest.raises(
        GraphError, match=r"stale graph: input 1 of Matmul, shape \(1, 1\), was changed .* Compute the loss again"
    ):
        y.sum().backward()
    assert x.grad is None and w.grad is None
    (x @ w).sum().backward()
    assert x.grad.item() == 3


def test_the_classic_bug():
    """D's step between D(fake) and G's backward."""
    d, g = leaf([1.0]), leaf([2.0])
    fake = g * 3
    loss_g = (d * fake).mean()
    (d * 1.0).mean().backward(inputs=[d])
    tg_optimizer_step(d)
    with pytest.raises(GraphError, match="stale"):
        loss_g.backward(inputs=[g])


def tg_optimizer_step(parameter):
    parameter.writable()[...] -= 0.1 * parameter.grad._array


@pytest.mark.parametrize(
    "view",
    [lambda p: p.detach(), lambda p: p.detach().reshape(2, 1), lambda p: p.T.detach(), lambda p: p.detach()[:, 0],
     lambda p: ops.broadcast_to(p.detach(), (3, 1, 2)), lambda p: p.detach().T.detach()],
    ids=["detach", "reshape", "T", "getitem", "broadcast_to", "chain"],
)  # fmt: skip
def test_stale_through_a_view(view):
    """What shares the parameter's memory is changed with it, whether it was recorded or not."""
    p, w = leaf([[2.0, 3.0]]), leaf(1.0)
    y = (view(p) * w).sum()
    p.assign([[5.0, 7.0]])
    with pytest.raises(GraphError, match="stale"):
        y.backward(inputs=[w])


def test_a_copy_is_not_stale():
    p, w = leaf([[2.0, 3.0]]), leaf(1.0)
    y = (p.detach()[[0]] * w).sum() + (p.detach() * 1 * w).sum() + (Tensor(p) * w).sum()
    p.assign([[5.0, 7.0]])
    y.backward(inputs=[w])
    assert w.grad.item() == 15


def test_version_counts_every_change():
    x = leaf([1.0])
    y = x * x
    x.assign(x.numpy())  # the same values; still, somebody wrote
    with pytest.raises(GraphError, match="stale"):
        y.sum().backward()


# ---------------------------------------------------------------- no_grad, detach, hooks


def test_no_grad():
    x = leaf([1.0])
    with no_grad():
        y = x * 2
        with no_grad():
            pass
        assert not (x * 2).requires_grad  # the inner block's end doesn't end the outer
    assert not y.requires_grad and (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad


def test_no_grad_is_of_its_thread():
    x, results = leaf([1.0]), {}

    def other():
        results["other"] = (x * 2).requires_grad

    with no_grad():
        thread = threading.Thread(target=lambda: __import__("contextvars").Context().run(other))
        thread.start()
        thread.join()
        results["own"] = (x * 2).requires_grad
    assert results == {"other": True, "own": False}


def test_grad_works_under_no_grad_on_a_graph_recorded_before():
    x = leaf([3.0])
    y = (x**3).sum()
    with no_grad():
        (g,) = grad(y, x, create_graph=True)
        assert not (x * 2).requires_grad
    assert grad(g.sum(), x)[0].item() == 18


def test_detach():
    x = leaf([2.0])
    y = x * x.detach()
    y.sum().backward()
    assert x.grad.item() == 2 and x.detach().op is None and not x.detach().requires_grad


def test_hooks_fire_once_when_complete():
    x = leaf([1.0, 2.0])
    fired = []
    remove = x.register_hook(lambda t: fired.append(t.grad.numpy().tolist()))
    (x * x + ops.exp(x) * 0 + x * 3).sum().backward()
    assert fired == [[5, 7]]
    grad((x * x).sum(), x)  # touches no .grad
    assert len(fired) == 1
    x.sum().backward()
    assert fired[1:] == [[6, 8]]
    remove()
    x.sum().backward()
    assert len(fired) == 2


def test_a_hook_may_remove_itself():
    x, fired = leaf([1.0]), []
    removers = []

    def once(tensor):
        fired.append("once")
        removers[0]()

    removers.append(x.register_hook(once))
    x.register_hook(lambda t: fired.append("always"))
    for _ in range(2):
        x.sum().backward()
    assert fired == ["once", "always", "always"]


def test_hooks_of_an_early_leaf_fire_before_the_end():
    """Nearest to the output first: a gradient can be sent off while others are still computed."""
    x, w, order = leaf([1.0]), leaf([2.0]), []
    x.register_hook(lambda t: order.append("x"))
    w.register_hook(lambda t: order.append("w"))
    (ops.exp(x * 2) * w).sum().backward()
    assert order == ["w", "x"]


# ---------------------------------------------------------------- what a Tensor is


def test_the_constructor_copies():
    a = np.ones(2, np.float32)
    x = Tensor(a)
    a[:] = 7
    assert x.numpy().tolist() == [1, 1]
    x.numpy()[:] = 3
    assert x.numpy().tolist() == [1, 1]


@pytest.mark.parametrize(
    "value, dtype",
    [(1.5, "float32"), ([1.5], "float32"), (2, "int64"), (True, "bool"), (np.float64(2), "float32"),
     (np.zeros(2), "float64"), (np.zeros(2, np.uint8), "uint8"), (np.zeros((), np.float64), "float64")],
)  # fmt: skip
def test_dtypes(value, dtype):
    assert Tensor(value).dtype == dtype


def test_dtype_keeps_the_digits():
    assert Tensor([0.1], dtype="float64").item() == 0.1
    assert Tensor(leaf([1.0]).sum()).dtype == np.float64  # what a reduction gives is a NumPy number inside
    assert (leaf([1.0]) * [0.1]).item() == 0.1
    assert (leaf([1.0]) * 0.1).item() == 0.1


@pytest.mark.parametrize("value", [np.zeros(2, np.float16), np.zeros(2, np.complex64), ["a"], [None]])
def test_dtypes_refused(value):
    with pytest.raises(DTypeError, match=r"Tensor: dtype .* is not supported; convert to float32"):
        Tensor(value)


def test_integers_cant_require_gradients():
    for value in (1, [True], np.arange(3)):
        with pytest.raises(DTypeError, match=r"can't require gradients; give floats, as in array.astype\('float32'\)"):
            Tensor(value, requires_grad=True)
    assert not (leaf([1.0]) > 0).requires_grad


def test_data_is_read_only():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 3
    with pytest.raises(AttributeError):
        x.data = np.zeros(2)
    held = x.data
    x.assign([5.0, 6.0])
    assert held.tolist() == [5, 6] and x.data.base is held.base  # never re-pointed


def test_assign():
    x = leaf([1.0, 2.0])
    x.assign(7)
    assert x.numpy().tolist() == [7, 7]
    x.assign(Tensor([1, 2]))
    assert x.numpy().tolist() == [1, 2] and x.dtype == np.float64
    with pytest.raises(ShapeError, match=r"assign: shape \(1,\) into a Tensor of shape \(2,\)"):
        x.assign([1.0])
    with pytest.raises(GraphError, match=r"only leaves .* this Tensor was computed"):
        (x * 2).assign(0)
    total = x.sum().detach()
    total.assign(4.0)
    assert total.item() == 4


def test_item_and_conversions():
    x = leaf([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), len(leaf([1.0, 2.0]))) == (2.5, 2.5, 2, True, 2)
    for function in (Tensor.item, float, int, bool):
        with pytest.raises(ShapeError, match=r"one element is needed, the shape is \(2,\)"):
            function(leaf([1.0, 2.0]))
    with pytest.raises(ShapeError, match=r"without axes, shape \(\)"):
        len(leaf(1.0))


def test_iteration():
    assert [row.numpy().tolist() for row in leaf([[1.0, 2.0], [3.0, 4.0]])] == [[1, 2], [3, 4]]
    a, b = leaf([1.0, 2.0])
    assert (a.item(), b.item()) == (1, 2)
    with pytest.raises(ShapeError, match="without axes"):
        for _ in leaf(1.0):
            pass


def test_numpy_is_kept_out():
    x = leaf([1.0])
    for function in (np.asarray, np.array, lambda t: np.concatenate([t, t]), lambda t: Tensor([t])):
        with pytest.raises(TypeError, match=r"NumPy can't record gradients: use tinygan.ops .* tensor.numpy()"):
            function(x)
    for function in (np.exp, np.sum, lambda t: np.add(np.ones(1), t)):
        with pytest.raises(TypeError):
            function(x)


def test_numpy_on_the_left():
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = leaf([[5.0, 6.0], [7.0, 8.0]])
    b = x.numpy()
    for ours, theirs in (
        (a + x, a + b), (a - x, a - b), (a * x, a * b), (a / x, a / b), (a @ x, a @ b), (np.float64(2) * x, 2 * b),
        (np.float32(2) - x, 2 - b), (2 / x, 2 / b), (1 - x, 1 - b), (x / np.int64(2), b / 2), (a < x, a < b),
        (a == x, a == b), (np.float64(3) >= x, b <= 3),
    ):  # fmt: skip
        assert isinstance(ours, Tensor)
        np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.int8(2)], ids=repr)
def test_numbers_are_weak(dtype, number):
    x = leaf([1.0, 3.0], dtype)
    for y in (x + number, number * x, x / number, number - x, ops.maximum(x, number), ops.where(x > 2, x, number)):
        assert y.dtype == dtype
        assert grad(y.sum(), x)[0].dtype == dtype


def test_mixing_raises():
    a, b = leaf([1.0], np.float32), leaf([1.0], np.float64)
    for function in (lambda: a + b, lambda: b * a, lambda: a @ b, lambda: a + np.ones(1), lambda: ops.stack([a, b])):
        with pytest.raises(
            DTypeError, match=r"float32 and float64 don't mix; convert one of them, as in Tensor\(array, dtype"
        ):
            function()
    assert (a * Tensor([2])).dtype == np.float32  # whole numbers take the other's dtype
    assert (b * (b > 0)).dtype == np.float64


def test_comparisons():
    x = leaf([1.0, 2.0, 3.0])
    y = leaf([3.0, 2.0, 1.0])
    for op in ("__gt__", "__ge__", "__lt__", "__le__", "__eq__", "__ne__"):
        result = getattr(x, op)(y)
        assert result.dtype == bool and not result.requires_grad
        assert result.numpy().tolist() == getattr(x.numpy(), op)(y.numpy()).tolist()
    assert len({x, y, x}) == 2  # hashable, by identity


def test_repr_and_deepcopy():
    x = leaf([1.0, 2.0])
    assert repr(x) == "Tensor([1., 2.], float64, requires_grad)"
    (x * x).sum().backward()
    x.register_hook(print)
    twin, same = copy.deepcopy([x, x])
    assert twin is same and twin.requires_grad and twin.grad is None and not twin._hooks
    twin.assign(9.0)
    assert x.numpy().tolist() == [1, 2]
    assert copy.deepcopy(x * 2).op is None


def test_transpose_takes_a_tuple_too():
    x = leaf(np.zeros((2, 3, 4)))
    assert x.transpose((1, 2, 0)).shape == x.transpose(1, 2, 0).shape == (3, 4, 2)
    assert x.T.shape == (4, 3, 2)


# ---------------------------------------------------------------- errors of the tape (law 9)


def test_backward_needs_one_number_or_a_cotangent():
    x = leaf([1.0, 2.0])
    with pytest.raises(
        ShapeError, match=r"backward from a Tensor of shape \(2,\): give grad_output .* y.mean\(\).backward\(\)"
    ):
        (x * 2).backward()
    for wrong in (Tensor([1.0, 2.0, 3.0], dtype="float64"), Tensor([1.0, 2.0]), np.ones((2, 1))):
        with pytest.raises(
            ShapeError, match=r"grad_output is float.. of shape .*, but the output is float64 of shape \(2,\)"
        ):
            (x * 2).backward(wrong)
    (x * 2).backward(np.array([1.0, 10.0]))
    (x * 2).backward([1.0, 10.0])
    assert x.grad.numpy().tolist() == [4, 40]


def test_backward_needs_a_graph():
    for nothing in (Tensor([1.0]), leaf([1.0]).detach()):
        with pytest.raises(
            GraphError, match=r"nothing was recorded: .* requires_grad=True, or was computed under no_grad"
        ):
            nothing.backward()
    with pytest.raises(
        GraphError, match=r"an input of shape \(3,\) doesn't require gradients; make it with requires_grad=True"
    ):
        grad(leaf([1.0]), Tensor([1.0, 2.0, 3.0]))


def test_an_op_is_called_once():
    op = ops.Exp()
    op(leaf([1.0]))
    with pytest.raises(GraphError, match="Exp: this Op was called before; each call needs an Op of its own"):
        op(leaf([1.0]))


class Wrong(Op):
    """An op whose derivative is whatever the test wants."""

    def __init__(self, derivative):
        self.derivative = derivative

    def forward(self, *arrays):
        return arrays[0] * 1

    def backward(self, grad):
        return self.derivative(grad)


@pytest.mark.parametrize(
    "derivative, error, message",
    [
        (lambda g: g.T, ShapeError, r"Wrong.backward gave shape \(3, 2\) for an input of shape \(2, 3\)"),
        (lambda g: g.sum(0), ShapeError, r"Wrong.backward gave shape \(3,\) for"),
        (lambda g: ops.stack([g, g]).reshape(6, 2), ShapeError, r"Wrong.backward gave shape \(6, 2\)"),
        (lambda g: (g, g), GraphError, "Wrong.backward gave 2 gradients for 1 inputs"),
        (lambda g: Tensor(g.numpy().astype("f4")), DTypeError, "Wrong.backward gave float32 for an input of float64"),
    ],
)
def test_a_wrong_derivative_is_named(derivative, error, message):
    """A gradient of the right size in the wrong shape must not be pressed into it."""
    x = leaf(np.ones((2, 3)))
    with pytest.raises(error, match=message):
        grad(Wrong(derivative)(x).sum(), x)


def test_an_unfinished_op_is_named():
    class Half(Op):
        def forward(self, x):
            return x * 1

    with pytest.raises(NotImplementedError, match=r"Half.backward"):
        Half()(leaf([1.0])).sum().backward()
    with pytest.raises(NotImplementedError, match=r"Op.forward"):
        Op()(leaf([1.0]))


def test_the_output_of_an_op_that_lost_it():
    op = ops.Exp()
    op(leaf([1.0]))
    with pytest.raises(GraphError, match="Exp: its output is gone"):
        _ = op.output


def test_devices_dont_mix(fake_gpu):
    here, there = None, leaf([1.0])
    tg.use("cpu")
    here = leaf([1.0])
    for a, b in ((here, there), (there, here), (leaf(1.0), there)):
        with pytest.raises(DeviceError, match=r"Mul: its inputs lie on different devices; move them together with .to"):
            _ = a * b
    assert "gpu" in repr(there) and (there * 2.0).device == "gpu"


# ---------------------------------------------------------------- debug


def here():
    """The line that calls this, as the debug mode writes it."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def test_debug_names_the_forward_line():
    x = leaf([[1.0, 0.0]])
    with np.errstate(all="ignore"), tg.debug(), pytest.raises(NonFiniteError) as caught:
        _ = x * 2, (line := here()), ops.log(x)
    assert f"first -inf in Log, forward, at {line}: at index (0, 1) of shape (1, 2), 1 in all" in str(caught.value)


def test_debug_names_the_line_of_the_op_whose_derivative_failed():
    """Not the line of .backward(), nor the Div inside Sqrt's derivative."""
    x = leaf([4.0, 0.0])
    with np.errstate(all="ignore"), tg.debug():
        y, line = ops.sqrt(x), here()
        loss = y.sum() * 3
        for create_graph in (False, True):
            with pytest.raises(NonFiniteError) as caught:
                grad(loss, x, create_graph=create_graph, retain_graph=True)
            assert f"first inf in Sqrt, backward, of the call at {line}: at index (1,)" in str(caught.value)


def test_debug_names_the_line_in_a_second_derivative():
    x = leaf([0.0])
    with np.errstate(all="ignore"), tg.debug():
        y, line = x**1.5, here()
        (g,) = grad(y.sum(), x, create_graph=True)
        with pytest.raises(NonFiniteError, match=r"backward, of the call at ") as caught:
            grad(g.sum(), x)
    assert line in str(caught.value)


def test_debug_of_nan_in_the_gradient_handed_in():
    x = leaf([1.0])
    with tg.debug(), pytest.raises(NonFiniteError, match="nan in Neg, backward"):
        grad(-x, x, np.array([np.nan]))


def test_debug_ends():
    with tg.debug():
        pass
    with np.errstate(all="ignore"):
        assert ops.log(leaf([0.0])).item() == -np.inf
        y = ops.sqrt(leaf([0.0]))
    with (
        np.errstate(all="ignore"),
        tg.debug(),
        pytest.raises(NonFiniteError, match="of the call at a line that is unknown"),
    ):
        y.sum().backward()


# ---------------------------------------------------------------- nothing leaks (law 11)


def a_step(w, x, gamma):
    """Convolution, batch norm, bends, a penalty on the gradient: what a critic does."""
    y = ops.leaky_relu(ops.batch_norm(ops.conv(x, w, 1, "same"), gamma, gamma))
    (slope,) = grad(y.sum(), x, create_graph=True)
    loss = ops.softplus(y).mean() + ((slope * slope).sum() - 1) ** 2 + ops.max(y[:, 1:]) + ops.logsumexp(y)
    loss.backward(inputs=[w, gamma])
    w.assign(w.numpy() - 0.1 * w.grad.numpy())
    w.grad = gamma.grad = None
    return loss.item()


def test_live_tensors_after_steps():
    w, gamma = leaf(np.random.default_rng(0).standard_normal((3, 3, 1, 2))), leaf([1.0, 2.0])
    x = leaf(np.random.default_rng(1).standard_normal((2, 4, 4, 1)))
    a_step(w, x, gamma)
    gc.collect()
    gc.disable()
    try:
        before = live_tensors()
        for _ in range(3):
            a_step(w, x, gamma)
        assert live_tensors() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("where", ["hook", "stale", "debug", "forward"])
def test_live_tensors_after_an_exception(where):
    x, w = leaf([1.0, 0.0]), leaf([2.0, 3.0])

    def fail(tensor=None):
        raise KeyError

    def step():
        y = (ops.exp(x) * w).sum() + ops.sqrt(x * 0 + 1).sum()
        if where == "hook":
            remove = w.register_hook(fail)
            try:
                y.backward()
            finally:
                remove()
        elif where == "stale":
            w.assign(w.numpy())
            y.backward()
        elif where == "debug":
            with tg.debug():
                ops.log(x * w)
        else:
            _ = y + np.ones((3, 4, 5))[:, :, :2] @ y

    gc.collect()
    gc.disable()
    try:
        before = live_tensors()
        for _ in range(2):
            with np.errstate(all="ignore"), pytest.raises((KeyError, tg.errors.TinyganError)):
                step()
            x.grad = w.grad = None
        assert live_tensors() == before
    finally:
        gc.enable()


def test_a_graph_that_nobody_ran_backward_through_leaves_no_cycle():
    x = leaf(np.ones((4, 3)))
    gc.collect()
    gc.disable()
    try:
        before = live_tensors()
        y = ops.batch_norm(ops.exp(x), x[0], x[1]) @ x.T
        grad(y.sum(), x, create_graph=True)
        del y
        assert live_tensors() == before
    finally:
        gc.enable()
