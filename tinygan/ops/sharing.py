"""What a worker's numbers and the others' have to do with each other."""

from ..autograd import Op, Operand, Tensor
from ..backend import Array
from ..workers import Workers


class AllSum(Op):
    """y = Σ x over the workers, whose losses are added up: ∂L/∂x = Σ ∂L/∂y over the workers.   Shapes: y like x.

    Each worker's y depends on each worker's x, so the gradients, too, come from all of them.
    """

    def __init__(self, workers: Workers):
        self.workers = workers

    def forward(self, x: Array) -> Array:
        return self.workers.sum(x)

    def backward(self, grad: Tensor) -> Tensor:
        return AllSum(self.workers)(grad)


def all_sum(x: Operand, workers: Workers) -> Tensor:
    """Σ x over the workers. All of them have to call it, and to differentiate it, in the same order. See AllSum."""
    return AllSum(workers)(x)
