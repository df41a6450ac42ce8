"""The tab of classes shows outliers beside class means, and says why where there are no classes."""

import numpy as np

import workbench as wb


def test_run_shows_values_angles_and_means(classifier, run):
    explorer = run(classifier, "Classes")
    expected = wb.curvature.class_outliers(classifier)
    whole, means, rest, bars, heatmap = explorer.figure.data
    np.testing.assert_allclose(whole.y, expected.top.values[: len(whole.y)])
    np.testing.assert_allclose(means.y, expected.structure.class_values[: len(means.y)])
    np.testing.assert_allclose(rest.y, expected.rest.values)
    np.testing.assert_allclose(bars.y, expected.cosines)
    np.testing.assert_allclose(heatmap.z, expected.structure.mean_cosines)
    assert explorer.figure.layout.shapes[0].x0 == 3.5
    title = explorer.figure.layout.annotations[0].text
    assert title == f"{expected.outliers} outliers above the bulk, 3 classes"


def test_without_classes_one_line_says_why(regression, run):
    explorer = run(regression, "Classes")
    line, _, _ = explorer.job.status.value.partition("<details>")
    assert "ValueError: classes structure the matrix of nn.CrossEntropyLoss alone" in line
    assert explorer.results is None


def test_the_code_gives_the_same_results(classifier, run):
    explorer = run(classifier, "Classes")
    namespace = {"problem": classifier}
    exec(explorer._code.text, namespace)
    assert namespace["classes"].frame().equals(explorer.results["classes"].frame())
