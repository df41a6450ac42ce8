import json

import pytest


@pytest.fixture
def make_notebook(tmp_path):
    """Write a notebook whose only cell is a parameters cell; returns its path."""

    def make(cell):
        source = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": cell, "outputs": []}
        path = tmp_path / "example.ipynb"
        path.write_text(json.dumps({"cells": [source], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return make
