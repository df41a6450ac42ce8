"""What a problem is before it is analysed: its data, model, gradients, activations and checkpoints."""

from workbench.inspection.barrier_lines import Barriers, barriers
from workbench.inspection.batch_gradients import gradient_statistics
from workbench.inspection.gradient_noise import GradientStatistics

__all__ = ["Barriers", "GradientStatistics", "barriers", "gradient_statistics"]
