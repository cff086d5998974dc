"""Pooled features of a store against their definition, and a store as a data set to compare methods on."""

import io

import numpy as np
import pytest
from PIL import Image

from elision.data import load
from elision.data.pooled import pooled
from elision.data.schema import Row
from elision.data.store import Store
from elision.errors import InputError
from elision.kinds import SIDE, Modality
from stores import WINDOWS, grey, row, written

PATTERNS = [("visual", "audio", "image", "face"), ("audio",), ("visual", "face"), ("image",)]


def test_pooled_numbers_are_those_of_the_definition(tmp_path):
    data = pooled(Store(written(tmp_path / "mine", [row(i, shown) for i, shown in enumerate(PATTERNS)])))
    assert data.name == "mine" and data.labels.tolist() == ["u", "v", "w", "u"]
    assert data.groups.tolist() == ["g0", "g1", "g2", "g3"] and data.parts is None
    for i, shown in enumerate(PATTERNS):
        assert {m for m, a in data.arrays.items() if not np.isnan(a[i]).all()} == set(shown)
        assert not any(np.isnan(data.arrays[m][i]).any() for m in shown)
    for i in (0, 1):  # sample + window / 8 in each of 4 bands
        level = i + np.arange(WINDOWS) / 8
        np.testing.assert_allclose(data.arrays["audio"][i], [level.mean()] * 4 + [level.std()] * 4)
    for i in (0, 2):
        levels = np.array([grey(i, window) for window in range(WINDOWS)]) / 255
        np.testing.assert_allclose(data.arrays["visual"][i, : SIDE**2], levels.mean(), atol=1 / 255)
        np.testing.assert_allclose(data.arrays["visual"][i, SIDE**2 :], levels.std(), atol=1 / 255)
        np.testing.assert_allclose(data.arrays["face"][i], [i, np.float32(i / 3)])
    np.testing.assert_allclose(data.arrays["image"][3], np.full(SIDE**2, grey(3) / 255), atol=1 / 255)


def test_a_picture_is_pooled_where_it_stands(tmp_path):
    """24 x 36 pixels: each of 12 x 12 pools 2 x 3 of them. White upper left, each third column white lower right."""
    pixels = np.zeros((24, 36, 3), np.uint8)
    pixels[:12, :18] = pixels[12:, 18::3] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=100, subsampling=0)
    modalities = {"image": Modality("image", (3, 24, 36))}
    store = Store(written(tmp_path, [Row("a", values={"image": content.getvalue()})], modalities=modalities))
    wanted = np.zeros((SIDE, SIDE))
    wanted[:6, :6], wanted[6:, 6:] = 1, 1 / 3
    np.testing.assert_allclose(pooled(store).arrays["image"][0].reshape(SIDE, SIDE), wanted, atol=0.05)


def test_a_spectrogram_is_pooled_by_band(tmp_path):
    values = np.random.default_rng(0).normal(size=(WINDOWS, 4, 5)).astype(np.float16)
    data = pooled(Store(written(tmp_path, [Row("a", values={"audio": values})])))
    wide = values.astype(np.float64).transpose(1, 0, 2).reshape(4, -1)  # a row per band
    np.testing.assert_allclose(data.arrays["audio"][0], [*wide.mean(1), *wide.std(1)])
    assert set(data.arrays) == {"audio"}  # what no sample shows is left out


@pytest.mark.parametrize("where", ["folder", "memory://stores/pooled"])
def test_a_store_loads_as_a_data_set(tmp_path, where, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = written(where if "://" in where else tmp_path / where, [row(i) for i in range(9)])
    data = load(source)
    assert data.classes.tolist() == ["u", "v", "w"] and data.is_complete
    assert data.fingerprint() == load(source).fingerprint()


@pytest.mark.parametrize(("rows", "words"), [
    ([row(i, label="u") for i in range(4)], "one class only, 'u'"),
    ([row(i) for i in range(5)], "class 'w' has 1 sample"),
    ([row(i, label="") for i in range(4)], "blank in all 4 rows"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_a_store_that_cannot_be_compared_on_is_refused(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        load(written(tmp_path / "store", rows))


@pytest.mark.parametrize("column", ["video", "audio", "image"])
def test_a_manifest_of_recordings_is_sent_to_prepare(tmp_path, column):
    (tmp_path / "m.csv").write_text(f"label,{column},a.x\nu,clip.mp4,1\nv,clip.mp4,2\n")
    with pytest.raises(InputError, match=f"column '{column}' with recordings: `elision prepare"):
        load(str(tmp_path / "m.csv"))


def test_a_store_that_is_not_finished_is_no_data_set(tmp_path):
    written(tmp_path, [row(i) for i in range(9)])
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"without manifest.json.*or a store that `elision prepare` has finished"):
        load(str(tmp_path))
