"""Gradients of all workers, added up: each bundle of them on its way while the backward pass computes the next."""

from collections.abc import Callable, Sequence

from . import backend
from .autograd import Tensor, wrap
from .backend import Array
from .workers import Workers

BUNDLE_BYTES = 1 << 20  # a message's latency weighs little against that much, and a network has several such bundles


def summed_backward(
    loss: Tensor, params: Sequence[Tensor], workers: Workers, share: float, numbers: Sequence[Tensor] = ()
) -> list[Tensor]:
    """loss.backward(inputs=params), for the loss Σ share · loss over the workers; gives Σ share · number for each.

    share: this worker's part of the batch, whose mean `loss` is over its rows, as are the numbers (one element each).
    Every worker's parameters end with the same gradients, to the byte; for one that is alone it's the plain pass.
    """
    if workers.size == 1:
        loss.backward(inputs=params)
        return [number.detach() for number in numbers]
    bundles = Bundles(workers)
    hooks = [parameter.register_hook(bundles.add) for parameter in params]
    try:
        loss.backward(loss.dtype.type(share), inputs=params)
    finally:
        for remove in hooks:
            remove()
    weighted = [wrap(number._array * number.dtype.type(share)) for number in numbers]
    return [wrap(total) for total in bundles.finish(weighted)]


class Bundles:
    """Complete gradients, in the order in which the backward pass completes them, which is the same for each worker."""

    def __init__(self, workers: Workers):
        self.workers = workers
        self.waiting: list[Tensor] = []  # parameters whose gradients are complete, but not sent
        self.sent: list[tuple[list[Tensor], Callable[[], Array]]] = []

    def add(self, parameter: Tensor) -> None:
        """A parameter whose gradient is complete; with it, maybe enough to send."""
        self.waiting.append(parameter)
        if sum(p._array.nbytes for p in self.waiting) >= BUNDLE_BYTES:
            self.sent.append((self.waiting, self._begin([_gradient(p) for p in self.waiting])))
            self.waiting = []

    def finish(self, numbers: Sequence[Tensor]) -> list[Array]:
        """Send the rest, and these numbers along with it; put the sums into the parameters' `grad`, and give theirs."""
        rest = [*map(_gradient, self.waiting), *(number._array for number in numbers)]
        end = self._begin(rest)
        for params, end_bundle in self.sent:
            _distribute(end_bundle(), params)
        return _distribute(end(), self.waiting, len(numbers))

    def _begin(self, arrays: list[Array]) -> Callable[[], Array]:
        xp = backend.array_library(*arrays)
        return self.workers.begin_sum(xp.concatenate([array.reshape(-1) for array in arrays]))


def _gradient(parameter: Tensor) -> Array:
    assert parameter.grad is not None
    return parameter.grad._array


def _distribute(total: Array, params: Sequence[Tensor], numbers: int = 0) -> list[Array]:
    """Cut a bundle up into the parameters' gradients, and so many numbers that come after them."""
    start = 0
    for parameter in params:
        parameter.grad = wrap(total[start : start + parameter.size].reshape(parameter.shape))
        start += parameter.size
    return [total[start + i].reshape(()) for i in range(numbers)]
