"""Eigenpairs are computed once for all views that ask for the same."""

import pytest

from workbench.explore import remembered
from workbench.explore.curvature_parts import eigenpairs_of
from workbench.progress import listening

VALUES = {"operator": "hessian", "k": 3, "which": "LA", "tolerance": 1e-3, "seed": 0}


@pytest.fixture(autouse=True)
def forgotten():
    remembered._results.clear()


def test_another_view_gets_the_same_pairs(classifier):
    first = eigenpairs_of(classifier, VALUES | {"probes": 5})
    assert eigenpairs_of(classifier, VALUES | {"first": 2}) is first
    for other in ({"k": 2}, {"operator": "ggn"}, {"seed": 1}, {"which": "SA"}, {"tolerance": 1e-2}):
        assert eigenpairs_of(classifier, VALUES | other) is not first


def test_the_tabs_share_them(classifier, run):
    spectrum = run(classifier, "Spectrum", k=3, probes=2, steps=10)
    layers = run(classifier, "Layers", k=3)
    assert layers.results["layers"].pairs is spectrum.results["eigenpairs"]


def test_no_more_than_there_are(regression):
    assert len(eigenpairs_of(regression, VALUES | {"k": 200}).values) == 4


def test_half_a_search_is_not_kept(classifier):
    def interrupt(description, done, total):
        if done:
            raise KeyboardInterrupt

    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        eigenpairs_of(classifier, VALUES)
    assert not remembered._results
    assert eigenpairs_of(classifier, VALUES).converged.all()
