"""Checks of the lessons' exercises, and the answers that a lesson goes on with where a learner's fails."""

from .exercise import EXERCISES, Exercise, WrongAnswer, check, exercise, expect, expect_close, find_exercise, go_on

__all__ = [
    "EXERCISES",
    "Exercise",
    "WrongAnswer",
    "check",
    "exercise",
    "expect",
    "expect_close",
    "find_exercise",
    "go_on",
]
