"""The same network, the same price; held-out accuracy is what its parameters give."""

import pytest

from workbench.particles.experiments import train_both


@pytest.fixture(scope="module")
def contest():
    return train_both(hidden=4, epochs=1, swarm=20)


def test_both_have_the_same_network_and_price(contest):
    swarm, sgd = contest.trainings
    assert contest.parameters == 65 * 4 + 5 * 10 == len(swarm.parameters) == len(sgd.parameters)
    assert swarm.passes[-1] == 20
    assert sgd.passes[-1] == 18  # six epochs of gradients


def test_accuracy_counts_held_out_digits(contest):
    assert contest.held_out == 360
    assert contest.accuracy == tuple(right / 360 for right in contest.right)
    table = contest.frame()
    assert (table["low"] < table["accuracy"]).all()
    assert (table["accuracy"] < table["high"]).all()


def test_it_repeats_itself_and_tells(contest):
    assert train_both(hidden=4, epochs=1, swarm=20).right == contest.right
    assert "held-out accuracy" in contest.summary()
    assert contest.plot().get_yscale() == "log"
