"""Prediction on raw files gives what the store of the same files gives; what cannot be read is told in its row."""

import io
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from clips import MP4, Take, write_clip
from elision.batch import Batch
from elision.config import TrainConfig
from elision.data.schema import Row, StoreInfo, shard_name, write_manifest
from elision.data.shards import write_shard
from elision.data.store import Store
from elision.deep.model import load_model
from elision.deep.predict import media_settings, predict
from elision.deep.train import train
from elision.errors import InputError
from elision.kinds import Modality
from elision.media.extract import MediaSettings, Mel, extract_media

SETTINGS = MediaSettings(windows=2, seconds=0.5, size=32, mel=Mel(bands=16))
N = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips whose tone tells two classes apart, each with picture and sound."""
    folder = tmp_path_factory.mktemp("clips")
    for i in range(N):
        take = Take(seconds=1.2, tone=lambda segment, i=i: 400.0 if i % 2 else 2000.0)
        write_clip(folder / f"c{i:02d}.mp4", take, MP4)
    return folder


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("store")
    rows = []
    for i in range(N):
        path = folder / f"c{i:02d}.mp4"
        values = extract_media({"visual": path, "audio": path}, None, None, SETTINGS, str(path)).values
        rows.append(Row(f"c{i:02d}", "lh"[i % 2], values=values))
    spectrogram = rows[0].values["audio"].shape[1:]
    modalities = {"visual": Modality("frames", (3, 32, 32), 2), "audio": Modality("spectrogram", spectrogram, 2)}
    shard = write_shard(out / shard_name(0), rows, modalities)
    write_manifest(out, StoreInfo(modalities, (shard,), {"settings": asdict(SETTINGS)}, {}))
    return Store(out)


@pytest.fixture(scope="module")
def model(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    train(store.address, out, TrainConfig(epochs=2, batch_size=8, n_features=8, missing="visual", rate=0.5))
    return load_model(out)


def test_the_settings_of_the_data_travel_with_the_model(model):
    assert media_settings(model) == SETTINGS


def test_files_give_what_their_store_gives(model, store, folder):
    files = sorted(folder.glob("*.mp4"))
    found = list(predict(model, files))
    expected = np.exp(model.predict(store))
    np.testing.assert_allclose([list(p.probabilities.values()) for p in found], expected, atol=1e-6)
    assert [p.label for p in found] == [model.classes[z] for z in expected.argmax(1)]
    assert {(p.found, p.used, p.problem) for p in found} == {(("visual", "audio"), ("visual", "audio"), "")}


@pytest.mark.parametrize("average", ["posteriors", "logs"])
def test_a_modality_can_be_left_out(model, store, folder, average):
    observed = {**store.observed, "audio": np.zeros(N, dtype=bool)}
    expected = np.exp(model.predict(store, observed=observed, average=average))
    found = list(predict(model, sorted(folder.glob("*.mp4")), without=["audio"], average=average))
    np.testing.assert_allclose([list(p.probabilities.values()) for p in found], expected, atol=1e-6)
    assert {(p.found, p.used) for p in found} == {(("visual", "audio"), ("visual",))}


def test_a_silent_clip_is_predicted_from_its_picture_and_what_cannot_be_read_in_its_row(model, folder, tmp_path):
    silent, text, empty, cut = (tmp_path / name for name in ("silent.mp4", "notes.mp4", "empty.mp4", "cut.mp4"))
    write_clip(silent, Take(seconds=1.0, sound=False), MP4)
    text.write_text("no recording")
    empty.write_bytes(b"")
    whole = (folder / "c00.mp4").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    good = folder / "c01.mp4"
    found = list(predict(model, [silent, text, empty, cut, tmp_path / "absent.mp4", good]))
    assert [bool(p.problem) for p in found] == [False, True, True, True, True, False]
    assert found[0].found == ("visual",)
    assert sum(found[0].probabilities.values()) == pytest.approx(1)
    assert all(p.probabilities == {} and p.label == "" for p in found[1:5])
    assert "does not exist" in found[4].problem


def test_a_sound_file_is_predicted_from_its_sound(model, tmp_path):
    path = tmp_path / "voice.mp4"
    write_clip(path, Take(seconds=1.0, picture=False), MP4)
    (found,) = predict(model, [path])
    assert found.used == ("audio",)


def test_an_image_is_nothing_to_a_model_of_clips(model, tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 40)).save(tmp_path / "face.png")
    (found,) = predict(model, [tmp_path / "face.png"])
    assert "shows nothing that the model may use (visual, audio)" in found.problem


def test_a_manifest_is_predicted_row_by_row(model, folder):
    table = folder / "some.csv"
    table.write_text("id,label,video,start,end\na,,c00.mp4,0.1,1.1\nb,,c01.mp4,,\n")
    found = list(predict(model, [table]))
    assert [p.id for p in found] == ["a", "b"]
    (alone,) = predict(model, [folder / "c01.mp4"])
    assert found[1].probabilities == pytest.approx(alone.probabilities)


def test_a_list_to_predict_needs_no_label_and_names_the_rows_that_cannot_be_used(model, folder, tmp_path):
    good = sorted(folder.glob("*.mp4"))[0]
    (tmp_path / "clip.mp4").write_bytes(good.read_bytes())
    (tmp_path / "list.csv").write_text("id,video\nthere,clip.mp4\nabsent,nowhere.mp4\ntwice,clip.mp4\ntwice,clip.mp4\n")
    found = {(p.id, p.label != "", p.problem) for p in predict(model, [tmp_path / "list.csv"])}
    assert ("there", True, "") in found
    problems = {id: problem for id, _, problem in found if problem}
    assert "list.csv, row 3" in problems["absent"] and "nowhere.mp4" in problems["absent"]
    assert "2 rows have this id" in problems["twice"]


def test_a_manifests_times_are_kept_to(model, tmp_path):
    """A clip that hums low and then high, cut in its middle: the batch of each half, made by hand."""
    path = write_clip(
        tmp_path / "two.mp4", Take(seconds=2.0, tone=lambda segment: 400.0 if segment < 2 else 2000.0), MP4
    )
    (tmp_path / "halves.csv").write_text("id,label,video,start,end\nfirst,,two.mp4,0,1\nsecond,,two.mp4,1,2\n")
    found = list(predict(model, [tmp_path / "halves.csv"]))
    for start, prediction in enumerate(found):
        values = extract_media({"visual": path, "audio": path}, start, start + 1, SETTINGS, prediction.id).values
        frames = [np.asarray(Image.open(io.BytesIO(jpeg))).transpose(2, 0, 1) for jpeg in values["visual"]]
        audio = torch.from_numpy(values["audio"].astype(np.float32))[:, None]
        both = dict.fromkeys(("visual", "audio"), torch.arange(2))
        inputs = {"visual": torch.from_numpy(np.stack(frames)), "audio": audio}
        logs = model.log_posterior(Batch(inputs, both, torch.tensor([-1, -1]), both))
        assert list(prediction.probabilities.values()) == pytest.approx(logs.exp().mean(0).tolist(), rel=1e-5)
    assert found[0].probabilities != pytest.approx(found[1].probabilities, rel=1e-3)


@pytest.mark.parametrize(("name", "value"), [("seconds", 1.0), ("mel", {**asdict(SETTINGS.mel), "points": 512})])
def test_a_store_of_other_windows_or_spectrograms_is_refused(model, store, name, value):
    """Where the shapes are the same, nothing else would tell."""
    model.check(store.info)
    other = replace(store.info, parameters={"settings": {**store.info.parameters["settings"], name: value}})
    with pytest.raises(InputError, match=f"the store was prepared with {name} ="):
        model.check(other)


def test_what_cannot_be_asked_is_refused_before_anything_is_read(model):
    with pytest.raises(InputError, match="no modality 'smell' to leave out: it takes visual, audio"):
        predict(model, ["absent.mp4"], without=["smell"])
    with pytest.raises(InputError, match="every modality is left out"):
        predict(model, ["absent.mp4"], without=["visual", "audio"])


def test_a_store_with_one_flipped_byte_is_neither_trained_on_nor_evaluated(model, store, tmp_path):
    """The byte is one number of a spectrogram: everything else reads as before."""
    copy = tmp_path / "store"
    shutil.copytree(store.address, copy)
    shard = copy / shard_name(0)
    content = bytearray(shard.read_bytes())
    place = bytes(content).index(store.window(3, "audio", 1).tobytes())
    content[place] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"shard-00000.arrow is damaged: its SHA-256 is not the one in manifest.json"):
        train(copy, tmp_path / "run", TrainConfig(epochs=1, batch_size=8, n_features=8))
    with pytest.raises(InputError, match=r"shard-00000.arrow is damaged"):
        model.predict(Store(copy))


def test_a_model_of_cropped_pictures_asks_for_the_crop(model):
    cropped = replace(model, parameters={"settings": {**asdict(SETTINGS), "crop": "faces:find"}})
    with pytest.raises(InputError, match="cropped by faces:find, which a model does not hold: pass crop="):
        media_settings(cropped)

    def find(picture):
        return None

    with pytest.raises(InputError, match=r"were cropped by faces:find, and .*find is given"):
        media_settings(cropped, find)
    with pytest.raises(InputError, match=r"were not cropped, and .*find is given"):
        media_settings(model, find)
    find.__module__, find.__qualname__ = "faces", "find"
    assert media_settings(cropped, find).crop is find
