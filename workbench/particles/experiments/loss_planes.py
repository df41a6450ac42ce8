"""``loss_plane``: the plane of a network's two sharpest directions as a landscape."""

from workbench.curvature import eigenpairs, eigenvector_directions, hessian, slice_loss
from workbench.particles.landscapes import Landscape, loss_slice_landscape
from workbench.problem import Problem


def loss_plane(problem: Problem, *, reach: float = 2.0, points: int = 25, seed: int = 0) -> Landscape:
    """The loss in the plane of the Hessian's first two eigenvectors, as an objective of two coordinates.

    Parameters
    ----------
    problem : Problem
        Its parameters are the middle of the plane.
    reach : float
        The grid goes from ``-reach`` to ``reach`` along both.
    points : int
        Along each, odd.
    seed : int
        Of the search for the eigenvectors.

    Raises
    ------
    ValueError
        If a number is out of range or the loss is not finite somewhere.

    Notes
    -----
    Cost: ``points ** 2`` forward passes over the data, and some tens of Hessian products.
    """
    pairs = eigenpairs(hessian(problem), 2, seed=seed)
    directions = eigenvector_directions(pairs, 1, 2)
    return loss_slice_landscape(slice_loss(problem, directions, reach=reach, points=points, quadratic=False))
