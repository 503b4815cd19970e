"""Which weights matter: estimates of the importance matrix, as metrics that compressions minimise under.

    unsupervised       E_x[Σ_c (∂f_c/∂w)²/f_c], or E_x[Σ_o (∂f_o/∂w)²]        Diagonal
    gradient           E[(∇L)²]                                               Diagonal
    hessian            E[∇²_ii L]                                             Diagonal
    gradient+hessian   E[(∇L)²] and ¼ E[(∇²_ii L)²]                           Quartic
    kronecker          the layer's block of "unsupervised" as a product       Kronecker, and Diagonal for the rest

Source: Gao, Liu, Wang & Oh 2019, Table 1. Importances are taken in evaluation mode, over training samples in the order
of seed 0, augmented where training is, and of every floating-point parameter, a tied one once; buffers have none.
"""

from laconic.theory.importance.curvature import Estimate, hutchinson
from laconic.theory.importance.directions import Directions, of_curvature, of_loss, of_model
from laconic.theory.importance.distortion import unsupervised
from laconic.theory.importance.estimators import IMPORTANCES, Importance, estimate
from laconic.theory.importance.full import FullMatrix, full_matrix
from laconic.theory.importance.golden import Rule, golden_rules, true_distortion
from laconic.theory.importance.kronecker import kronecker
from laconic.theory.importance.moments import input_moments
from laconic.theory.importance.reading import Watch
from laconic.theory.importance.supervised import gradient, gradient_and_hessian, hessian
from laconic.training.judges import Kind

__all__ = [
    "IMPORTANCES",
    "Directions",
    "Estimate",
    "FullMatrix",
    "Importance",
    "Kind",
    "Rule",
    "Watch",
    "estimate",
    "full_matrix",
    "golden_rules",
    "gradient",
    "gradient_and_hessian",
    "hessian",
    "hutchinson",
    "input_moments",
    "kronecker",
    "of_curvature",
    "of_loss",
    "of_model",
    "true_distortion",
    "unsupervised",
]
