"""Pictures show what their tables hold."""

import matplotlib

matplotlib.use("agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from elision import InputError
from elision.plots import acquisition_lines, importance_bars, reliability_diagram, waterfall


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def contributions():
    columns = ["sample", "modality", "class", "nats", "standard_error"]
    rows = [(3, "$sound", "yes", 0.5, 0.0), (3, "face", "yes", -1.5, 0.0), (3, "$sound", "no", 0.1, 0.0),
            (3, "face", "no", 0.2, 0.0)]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def test_a_waterfall_ends_where_its_parts_sum_to():
    axes = waterfall(contributions(), 3, "yes")
    bars = [(p.get_x(), p.get_width()) for p in axes.patches]
    np.testing.assert_allclose(bars, [(0, -1.5), (-1.5, 0.5), (0, -1.0)])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["face", "$sound", "all together"]
    assert "no" in waterfall(contributions(), 3).get_title(loc="left"), "the class that they speak for"
    axes.figure.canvas.draw()
    with pytest.raises(InputError, match="no row of sample 4"):
        waterfall(contributions(), 4)
    with pytest.raises(InputError, match="no class 'maybe'"):
        waterfall(contributions(), 3, "maybe")


def test_bars_are_the_shares_of_the_modalities():
    table = pd.DataFrame(
        {"shapley_nll": [0.2, 0.9], "alone_nll": [0.3, 1.0], "without_nll": [0.1, 0.8]}, index=["weak", "strong"]
    )
    axes = importance_bars(table)
    assert [p.get_width() for p in axes.patches] == [0.2, 0.9]
    assert [line.get_xdata().tolist() for line in axes.lines[:2]] == [[0.3, 1.0], [0.1, 0.8]]


def test_dots_stand_at_confidence_and_accuracy():
    own = plt.figure().add_subplot()
    axes = reliability_diagram([(0.55, 0.5, 10), (0.95, 0.9, 90)], own)
    assert axes is own
    np.testing.assert_allclose(axes.collections[-1].get_offsets(), [(0.55, 0.5), (0.95, 0.9)])


def test_a_line_for_each_order_against_cost_where_it_is_not_the_number():
    rows = [(o, s, s, c * s, 0.5 + s / 10, 1.0 - s / 10) for o in ("value", "random") for s, c in ((0, 1), (1, 1))]
    rows.append(("all", 1, 1, 1, 0.6, 0.9))
    table = pd.DataFrame(rows, columns=["order", "step", "measured", "cost", "accuracy", "nll"])
    axes = acquisition_lines(table)
    assert [line.get_label() for line in axes.lines] == ["value", "random", "everything"]
    assert axes.get_xlabel() == "modalities measured per sample" and axes.lines[2].get_ydata()[0] == 0.6
    table["cost"] *= 5
    dear = acquisition_lines(table, "nll")
    assert dear.get_xlabel() == "cost per sample" and dear.lines[0].get_xdata().tolist() == [0, 5]
