"""What a step of a slider changes, for tests."""


def changes(step):
    """Return the properties of each trace by its number, as the step has them."""
    data, _, traces = step.args
    return {
        number: {name: values[place] for name, values in data.items()} for place, number in enumerate(traces)
    }
