"""A step holds all that it changes, and the figure shows the step that is active."""

import plotly.graph_objects as go

from workbench.explore.slider import set_slider, slider_step


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
    assert (data, list(traces)) == ({"x": [[1]], "y": [[2]]}, [1])
    assert layout["sliders[0].active"] == 1
    assert figure.layout.sliders[0].steps[1].method == "update"


def test_a_step_without_traces_changes_the_layout_alone():
    figure = make()
    set_slider(figure, [slider_step("a", 0, {"title.text": "moved"})], active=0)
    (step,) = figure.layout.sliders[0].steps
    assert (step.method, step.label) == ("relayout", "a")
    assert figure.layout.title.text == "moved"
