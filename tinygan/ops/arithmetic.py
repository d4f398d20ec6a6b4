"""Element by element: + − × ÷ and powers, exp, log, roots, and choices between two values.

Both operands broadcast as in NumPy; the engine sums a gradient over the axes that its operand was broadcast along.
"""

from typing import Any

import numpy as np

from ..autograd import Op, Operand, Tensor, raw, wrap
from ..backend import Array, array_library
from ..errors import DTypeError


class Add(Op):
    """y = a + b.   ∂L/∂a = ∂L/∂y, ∂L/∂b = ∂L/∂y.   Shapes: broadcast; y as NumPy's a + b."""

    def forward(self, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, grad: Tensor) -> Any:
        return grad, grad


class Sub(Op):
    """y = a − b.   ∂L/∂a = ∂L/∂y, ∂L/∂b = −∂L/∂y.   Shapes: broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        return a - b

    def backward(self, grad: Tensor) -> Any:
        return grad, lambda: -grad


class Mul(Op):
    """y = a · b.   ∂L/∂a = ∂L/∂y · b, ∂L/∂b = ∂L/∂y · a.   Shapes: broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        return a * b

    def backward(self, grad: Tensor) -> Any:
        a, b = self.inputs
        return lambda: grad * b, lambda: grad * a


class Div(Op):
    """y = a / b.   ∂L/∂a = ∂L/∂y / b, ∂L/∂b = −∂L/∂y · y / b.   Shapes: broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        return a / b

    def backward(self, grad: Tensor) -> Any:
        _, b = self.inputs
        return lambda: grad / b, lambda: -grad * self.output / b


class Neg(Op):
    """y = −x.   ∂L/∂x = −∂L/∂y.   Shapes: any; y like x."""

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, grad: Tensor) -> Any:
        return -grad


class Power(Op):
    """y = xᵖ for a number p.   ∂L/∂x = ∂L/∂y · p xᵖ⁻¹.   Shapes: any; y like x.   Domain: x > 0 unless p is whole."""

    def __init__(self, exponent: float):
        self.exponent = exponent

    def forward(self, x: Array) -> Array:
        return x**self.exponent

    def backward(self, grad: Tensor) -> Any:
        if self.exponent == 0:
            return None
        return grad * (self.exponent * power(self.inputs[0], self.exponent - 1))


class Exp(Op):
    """y = eˣ.   ∂L/∂x = ∂L/∂y · y.   Shapes: any; y like x."""

    def forward(self, x: Array) -> Array:
        return array_library(x).exp(as_float(x))

    def backward(self, grad: Tensor) -> Any:
        return grad * self.output


class Log(Op):
    """y = ln x.   ∂L/∂x = ∂L/∂y / x.   Shapes: any; y like x.   Domain: x > 0."""

    def forward(self, x: Array) -> Array:
        return array_library(x).log(as_float(x))

    def backward(self, grad: Tensor) -> Any:
        return grad / self.inputs[0]


class Sqrt(Op):
    """y = √x.   ∂L/∂x = ∂L/∂y / (2y).   Shapes: any; y like x.   Domain: x > 0 (at 0 the slope is infinite)."""

    def forward(self, x: Array) -> Array:
        return array_library(x).sqrt(as_float(x))

    def backward(self, grad: Tensor) -> Any:
        return grad * 0.5 / self.output


class Abs(Op):
    """y = |x|.   ∂L/∂x = ∂L/∂y · sign x (0 at x = 0).   Shapes: any; y like x."""

    def forward(self, x: Array) -> Array:
        refuse_complex(self, x)
        return abs(x)

    def backward(self, grad: Tensor) -> Any:
        x = raw(self.inputs[0])
        return grad * wrap(array_library(x).sign(x))


class Maximum(Op):
    """y = max(a, b).   ∂L/∂a = ∂L/∂y where a > b, half of it in a tie, else 0; ∂L/∂b likewise.   Shapes: broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        refuse_complex(self, a)
        return array_library(a, b).maximum(a, b)

    def backward(self, grad: Tensor) -> Any:
        a, b = self.inputs
        return lambda: grad * share_of_larger(a, b), lambda: grad * share_of_larger(b, a)


class Minimum(Op):
    """y = min(a, b).   ∂L/∂a = ∂L/∂y where a < b, half of it in a tie, else 0; ∂L/∂b likewise.   Shapes: broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        refuse_complex(self, a)
        return array_library(a, b).minimum(a, b)

    def backward(self, grad: Tensor) -> Any:
        a, b = self.inputs
        return lambda: grad * share_of_larger(b, a), lambda: grad * share_of_larger(a, b)


class Where(Op):
    """y = a where condition, else b.   Each gets ∂L/∂y where it was taken, else 0.   Shapes: all broadcast."""

    def forward(self, condition: Array, a: Array, b: Array) -> Array:
        if condition.dtype != bool:
            raise DTypeError(
                f"where: the condition is {condition.dtype}; compare to get bool, as in where(x > 0, a, b)"
            )
        return array_library(condition, a, b).where(condition, a, b)

    def backward(self, grad: Tensor) -> Any:
        condition = self.inputs[0]
        return None, lambda: where(condition, grad, 0.0), lambda: where(condition, 0.0, grad)


def share_of_larger(a: Tensor, b: Tensor) -> Tensor:
    """1 where a > b, ½ where they tie, else 0, in their dtype: a constant almost everywhere."""
    xp = array_library(raw(a), raw(b))
    return wrap((0.5 * xp.greater(raw(a), raw(b)) + 0.5 * xp.greater_equal(raw(a), raw(b))).astype(a.dtype))


def as_float(x: Array) -> Array:
    """Integers and bool as float32; of the small ones NumPy itself would make float16."""
    return x.astype(np.float32) if x.dtype.kind in "biu" else x


def refuse_complex(op: Op, x: Array) -> None:
    """Raise DTypeError where gradcheck's complex step meets an op that has none."""
    if x.dtype.kind == "c":
        raise DTypeError(f"{op.name} is not analytic: it has no complex step; gradcheck it with complex_step=False")


def add(a: Operand, b: Operand) -> Tensor:
    """a + b, element by element. See Add."""
    return Add()(a, b)


def sub(a: Operand, b: Operand) -> Tensor:
    """a − b, element by element. See Sub."""
    return Sub()(a, b)


def mul(a: Operand, b: Operand) -> Tensor:
    """a · b, element by element. See Mul."""
    return Mul()(a, b)


def div(a: Operand, b: Operand) -> Tensor:
    """a / b, element by element. See Div."""
    return Div()(a, b)


def neg(x: Operand) -> Tensor:
    """−x. See Neg."""
    return Neg()(x)


def power(x: Operand, exponent: Any) -> Tensor:
    """x to the power of a number. See Power. Raises DTypeError for an exponent that is a Tensor."""
    if isinstance(exponent, Tensor) or getattr(exponent, "shape", ()) != ():
        raise DTypeError("power: the exponent is a number; for a Tensor p write exp(p * log(x))")
    number = float(exponent)
    return Power(int(number) if number.is_integer() else number)(x)


def exp(x: Operand) -> Tensor:
    """eˣ. See Exp."""
    return Exp()(x)


def log(x: Operand) -> Tensor:
    """The natural logarithm. See Log."""
    return Log()(x)


def sqrt(x: Operand) -> Tensor:
    """√x. See Sqrt."""
    return Sqrt()(x)


def abs_(x: Operand) -> Tensor:
    """|x|. See Abs."""
    return Abs()(x)


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of each pair. See Maximum."""
    return Maximum()(a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of each pair. See Minimum."""
    return Minimum()(a, b)


def clip(x: Operand, low: float, high: float) -> Tensor:
    """min(max(x, low), high); the gradient is 0 where x was clipped, ½ exactly at the bounds."""
    return minimum(maximum(x, low), high)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """a where condition (a Tensor or array of bool) holds, else b. See Where."""
    return Where()(condition, a, b)
