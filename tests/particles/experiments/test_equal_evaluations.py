"""All methods spend the same and start alike."""

import pytest

from workbench.particles import canyon, rastrigin
from workbench.particles.experiments import equal_evaluations


def test_five_methods_spend_at_most_the_budget():
    found = equal_evaluations(rastrigin(), dim=3, evaluations=600, runs=3, particles=20)
    table = found.frame()
    assert len(table) == 5
    assert (table["evaluations"] <= 600).all()
    assert (table["evaluations"].drop(3) > 570).all()  # a proximal step may be dearer than what is left
    assert (table["runs"] == 3).all()


def test_a_landscape_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match="2 variables"):
        equal_evaluations(canyon(), dim=3, evaluations=600, runs=3)
