"""Kinds of modality: one contract for each, through an Arrow column to an encoder's rows, numbers and pictures."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from elision.errors import InputError
from elision.kinds import KINDS, SIDE, Modality
from elision.vision import network
from stores import MODALITIES, jpeg, row

WITH = {
    "frames": Modality("frames", (3, 16, 24), 3),
    "image": Modality("image", (3, 16, 16)),
    "spectrogram": Modality("spectrogram", (4, 5), 3),
    "features": Modality("features", (2,)),
}
EVERY = pytest.mark.parametrize("name", KINDS)


def values(name: str) -> list:
    (m,) = (m for m, modality in MODALITIES.items() if modality.kind == name)
    return [row(sample).values[m] for sample in (1, 2)]


def decoded(name: str, value) -> list[np.ndarray]:
    return [KINDS[name].decode(window, WITH[name]) for window in KINDS[name].split(value)]


@EVERY
def test_the_form_of_a_modality_is_that_of_its_kind(name):
    assert WITH[name].form is KINDS[name]


@EVERY
def test_values_come_back_from_their_column_and_a_missing_one_takes_no_room(name):
    kind, modality, (one, two) = KINDS[name], WITH[name], values(name)
    column = kind.column([one, None, two])
    assert column.type == kind.arrow and column.is_valid().to_pylist() == [True, False, True]
    cells = kind.cells(column, modality)
    assert cells.fits(np.array([True, False, True]))
    for i, value in ((0, one), (2, two)):
        again = kind.join([cells.window(i, w) for w in range(modality.windows)])
        np.testing.assert_array_equal(again, value)
        assert type(again) is type(value) and kind.fault(again, modality) == ""
    assert kind.size(one) == sum(len(memoryview(window).tobytes()) for window in kind.split(one))


@pytest.mark.parametrize("name", ["frames", "spectrogram", "features"])  # an image's JPEG has any size
def test_a_column_of_another_size_does_not_fit(name):
    one, two = values(name)
    assert not KINDS[name].cells(KINDS[name].column([one[:-1], two]), WITH[name]).fits(np.array([True, True]))
    assert not KINDS[name].cells(KINDS[name].column([one, two]), WITH[name]).fits(np.array([True, False]))


@EVERY
def test_rows_are_the_windows_in_the_shape_and_type_that_a_network_takes(name):
    kind, modality = KINDS[name], WITH[name]
    windows = decoded(name, values(name)[0])
    rows = kind.rows(len(windows), windows, modality)
    assert rows.dtype == kind.torch_dtype
    for given, window in zip(rows, windows, strict=True):
        expected = window.transpose(2, 0, 1) if kind.picture else window
        np.testing.assert_array_equal(given.numpy().reshape(expected.shape), expected)
    assert rows.shape[1:] == ((kind.channels, *modality.shape[-2:]) if kind.planar else modality.shape)
    assert kind.rows(0, [], modality).shape == (0, *rows.shape[1:])
    net = network(kind.encoder, name, modality.shape, 7).eval()
    assert net(rows).shape == (len(windows), 7)


@EVERY
def test_rows_are_written_where_they_are_asked_for(name):
    kind, modality, taken = KINDS[name], WITH[name], []

    def empty(shape, dtype):
        taken.append(torch.empty(shape, dtype=dtype))
        return taken[-1]

    windows = decoded(name, values(name)[1])
    rows = kind.rows(len(windows), windows, modality, empty)
    assert [rows.data_ptr()] == [memory.data_ptr() for memory in taken]
    assert taken[0].shape == (len(windows), *kind.memory(modality))


@EVERY
def test_numbers_are_pooled_by_their_definition(name):
    windows = decoded(name, values(name)[0])
    pooled = KINDS[name].pooled(windows)
    stack = np.stack(windows).astype(np.float64)
    if KINDS[name].picture:  # of one grey each
        grey = stack.mean((1, 2, 3)) / 255
        parts = [grey.mean(), grey.std()] if KINDS[name].windowed else [grey[0]]
        np.testing.assert_allclose(pooled, np.repeat(parts, SIDE**2), atol=0.5 / 255)
    elif KINDS[name].windowed:
        np.testing.assert_allclose(pooled, [*stack.mean((0, 2)), *stack.std((0, 2))])
    else:
        np.testing.assert_array_equal(pooled, stack[0])
    assert pooled.dtype == np.float64


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("frames", b"x", "is one JPEG: expected 3 JPEGs"),
        ("frames", [b"x"] * 2, "is 2 JPEGs: expected 3 JPEGs"),
        ("image", [b"x"], "is 1 JPEGs: expected one JPEG"),
        ("spectrogram", np.zeros((2, 4, 5)), r"is numbers of shape (2, 4, 5): expected numbers of shape (3, 4, 5)"),
        ("spectrogram", np.full((3, 4, 5), 1e5), "holds 100000.0 beyond float16"),
        ("features", np.full(2, np.nan), "or NaN alone: leave out what is missing"),
        ("features", [b"x"] * 2, "is 2 JPEGs: expected numbers of shape (2,)"),
    ],
)
def test_a_value_of_another_form_is_described(name, value, told):
    assert told in KINDS[name].fault(value, WITH[name])


@pytest.mark.parametrize(
    ("name", "window", "told"),
    [
        ("frames", b"no JPEG", "is no whole JPEG"),
        ("image", jpeg(9, 16, 24), "has 24 x 16 pixels, not 16 x 16"),
        ("spectrogram", np.zeros((4, 6)), r"has shape \(4, 6\), not \(4, 5\)"),
        ("features", np.zeros(3), r"has shape \(3,\), not \(2,\)"),
    ],
)
def test_a_window_that_cannot_be_decoded_is_described(name, window, told):
    with pytest.raises(InputError, match=told):
        KINDS[name].decode(window, WITH[name])


def test_low_tones_are_drawn_at_the_bottom_and_time_from_left_to_right():
    window = np.zeros((4, 5), np.float16)
    window[0, 4] = 1  # the lowest band at the end
    picture, form = KINDS["spectrogram"].draw(window, (0.0, 1.0))
    bright = np.asarray(picture).sum(2)
    assert form == "PNG" and bright.argmax() == bright.size - 1  # the corner at the bottom right


def test_a_louder_spectrogram_is_drawn_brighter_on_a_scale_of_both():
    loud, soft = np.full((4, 5), 2.0, np.float16), np.full((4, 5), -2.0, np.float16)
    scale = KINDS["spectrogram"].scale([loud, soft])
    bright = [np.asarray(KINDS["spectrogram"].draw(window, scale)[0]).sum() for window in (loud, soft)]
    assert bright[0] > bright[1]


def test_arrow_types_are_those_of_stores_that_exist():
    expected = [pa.list_(pa.binary()), pa.binary(), pa.list_(pa.float16()), pa.list_(pa.float32())]
    assert [kind.arrow for kind in KINDS.values()] == expected
