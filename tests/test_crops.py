"""What is cut out of pictures by name: the largest face, or what a user's own function finds."""

from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import own_extractors as own
import prepare_work as work
from elision.data import Store
from elision.deep.model import load_model
from elision.deep.predict import media_settings
from elision.errors import InputError
from elision.extractors import packaged_weights
from elision.files import sha256
from elision.media import faces
from elision.registries import CROPS

CLIPS = Path(__file__).parents[2] / "shared" / "data" / "grid" / "raw_mpg"
INSTALLED = find_spec("facenet_pytorch") is not None


def test_the_largest_face_is_cut_with_a_margin_in_a_square(monkeypatch):
    boxes = torch.tensor([[0.0, 0.0, 30.0, 30.0], [100.0, 50.0, 140.0, 110.0]])
    monkeypatch.setattr(faces, "_faces", lambda picture: boxes)
    assert faces.face(np.zeros((200, 200, 3), np.uint8)) == pytest.approx((84, 44, 156, 116))  # 60 and a fifth
    monkeypatch.setattr(faces, "_faces", lambda picture: torch.zeros(0, 4))
    assert faces.face(np.zeros((200, 200, 3), np.uint8)) is None


def test_a_piece_at_the_edge_is_what_of_it_lies_in_the_picture():
    picture = torch.arange(36.0).view(1, 1, 6, 6).expand(1, 3, 6, 6)
    pieces = faces._cut(
        picture, torch.tensor([[-3.0, -3.0, 2.0, 2.0], [4.0, 0.0, 6.0, 2.0], [9.0, 9.0, 12.0, 12.0]]), 2
    )
    assert pieces[0, 0].tolist() == [[0, 1], [6, 7]] and pieces[1, 0].tolist() == [[4, 5], [10, 11]]
    assert pieces[2, 0].tolist() == [[35, 35], [35, 35]]


@pytest.mark.skipif(not INSTALLED, reason="facenet-pytorch, whose weights find faces, is not installed")
@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"{CLIPS} is not here")
def test_a_face_is_found_where_the_packages_own_code_finds_it():
    """Of frame 0 of three clips, its `detect_face` (smallest face 36, thresholds .6, .7, .9) gave these boxes."""
    known = {"bbaf2n": (98.8, 101.6, 206.4, 253.5), "bbaf5a": (111.6, 98.9, 215.2, 242.5)}
    for name, (left, top, right, bottom) in known.items():
        with av.open(str(CLIPS / f"{name}.mpg")) as clip:
            picture = next(clip.decode(video=0)).to_ndarray(format="rgb24")
        x, y, half = (left + right) / 2, (top + bottom) / 2, 0.6 * (bottom - top)
        assert faces.face(picture) == pytest.approx((x - half, y - half, x + half, y + half), abs=6)
    assert faces.face(np.zeros((64, 64, 3), np.uint8)) is None


@pytest.mark.skipif(INSTALLED, reason="the weights are installed")
def test_weights_that_are_not_here_are_told_before_anything_is_read(here, tmp_path):
    code, _, err = here("prepare", "nowhere.csv", str(tmp_path / "store"), "--crop", "face")
    assert (code, "pnet.pt are not here: pip install --no-deps facenet-pytorch" in err) == (2, True), err


def test_weights_of_a_package_are_those_that_were_meant(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "a_package_with_weights"
    folder.mkdir()
    torch.save({"w": torch.ones(2)}, folder / "net.pt")
    name, digest = "a_package_with_weights/net.pt", sha256(folder / "net.pt")
    assert packaged_weights("a-package", name, digest)["w"].tolist() == [1, 1]
    with pytest.raises(InputError, match=r"net.pt has not the SHA-256 0000: install the version of a-package that has"):
        packaged_weights("a-package", name, "0000")
    with pytest.raises(
        InputError, match=r"weights a_package_with_weights/gone.pt are not here: pip install --no-deps a-p"
    ):
        packaged_weights("a-package", "a_package_with_weights/gone.pt", digest)
    with pytest.raises(InputError, match=r"weights nowhere/gone.pt are not here"):
        packaged_weights("a-package", "nowhere/gone.pt", digest)


def test_the_command_cuts_pictures_by_a_function_of_ones_own(here, tmp_path, monkeypatch):
    source = work.write_source(tmp_path / "clips", 12)
    small = ["--windows", "2", "--size", "32", "--workers", "1", "--quiet"]
    for name, more in (("whole", []), ("cut", ["--crop", "own_extractors:corner"])):
        code, _, err = here("prepare", str(source), str(tmp_path / name), *small, *more)
        assert code == 0, err
    whole, cut = Store(tmp_path / "whole"), Store(tmp_path / "cut")
    assert cut.info.parameters["settings"]["crop"] == "own_extractors:corner"
    assert not np.array_equal(whole.window(0, "visual"), cut.window(0, "visual"))
    training = ["--epochs", "1", "--batch-size", "4", "--n-features", "4", "--quiet"]
    assert here("train", str(tmp_path / "cut"), "--out", str(tmp_path / "run"), *training)[0] == 0
    film = str(source.parent / "0.mp4")
    assert here("predict", str(tmp_path / "run"), film, "--crop", "own_extractors:corner")[0] == 0
    code, _, err = here("predict", str(tmp_path / "run"), film)
    assert (code, "cropped by own_extractors:corner" in err) == (2, True), err
    monkeypatch.setitem(CROPS, "corner", own.corner)  # a crop that Elision brings needs not be given again
    assert media_settings(load_model(tmp_path / "run")).crop is own.corner


@pytest.mark.parametrize(("crop", "message"), [
    ("nose", "--crop nose: expected face, or PACKAGE.MODULE:FUNCTION"),
    ("nowhere.at_all:nose", "crop nowhere.at_all:nose cannot be imported"),
    ("own_extractors:failing", "crop own_extractors:failing failed on a black picture: RuntimeError: no weights"),
])  # fmt: skip
def test_a_crop_that_is_none_is_told(crop, message, here):
    code, _, err = here("prepare", "clips.csv", "store", "--crop", crop)
    assert (code, message in err) == (2, True), err
