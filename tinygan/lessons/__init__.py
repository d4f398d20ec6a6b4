"""The course: where its notebooks are, what a learner gets of them, running and checking them, a folder for a class.

Only running needs Jupyter, and loads it then.
"""

from .notebooks import FIRST_CELL, Lesson, all_lessons, find_lesson, student_version

__all__ = ["FIRST_CELL", "Lesson", "all_lessons", "find_lesson", "student_version"]
