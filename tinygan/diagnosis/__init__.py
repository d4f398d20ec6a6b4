"""How a training goes: numbers of its steps, early warnings while it runs, and a report in words at its end."""

from .judging import Diagnosis
from .measuring import Watch
from .report import classes_read, in_words

__all__ = ["Diagnosis", "Watch", "classes_read", "in_words"]
