"""Each cell of the table is a swarm of its own, counted by ``success``."""

import pandas as pd
import pytest

from workbench.particles import ackley, clopper_pearson, consensus, success
from workbench.particles.experiments import success_table
from workbench.progress import listening
from workbench.result import load_result

QUICK = {"table_runs": 12, "table_steps": 100}


@pytest.fixture(scope="module")
def table():
    return success_table(("rastrigin", "ackley"), (1, 2), (5, 20), **QUICK)


def test_a_cell_is_what_the_swarm_finds(table):
    swarm = consensus(ackley(), 5, 2, 12, 100, alpha=1e4, sigma=5.0)
    found = success(swarm, ackley())
    assert table.hits[1, 1, 0] == found.hits[-1]
    row = table.frame().query("landscape == 'Ackley' and dim == 2 and particles == 5").iloc[0]
    low, high = clopper_pearson(found.hits[-1], 12)
    assert (row["low"], row["high"]) == (low, high)
    assert row["evaluations"] == 5 * 101


def test_the_coefficient_is_stated(table):
    assert table.landscapes == ("Rastrigin (2.5)", "Ackley")


def test_it_reads_as_a_table(table):
    words = table.table()
    assert list(words.columns) == [5, 20]
    assert words.index.names == ["landscape", "dim"]
    rate = table.hits[0, 0, 1] / 12
    assert words.loc[("Rastrigin (2.5)", 1), 20].startswith(f"{rate:.2f} (")


def test_it_is_drawn_and_told(table):
    assert table.plot(name="Ackley").get_title() == "Ackley"
    assert "12 runs a cell" in table.summary()


def test_an_unknown_landscape_is_refused():
    with pytest.raises(ValueError, match="did you mean 'ackley'"):
        success_table(("ackly",), **QUICK)


def test_an_interrupt_keeps_the_cells_that_are_done(table, tmp_path, stop_at):
    with listening(stop_at(6)):
        found = success_table(("rastrigin", "ackley"), (1, 2), (5, 20), **QUICK)
    assert found.interrupted
    pd.testing.assert_frame_equal(found.frame(), table.frame().iloc[:5])
    assert "INTERRUPTED" in found.summary()
    assert found.table().shape == (3, 2)
    assert found.plot(name="Ackley").get_title() == "Ackley"
    found.save(tmp_path / "table.npz")
    assert load_result(tmp_path / "table.npz").summary() == found.summary()


def test_an_interrupt_of_the_first_cell_is_one(stop_at):
    with listening(stop_at(1)), pytest.raises(KeyboardInterrupt):
        success_table(("ackley",), (1,), (5,), **QUICK)


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="the table is empty"):
        success_table(dims=())
