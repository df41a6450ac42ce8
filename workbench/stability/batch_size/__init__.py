"""Learning rate as a function of batch size: laws, predictions, what trainings survive, and a learner."""

from workbench.stability.batch_size.batch_edges import BatchEdges, batch_edges
from workbench.stability.batch_size.learner_contest import LearnerContest, compare_learner
from workbench.stability.batch_size.learnt_trainings import LearntTrainings, train_by_lanczos
from workbench.stability.batch_size.noisy_quadratic import (
    QuadraticRates,
    run_quadratic,
    second_moments,
    settled_rate,
)
from workbench.stability.batch_size.predicted_rates import PredictedRates, predict_rates
from workbench.stability.batch_size.rate_laws import (
    HeavyBall,
    adaptive_share,
    heavy_ball,
    minimal_damping,
    sgd_rate,
)
from workbench.stability.batch_size.stable_rates import StableRates, measure_stable_rates

__all__ = [
    "BatchEdges",
    "HeavyBall",
    "LearnerContest",
    "LearntTrainings",
    "PredictedRates",
    "QuadraticRates",
    "StableRates",
    "adaptive_share",
    "batch_edges",
    "compare_learner",
    "heavy_ball",
    "measure_stable_rates",
    "minimal_damping",
    "predict_rates",
    "run_quadratic",
    "second_moments",
    "settled_rate",
    "sgd_rate",
    "train_by_lanczos",
]
