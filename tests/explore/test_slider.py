"""A step holds all that it changes, and the figure shows the step that is active."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.explore.slider import set_slider, show_step, slider_below, slider_step


def make():
    figure = go.Figure()
    figure.add_scatter(x=[0], y=[0]).add_scatter(x=[0], y=[0])
    figure.add_vline(x=0)
    figure.update_layout(sliders=[{}], title={"text": ""})
    return figure


def test_the_layout_and_only_the_traces_named_change():
    steps = [
        slider_step(str(place), place, {"shapes[0].x0": place, "title.text": f"at {place}"},
                    {1: {"x": [place], "y": [2 * place]}})
        for place in range(3)
    ]  # fmt: skip
    figure = make()
    set_slider(figure, steps, active=2)
    assert figure.layout.sliders[0].active == 2
    assert (figure.layout.shapes[0].x0, figure.layout.title.text) == (2, "at 2")
    assert [(trace.x, trace.y) for trace in figure.data] == [((0,), (0,)), ((2,), (4,))]
    data, layout, traces = figure.layout.sliders[0].steps[1].args
    assert ({name: data[name] for name in "xy"}, list(traces)) == ({"x": [[1]], "y": [[2]]}, [1])
    assert layout["sliders[0].active"] == 1
    assert figure.layout.sliders[0].steps[1].method == "update"


def test_a_step_without_traces_changes_the_layout_alone():
    figure = make()
    set_slider(figure, [slider_step("a", 0, {"title.text": "moved"})], active=0)
    (step,) = figure.layout.sliders[0].steps
    assert (step.method, step.label) == ("relayout", "a")
    assert figure.layout.title.text == "moved"


def named():
    """A figure with traces of which a step changes the second."""
    figure = go.Figure(layout={"sliders": slider_below("at "), "title": {"text": ""}})
    figure.add_scatter(name="kept", x=np.array([1.0, np.nan]), y=(3, 4), showlegend=True)
    figure.add_scatter(name="moved", x=[0], y=[0])
    figure.add_scatter(x=[5], y=[6], showlegend=False)
    figure.add_contour(x=[0, 1], y=[0, 1], z=[[0, 1], [1, 0]])  # has no name to lose
    return figure


def test_steps_repeat_names_and_what_other_named_traces_hold():
    figure = named()
    steps = [slider_step(str(place), place, {"title.text": "t"}, {1: {"x": [place]}}) for place in range(2)]
    set_slider(figure, steps, active=0)
    step = json.loads(figure.to_json())["layout"]["sliders"][0]["steps"][1]
    data, _, traces = step["args"]
    assert traces == [0, 1, 2]
    assert data == {
        "name": ["kept", "moved", None],
        "showlegend": [True, None, False],
        "x": [[1.0, None], [1], [5]],
    }


@pytest.mark.parametrize("place", [0, 1])
def test_a_step_leaves_a_figure_as_its_python_does(place):
    """What plotly.js does with the step: each property of each trace is set."""
    figure, expected = go.FigureWidget(named()), named()
    steps = [slider_step(str(at), at, {"title.text": f"{at}"}, {1: {"x": [at]}}) for at in range(2)]
    set_slider(figure, steps, active=1 - place)
    show_step(expected, steps[place])
    data, layout, traces = figure.layout.sliders[0].steps[place].args
    figure.plotly_update(data, layout, list(traces))  # refuses what a trace does not have
    figure.layout.sliders[0].steps = None
    assert figure.layout.sliders[0].active == place
    for found, true in zip(figure.data, expected.data, strict=True):
        assert (found.name, found.showlegend) == (true.name, true.showlegend)
        np.testing.assert_array_equal(np.array(found.x, float), np.array(true.x, float))
        np.testing.assert_array_equal(np.array(found.y, float), np.array(true.y, float))


def test_traces_without_a_property_are_left_out():
    figure = named()
    steps = [slider_step("0", 0, {"title.text": "t"}, {3: {"z": [[1, 0], [0, 1]]}})]
    set_slider(figure, steps, active=0)
    data, _, traces = figure.layout.sliders[0].steps[0].args
    assert list(traces) == [3]
    assert data["z"] == [[[1, 0], [0, 1]]]
    go.FigureWidget(figure).plotly_update(data, {}, list(traces))


def test_a_slider_stands_below_the_plot():
    assert slider_below("τ = ", gap=70) == [{"currentvalue": {"prefix": "τ = "}, "pad": {"t": 70}}]
