"""The tabs of domain alignment show what was computed, for every shift, and their code gives the same."""

import numpy as np
import pytest

import workbench as wb
from workbench.domains import DomainContest, LayerAlignment, TransferBound, diagonal_noise
from workbench.domains.domain_contests import METHODS
from workbench.domains.environments import SHIFTS
from workbench.domains.probe_noise import DiagonalNoise
from workbench.explore.domain_contest_view import DOMAIN_CONTEST
from workbench.explore.layer_alignment_view import LAYER_ALIGNMENT
from workbench.explore.probe_noise_view import PROBE_NOISE
from workbench.explore.still import Stills
from workbench.explore.transfer_view import TRANSFER

QUICK = {
    "shift": "label",
    "method": "vrex",
    "weight": 10.0,
    "weights": [10.0],
    "draws": 3,
    "seeds": 2,
    "steps": 2,
    "width": 4,
}


def noise() -> DiagonalNoise:
    penalties = 1.0 + np.arange(12.0).reshape(2, 2, 3)
    return DiagonalNoise(np.array([1, 10]), penalties, 0.5, np.array([3.0, 0.2]), "label", 2, 4, 0)


def contest(seeds: int = 3) -> DomainContest:
    values = np.random.default_rng(0).uniform(size=(4, 2, 2, seeds))
    return DomainContest(
        "label", ("a", "b", "test"), ("erm", "hgp"), np.array([10.0, 100.0]), values, 4, 2, 720
    )  # fmt: skip


def bound() -> TransferBound:
    each = np.array([0.1, 0.2, 0.3])
    attained = np.full((2, 3), 0.05)
    return TransferBound(
        np.array([0.1, 1.0]), attained, each, 2 * each, 3 * each, 0.01, each, "label", "hgp", 1.0, 2, 4
    )  # fmt: skip


def alignment(environments: int) -> LayerAlignment:
    names = [f"e{number}" for number in range(environments)]
    pairs = tuple((a, b) for place, a in enumerate(names) for b in names[place + 1 :])
    values = np.random.default_rng(0).uniform(size=(2, len(pairs), 3, 4))
    return LayerAlignment(("one", "two", "head"), pairs, values, values[0] / 100, "hessian", 10)


def test_run_draws_the_noise():
    explorer = wb.explore.domain_alignment(**QUICK).show("Probes")
    assert set(explorer.controls) == set(PROBE_NOISE.controls)
    explorer.job.run()
    explorer.job.wait(60)
    assert "Done" in explorer.job.status.value
    found = diagonal_noise("label", draws=3, width=4, steps=2)
    for place, kind in enumerate(("independent", "shared")):
        np.testing.assert_allclose(explorer.figure.data[2 * place].y, found.mean(kind)[0])
        np.testing.assert_allclose(explorer.figure.data[2 * place + 1].y, found.law(kind))
    np.testing.assert_allclose(explorer.figure.data[4].y, found.exact)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_contest_shows_the_seeds_at_both_choices(seeds):
    found = contest(seeds)
    figure = DOMAIN_CONTEST.figure()
    DOMAIN_CONTEST.draw(figure, {"contest": found})
    assert len(figure.data) == 4 * len(METHODS)
    for column, selection in enumerate(("validation", "oracle")):
        points, mean = figure.data[2 * (column * len(METHODS) + METHODS.index("hgp")) :][:2]
        weight = found.chosen("hgp", selection)
        np.testing.assert_allclose(points.y, found.values[2, 1, list(found.weights).index(weight)])
        assert set(points.text) == {f"{weight:g}"}
        centre, half = found.mean("hgp", selection=selection)
        assert mean.y[0] == pytest.approx(centre)
        assert mean.error_y.array[0] == (pytest.approx(half) if seeds > 1 else None)
    assert figure.data[2].y == ()  # coral was not asked for


def test_the_transfer_shows_the_three_curves():
    found = bound()
    figure = TRANSFER.figure()
    TRANSFER.draw(figure, {"bound": found})
    for trace, values in zip(figure.data, (found.bound, found.second_order, found.attained), strict=True):
        np.testing.assert_allclose(trace.y, values.mean(1))
    assert "features of hgp" in figure.layout.title.text


@pytest.mark.parametrize("environments", [2, 3, 4])
def test_layers_show_as_many_pairs_as_there_are(environments):
    found = alignment(environments)
    figure = LAYER_ALIGNMENT.figure()
    LAYER_ALIGNMENT.draw(figure, {"alignment": found})
    shown = [trace for trace in figure.data if trace.visible]
    assert len(shown) == 2 * len(found.pairs)
    np.testing.assert_allclose(shown[-1].y, found.values[1, -1].mean(-1))
    assert shown[0].name == "e0 | e1"


def test_layers_are_headed_by_their_matrix_and_too_many_pairs_are_refused():
    figure = LAYER_ALIGNMENT.figure()
    for matrix, words in (("ggn", "Gauss–Newton"), ("hessian", "Hessians")):
        LAYER_ALIGNMENT.draw(figure, {"alignment": alignment(2).replace(matrix=matrix)})
        assert words in figure.layout.annotations[1].text
    with pytest.raises(ValueError, match="alignment has 10 pairs of data sets, the explorer shows 6 at most"):
        wb.explore.domain_alignment(alignment=alignment(5))


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (PROBE_NOISE, "noise"),
        (DOMAIN_CONTEST, "contest"),
        (TRANSFER, "bound"),
        (LAYER_ALIGNMENT, "alignment"),
    ],
)
def test_the_code_gives_the_same_result(view, name):
    values = view.chosen(wb.parameters.read_notebook("domain_alignment").validate(QUICK))
    scope = {}
    exec(view.code(values).replace(".plot()", ""), scope)
    assert scope[name].summary() == view.results(None, values)[name].summary()
    assert view.estimate(None, values).seconds > 0


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_contest_counts_the_bytes_of_its_environments(shift):
    one, many = (
        DOMAIN_CONTEST.estimate(None, QUICK | {"shift": shift, "seeds": seeds}).bytes for seeds in (1, 11)
    )
    drawn = wb.domains.make_environments(shift)
    truth = 4 * sum(inputs.numel() for inputs, _ in (drawn.train, drawn.validation, drawn.test))
    assert many - one == pytest.approx(10 * truth, rel=0.05)


def test_the_start_page_hands_over_a_problem_that_is_left_alone(classifier, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    shown = wb.explore.domain_alignment(classifier, noise(), contest(), bound(), alignment(3))
    assert isinstance(shown, Stills)
