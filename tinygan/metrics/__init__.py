"""How good are the samples? Metrics that need no downloaded network, each beside the floor that real images get.

`evaluate` measures a whole set of samples; the single metrics take features, probabilities or points.
"""

from .classes import class_shares, classifier_score, conditional_accuracy, distance_from_uniform, mean_confidence
from .classifier import Reading, load_classifier, read
from .evaluation import Evaluation, Measured, evaluate
from .frechet import frechet_distance, gaussian_distance
from .kernel_distance import kernel_distance
from .memorisation import Memorisation, memorisation
from .mixtures import Mixture, ModeReport, grid, kl_from_uniform, mode_report, ring
from .neighbours import Neighbourhood, neighbourhood
from .report import write_report
from .sources import find_samples, load_reference, reference_name, report_folder, training_log
from .stacked import StackedReport, stack, stacked_report

__all__ = [
    "Evaluation",
    "Measured",
    "Memorisation",
    "Mixture",
    "ModeReport",
    "Neighbourhood",
    "Reading",
    "StackedReport",
    "class_shares",
    "classifier_score",
    "conditional_accuracy",
    "distance_from_uniform",
    "evaluate",
    "find_samples",
    "frechet_distance",
    "gaussian_distance",
    "grid",
    "kernel_distance",
    "kl_from_uniform",
    "load_classifier",
    "load_reference",
    "mean_confidence",
    "memorisation",
    "mode_report",
    "neighbourhood",
    "read",
    "reference_name",
    "report_folder",
    "ring",
    "stack",
    "stacked_report",
    "training_log",
    "write_report",
]
