"""What is told of a store, and the page that shows it."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prepare_work as work
from clips import Take, read_number, write_clip
from elision.data.inspect import inspect_store
from elision.data.prepare import prepare
from elision.data.schema import Row
from elision.errors import InputError
from elision.kinds import Modality
from elision.registries import ENGINES
from stores import written

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """Five samples of two classes and one without; one silent, one of numbers alone, one broken clip."""
    monkeypatch.setitem(ENGINES, "here", work.here)
    clips = tmp_path / "clips"
    clips.mkdir()
    write_clip(clips / "0.mp4", Take(seconds=0.6))
    write_clip(clips / "1.mp4", Take(seconds=1.2))
    write_clip(clips / "2.mp4", Take(seconds=0.6, silent=True))
    (clips / "broken.mp4").write_bytes(b"")
    path = work.write_manifest(clips, [
        {"id": "first", "label": EVIL, "group": "g10", "video": "0.mp4"},
        {"id": "second", "label": "b", "group": "g2", "video": "1.mp4", "face.au": 0.25},
        {"id": "silent", "label": "b", "group": "g10", "video": "2.mp4"},
        {"id": "<b>numbers", "label": "b", "group": "g10", "face.au": 1e-3},
        {"id": "stranger", "label": "", "group": "g2", "video": "0.mp4"},
        {"id": "broken", "label": "b", "group": "g2", "video": "broken.mp4"},
    ])  # fmt: skip
    prepare(path, tmp_path / "store", work.job(), engine="here")
    return tmp_path / "store"


class Page(HTMLParser):
    """Text, images, and whether each element that opens is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.images, self.open, self.scripts = "", [], [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs) -> None:
        self.scripts += tag == "script"
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


def decoded(source: str) -> np.ndarray:
    kind, content = re.fullmatch(r"data:image/(png|jpeg);base64,(.*)", source).groups()
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.format.lower() == kind
    return np.asarray(image)


def test_the_report_counts(store):
    report = inspect_store(store)
    assert report.samples == 5 and report.unlabelled == 1
    assert report.classes == {EVIL: 1, "b": 3}
    assert report.observed["b"] == {"visual": 2, "audio": 1, "face": 2}
    assert report.observed[""] == report.observed[EVIL] == {"visual": 1, "audio": 1, "face": 0}
    assert list(report.groups.items()) == [("g2", 2), ("g10", 3)] and report.split == {}
    assert list(report.patterns.items()) == [
        (("visual", "audio"), 2), (("face",), 1), (("visual",), 1), (("visual", "audio", "face"), 1),
    ]  # fmt: skip
    assert report.durations == pytest.approx([0.6, 0.6, 0.6, 1.2], abs=0.05)
    assert [problem.id for problem in report.set_aside] == ["broken"]
    assert [problem.id for problem in report.lacking["audio"]] == ["silent"]
    assert report.damaged == ()


def test_the_page_shows_every_class_and_escapes_what_it_is_given(store):
    inspect_store(store)
    page = Page(store / "inspect.html")
    assert page.open == [] and page.scripts == 0
    for told in (EVIL, "<b>numbers", "All hashes are right.", "has zero bytes", "no audio", "without a label", "0.25",
                 "in the highest bar", "settings mel"):  # fmt: skip
        assert told in page.text
    pictures = [decoded(source) for source in page.images]
    frames = [picture for picture in pictures if picture.shape == (32, 32, 3)]
    spectrograms = [picture for picture in pictures if picture.shape == (64, 51, 3)]
    assert len(frames) == 3 * 4 and len(spectrograms) == 3 * 3 and len(pictures) == 21  # of three windows
    assert {read_number(frame) for frame in frames} >= {6, 7}  # 0.25 s of 25 frames a second is frame 6
    assert len({picture.tobytes() for picture in spectrograms}) > 1


def test_low_tones_are_at_the_bottom_of_the_page_s_spectrograms(tmp_path):
    sound = np.zeros((1, 8, 6), np.float16)
    sound[:, 0] = 1  # the lowest band
    written(tmp_path, [Row("a", "u", values={"audio": sound})], modalities={"audio": Modality("spectrogram", (8, 6))})
    inspect_store(tmp_path)
    (picture,) = map(decoded, Page(tmp_path / "inspect.html").images)
    bright = picture.sum((1, 2), dtype=int)
    assert bright.argmax() == len(bright) - 1 and len(set(bright[:-1].tolist())) == 1


def test_damaged_shards_are_named_and_the_rest_is_told(store):
    with (store / "shard-00001.arrow").open("r+b") as file:
        file.seek(-300, 2)
        file.write(b"damage")
    report = inspect_store(store)
    assert report.damaged == ("shard-00001.arrow",)
    assert report.classes == {EVIL: 1, "b": 3} and report.patterns == {}
    page = Page(store / "inspect.html")
    assert "Damaged shards" in page.text and "shard-00001.arrow" in page.text and "All hashes" not in page.text


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a store"):
        inspect_store(tmp_path)
    with pytest.raises(InputError, match="is an address: say with page"):
        inspect_store("memory://nowhere/store")
    assert not list(tmp_path.iterdir())


def test_a_store_at_an_address_has_its_page_elsewhere(store, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fsspec.filesystem("memory").put(f"{store}/", "/inspected/store/", recursive=True)
    assert inspect_store("memory://inspected/store", tmp_path / "page.html").samples == 5
    assert "All hashes are right." in Page(tmp_path / "page.html").text
