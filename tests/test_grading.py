"""The frame of the exercises: what check says, what go_on puts in, and how numbers are compared."""

import numpy as np
import pytest

import tinygan as tg
from tinygan import grading
from tinygan.errors import GradientError, SettingError
from tinygan.grading import EXERCISES, WrongAnswer, check, expect_close, go_on

DRAWN = []  # what the checker's generator drew, check by check


def double(x):
    return 2 * x


def half(x):
    return x / 2


@pytest.fixture(autouse=True)
def two_functions():
    """An exercise, L90-ex1, that asks for `double` and `half`."""
    before = dict(EXERCISES)
    DRAWN.clear()

    @grading.exercise("L90-ex1", double, half)
    def _check(own_double, own_half, rng):
        x = rng.standard_normal(3)
        DRAWN.append(x)
        expect_close(own_double(x), 2 * x, "double(x)")
        expect_close(own_half(x), x / 2, "half(x)")

    yield
    EXERCISES.clear()
    EXERCISES.update(before)


def answers():
    return (lambda x: x + x), (lambda x: 0.5 * x)


def test_a_right_answer(capsys):
    check("L90-ex1", *answers())
    assert capsys.readouterr().out == "L90-ex1: right.\n"


def test_hidden_checks_draw_other_examples_and_each_the_same_ones_again(capsys):
    for hidden in (False, True, False, True):
        check("L90-ex1", *answers(), hidden=hidden)
    public, other, again, other_again = DRAWN
    assert (public == again).all() and (other == other_again).all() and (public != other).all()
    assert capsys.readouterr().out.count("right") == 2, "the hidden check is silent"


def test_a_wrong_answer_is_told_why():
    with pytest.raises(WrongAnswer, match=r"half\(x\) is .*, expected"):
        check("L90-ex1", answers()[0], lambda x: x)


def test_an_answer_that_stops_is_a_wrong_answer():
    with pytest.raises(WrongAnswer, match=r"double, half stopped with ZeroDivisionError: division by zero"):
        check("L90-ex1", lambda x: 1 / 0, answers()[1])


def test_a_gradient_check_is_a_wrong_answer():
    def report(x):
        raise GradientError("exactly twice")

    with pytest.raises(WrongAnswer, match="exactly twice"):
        check("L90-ex1", report, answers()[1])


def test_a_stub_is_left_as_it_is():
    def stub(x):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        check("L90-ex1", stub, answers()[1])


def test_the_reference_is_nobodys_answer():
    """After go_on, running a check cell once more must not call the exercise solved."""
    with pytest.raises(WrongAnswer, match="Run your answer cell again"):
        check("L90-ex1", answers()[0], half)


def test_go_on_keeps_what_has_passed(capsys):
    namespace = dict(zip(("double", "half"), answers(), strict=True))
    own = dict(namespace)
    check("L90-ex1", *namespace.values())
    go_on("L90-ex1", namespace)
    assert namespace == own and "goes on" not in capsys.readouterr().out


@pytest.mark.parametrize("namespace", [{}, {"double": double}, {"double": 3, "half": 4}])
def test_go_on_puts_the_references_in_where_nothing_has_passed(namespace, capsys):
    go_on("L90-ex1", namespace)
    assert (namespace["double"], namespace["half"]) == (double, half)
    assert "goes on with the reference answer of double, half" in capsys.readouterr().out


def test_go_on_sees_an_answer_that_was_changed_after_it_passed():
    own = answers()
    check("L90-ex1", *own)
    namespace = {"double": own[0], "half": lambda x: x}
    go_on("L90-ex1", namespace)
    assert namespace["half"] is half


def test_what_passed_is_forgotten_when_a_later_check_fails():
    own = answers()
    check("L90-ex1", *own)
    with pytest.raises(WrongAnswer):
        check("L90-ex1", own[0], lambda x: x)
    namespace = dict(zip(("double", "half"), own, strict=True))
    go_on("L90-ex1", namespace)
    assert namespace["double"] is double


@pytest.mark.parametrize("name", ["L90-ex2", "L89-ex1", "", "x", "L.3-ex1"])
def test_no_such_exercise(name):
    with pytest.raises(SettingError, match="there is no exercise"):
        check(name, 1)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([1.0, 2.0, 3.5], r"y is 3.5 at index \(2,\), expected 3"),
        ([2.0, 4.0, 6.0], "twice"),
        ([1.0, 2.0], r"y has shape \(2,\), expected \(3,\)"),
        ([1.0, np.nan, 3.0], r"y is nan at index \(1,\)"),
        (None, "y is None: is a return missing"),
        ("abc", "y is 'abc'"),
    ],
)
def test_expect_close_says_what_differs(found, words):
    with pytest.raises(WrongAnswer, match=words):
        expect_close(found, [1.0, 2.0, 3.0], "y")


def test_expect_close_takes_tensors_lists_and_numbers():
    expect_close(tg.Tensor([1.0, 2.0]), np.array([1.0, 2.0]), "y")
    expect_close([1, 2], [1, 2 + 1e-9], "y")
    expect_close(1e-12, 0, "y")
    expect_close(np.zeros((0, 3)), np.zeros((0, 3)), "y")
    with pytest.raises(WrongAnswer, match="y is 1, expected 2"):
        expect_close(1, 2, "y")
