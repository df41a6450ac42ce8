"""The tab of the loss slice shows the plane of the chosen eigenvectors, its model, and both lines."""

import numpy as np

import workbench as wb
from workbench.explore.slice_view import LOSS_SLICE


def test_run_shows_the_plane_and_its_lines(classifier, run):
    explorer = run(classifier, "Loss slice", k=4, first=3, second=1, slice_reach=1.5, slice_points=11)
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(classifier), 4)
    loss, error, circle, middle, *lines = explorer.figure.data
    theta = classifier.parameters_vector()
    for i, j in ((0, 0), (2, 9), (10, 5)):
        step = loss.x[i] * pairs.vectors[:, 2] + loss.y[j] * pairs.vectors[:, 0]
        np.testing.assert_allclose(loss.z[j][i], classifier.loss_at(theta + step), rtol=1e-5)
    plane = explorer.results["slice"]
    np.testing.assert_allclose(error.z, (plane.loss - plane.quadratic).T, atol=1e-12)
    np.testing.assert_allclose(lines[0].y, [row[5] for row in np.transpose(loss.z)])
    np.testing.assert_allclose(lines[2].y, np.transpose(loss.z)[5])
    np.testing.assert_allclose(np.hypot(circle.x, circle.y), plane.validity.radius)
    assert (middle.x, middle.y) == ((0,), (0,))
    assert explorer.figure.layout.xaxis.title.text.startswith("eigenvector 3 (λ = ")


def test_as_many_eigenpairs_are_computed_as_the_plane_needs(classifier, run):
    explorer = run(classifier, "Loss slice", k=1, first=2, second=5, slice_points=11)
    assert explorer.results["slice"].labels[1].startswith("eigenvector 5")


def test_the_same_vector_twice_is_refused_in_one_line(classifier, run):
    explorer = run(classifier, "Loss slice", first=2, second=2)
    assert "eigenvectors 2, 2: give one, or two that differ" in explorer.job.status.value


def test_the_menu_changes_what_is_shown_without_a_computation(classifier, run):
    explorer = run(classifier, "Loss slice", slice_points=11)
    results = explorer.results
    assert [trace.visible for trace in explorer.figure.data[:2]] == [None, False]
    explorer.extras["show"].value = 1
    assert [trace.visible for trace in explorer.figure.data[:2]] == [False, True]
    assert explorer.figure.layout.annotations[0].text == "loss − quadratic model"
    assert explorer.results is results


def test_a_plane_within_the_model_has_no_circle_and_a_loss_that_is_not_finite_a_gap(classifier):
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(classifier), 2)
    plane = wb.curvature.slice_loss(classifier, pairs, reach=1e-3, points=3)
    figure = LOSS_SLICE.figure()
    LOSS_SLICE.draw(figure, {"slice": plane})
    assert not figure.data[2].x
    assert "holds as far as" in figure.layout.annotations[1].text
    plane.loss[0, 0] = np.inf
    LOSS_SLICE.draw(figure, {"slice": plane})
    assert figure.data[0].z[0][0] is None
    plane.loss[:] = np.nan
    LOSS_SLICE.draw(figure, {"slice": plane})
    assert figure.layout.yaxis2.range == (None, None)


def test_the_code_gives_the_same_results(classifier, run):
    explorer = run(classifier, "Loss slice", slice_points=11, operator="ggn", second=3)
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace["plane"].frame().equals(explorer.results["slice"].frame())
