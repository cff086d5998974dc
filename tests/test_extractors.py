"""Extractors of a user's own: what arrives, what is kept and for how long, and what is said of those that fail."""

import importlib
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import own_extractors as own
import prepare_work as work
import stores
from clips import Take, write_clip
from elision.config import TrainConfig
from elision.data import Store, with_features
from elision.data.prepare import prepare
from elision.data.sources import load
from elision.deep.model import load_model
from elision.deep.predict import predict
from elision.deep.train import train
from elision.errors import InputError
from elision.extractors import OwnExtractor
from elision.registries import ENGINES
from elision.study.paper import GIVEN
from elision.study.reproduce import Selection, plan_reproduction

N = 12
GREYS = {"visual": "own_extractors:greys"}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setitem(ENGINES, "here", work.here)
    monkeypatch.setenv(own.LOG, str(tmp_path / "log"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path) -> str:
    """Samples of known greys; the fourth shows no picture."""
    shown = [m for m in stores.MODALITIES if m != "visual"]
    rows = [stores.row(i, shown if i == 3 else tuple(stores.MODALITIES)) for i in range(N)]
    return stores.written(tmp_path / "clips", rows, per_shard=5)


def test_features_stand_in_the_place_of_pictures(store):
    made = with_features(store, {**GREYS, "image": own.same_greys})
    before = Store(store)
    assert {m: v.kind for m, v in made.info.modalities.items()} == {
        "visual": "features", "audio": "spectrogram", "image": "features", "face": "features"
    }  # fmt: skip
    assert made.observed["visual"].tolist() == before.observed["visual"].tolist()
    assert [made.ids.tolist(), made.labels.tolist()] == [before.ids.tolist(), before.labels.tolist()]
    for sample in np.flatnonzero(before.observed["visual"]).tolist():
        greys = [before.window(sample, "visual", w).mean() for w in range(stores.WINDOWS)]
        assert made.row(sample, "visual").tolist() == pytest.approx([*greys, np.mean(greys)], abs=1e-3)
        assert made.row(sample, "face").tolist() == before.row(sample, "face").tolist()
        np.testing.assert_array_equal(made.window(sample, "audio", 2), before.window(sample, "audio", 2))
    pooled = load(str(made.address))
    assert pooled.arrays["visual"].shape == (N, 4) and np.isnan(pooled.arrays["visual"][3]).all()


def test_a_function_is_called_once_until_its_name_or_its_file_changes(store, tmp_path, monkeypatch):
    first = with_features(store, GREYS)
    assert own.noted() == [N - 1]  # every sample that shows a picture, at once
    for again in (GREYS, {"visual": own.greys}):
        assert with_features(store, again).address == first.address
    assert own.noted() == [N - 1]
    assert with_features(store, {"visual": own.same_greys}).address != first.address
    assert own.noted() == [N - 1] * 2
    edited = replace(OwnExtractor.of(own.greys), sha256="of the edited file")
    assert with_features(store, {"visual": edited}).address != first.address
    assert own.noted() == [N - 1] * 3
    other = stores.written(tmp_path / "clips2", [stores.row(i, label="u") for i in range(N)])
    assert with_features(other, GREYS).fingerprint() != first.fingerprint()
    assert own.noted() == [N - 1] * 3 + [N]


def test_the_content_of_a_function_is_that_of_its_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "written_here.py").write_text("def one(rows):\n    return rows\n")
    first = OwnExtractor.of("written_here:one")
    assert OwnExtractor.of(first.function) == first
    (tmp_path / "written_here.py").write_text("def one(rows):\n    return rows + 1\n")
    assert OwnExtractor.of("written_here:one") == first, "the function in memory is still the one of before"
    again = OwnExtractor.of(importlib.reload(sys.modules["written_here"]).one)
    assert again.sha256 != first.sha256


def test_functions_that_their_name_does_not_lead_to_are_called_anew(store):
    """Two lambdas of a file have one name, and so have two partial functions: each has its own features."""
    for make in (lambda factor: lambda rows: factor * own.greys(rows), lambda factor: partial(scaled, factor)):
        first, second = (with_features(store, {"visual": make(factor)}).row(0, "visual") for factor in (1, 2))
        assert second.tolist() == pytest.approx(2 * first, rel=1e-2)


def scaled(factor, rows):
    return factor * own.greys(rows)


@pytest.mark.parametrize(("function", "message"), [
    ("nowhere.at_all:greys", r"extractor nowhere.at_all:greys cannot be imported \(ModuleNotFoundError: "),
    ("own_extractors:dreys", r"extractor own_extractors:dreys cannot be imported \(AttributeError: "),
    ("own_extractors", "extractor 'own_extractors' names no function: expected package.module:function"),
    ("own_extractors:NOT_A_FUNCTION", "own_extractors:NOT_A_FUNCTION is a int: expected a function"),
    ("own_extractors:one_row_short", r"returned shape \(10, 4\) for 11 samples: expected \(11, d\), a row for each"),
    ("own_extractors:flat", r"returned shape \(11,\) for 11 samples"),
    ("own_extractors:no_number", r"sample 's00' and after: .*returned NaN or infinity for 7 of 11 samples"),
    ("own_extractors:failing", r"failing failed on uint8 numbers of shape \(11, 3, 16, 24, 3\): RuntimeError: no weig"),
    ("own_extractors:loudness", r"loudness failed on uint8 numbers"),
])  # fmt: skip
def test_what_is_wrong_with_a_function_is_told(store, tmp_path, function, message):
    with pytest.raises(InputError, match=message):
        with_features(store, {"visual": function})
    assert not list(tmp_path.glob("cache/**/*.arrow"))


def test_features_that_change_their_width_are_refused(store, monkeypatch):
    monkeypatch.setattr("elision.data.extraction._SAMPLES_AT_ONCE", 2)
    with pytest.raises(InputError, match=r"returned 3 features for the first samples and 4 for visual of 's05' and"):
        with_features(store, {"visual": own.changing})


@pytest.mark.parametrize(("modality", "message"), [
    ("audio", "as spectrograms, and an extractor takes the sound itself: give it to `elision prepare`"),
    ("face", "has face as features: they need no extractor"),
    ("smell", "an extractor is given for 'smell': .* has visual, audio, image, face"),
])  # fmt: skip
def test_a_store_takes_extractors_of_pictures_only(store, modality, message):
    with pytest.raises(InputError, match=message):
        with_features(store, {modality: own.greys})


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return work.write_source(tmp_path_factory.mktemp("source") / "clips", N)


def extracting(**functions):
    return work.job(extractors={m: OwnExtractor.of(function) for m, function in functions.items()})


def test_a_preparation_keeps_features_of_pictures_and_of_the_sound(source, tmp_path):
    how = extracting(visual=own.greys, audio=own.loudness)
    prepare(source, tmp_path / "plain", work.job(), engine="here")
    prepare(source, tmp_path / "store", how, engine="here")
    calls = own.noted()
    assert calls == [2, *[1] * N]  # the trial that tells the width, then a recording each
    made, plain = Store(tmp_path / "store"), Store(tmp_path / "plain")
    np.testing.assert_array_equal(
        np.stack([made.row(i, "visual") for i in range(N)]),
        np.stack([with_features(plain.address, GREYS).row(i, "visual") for i in range(N)]),
    )
    assert made.row(0, "audio")[1:].tolist() == [16000, 8000] and made.row(0, "audio")[0] > 0.01
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["parameters"]["settings"]["extractors"] == {
        "visual": OwnExtractor.of(own.greys).identity, "audio": OwnExtractor.of(own.loudness).identity,
    }  # fmt: skip
    prepare(source, tmp_path / "store", how, engine="here")
    assert own.noted()[len(calls) :] == [N]  # of `with_features`: a finished store is left alone
    with pytest.raises(
        InputError, match=r"settings.extractors.visual.name was own_extractors:greys, now own_extractors"
    ):
        prepare(source, tmp_path / "store", extracting(visual=own.same_greys, audio=own.loudness), engine="here")


def test_worker_processes_find_the_function(source, tmp_path):
    prepare(source, tmp_path / "store", extracting(visual=own.greys), workers=1)
    assert Store(tmp_path / "store").info.modalities["visual"].shape == (4,)


def test_a_recording_whose_features_cannot_be_made_is_set_aside_with_the_reason(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "a.mp4", Take(seconds=0.6))
    (folder / "b.wav").write_bytes(b"")
    table = work.write_manifest(folder, [{"id": "a", "label": "x", "video": "a.mp4"}])
    with pytest.raises(
        InputError, match=r"none of the 1 recordings can be used: a.mp4: has no features: extractor own_"
    ):
        prepare(table, tmp_path / "store", extracting(visual=own.always_nan), engine="here")
    for wrong, message in ((own.one_row_short, r"returned shape \(1, 4\) for 2 samples"), (own.failing, "no weights")):
        with pytest.raises(InputError, match=message):
            prepare(table, tmp_path / "never", extracting(visual=wrong), engine="here")
    with pytest.raises(InputError, match="an extractor is given for image, and the recordings name visual, audio"):
        prepare(table, tmp_path / "never", extracting(image=own.greys), engine="here")
    with pytest.raises(InputError, match="unknown modality of an extractor 'face'"):
        extracting(face=own.greys)


def test_a_model_of_features_asks_for_the_function_and_predicts_from_files(source, tmp_path):
    prepare(source, tmp_path / "plain", work.job(), engine="here")
    made = with_features(tmp_path / "plain", GREYS)
    train(made.address, tmp_path / "run", TrainConfig(epochs=1, batch_size=4, n_features=4))
    model, files = load_model(tmp_path / "run"), [source.parent / f"{id[1:]}.mp4" for id in made.ids]
    found = list(predict(model, files, extractors=GREYS))
    expected = np.exp(model.predict(made, observed=made.observed | {"face": np.zeros(N, bool)}))
    np.testing.assert_allclose([list(p.probabilities.values()) for p in found], expected, atol=1e-6)
    for given, message in (
        ({}, "visual is encoded from features by own_extractors:greys, and None is given: a model does not hold it"),
        ({"visual": own.same_greys}, "by own_extractors:greys, and own_extractors:same_greys is given"),
        ({**GREYS, "audio": own.loudness}, "audio is encoded from features by None, .*: give no extractor of it"),
    ):
        with pytest.raises(InputError, match=message):
            predict(model, files, extractors=given)
    with pytest.warns(UserWarning, match="the file of own_extractors:greys changed since"):
        predict(model, files, extractors={"visual": replace(OwnExtractor.of(own.greys), sha256="")})


def emotions(folder, audio: str) -> str:
    modalities = {m: stores.MODALITIES[m] for m in ("visual", "audio")}
    rows = [stores.row(i % N, tuple(modalities), label=f"emotion {i % 6}") for i in range(60)]
    rows = [replace(row, id=f"{i:02d}") for i, row in enumerate(rows)]
    if audio == "features":
        modalities["audio"] = stores.MODALITIES["face"]
        rows = [replace(r, values={**r.values, "audio": np.ones(2, np.float32) * i}) for i, r in enumerate(rows)]
    return stores.written(folder, rows, modalities=modalities)


def test_table_2_runs_on_features_by_own_functions(tmp_path):
    selection = Selection(("table2",), "video", seeds=1, extractors={"visual": OwnExtractor.of(own.greys)})
    plan = plan_reproduction(selection, [emotions(tmp_path / "store", "features")], tmp_path / "out")
    assert {run.extractor for run in plan.runs} == {GIVEN} and own.noted()
    assert plan.about["choices"]["Table 2: features"] == "visual by own_extractors:greys"
    calls = own.noted()
    again = plan_reproduction(selection, [str(tmp_path / "store")], tmp_path / "out")
    assert [r.key for r in again.runs] == [r.key for r in plan.runs] and own.noted() == calls
    with pytest.raises(
        InputError, match="has visual as features and audio as spectrogram: Table 2 is for features of "
    ):
        plan_reproduction(selection, [emotions(tmp_path / "half", "spectrogram")], tmp_path / "out")
    with pytest.raises(InputError, match="an extractor is for Table 2"):
        plan_reproduction(replace(selection, what=("table1",)), [str(tmp_path / "store")], tmp_path / "out")


def test_the_command_takes_a_function_that_lies_beside_it(source, tmp_path, monkeypatch, here):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [p for p in sys.path if p])
    (tmp_path / "mine_beside.py").write_text("import own_extractors as own\ngreys, loud = own.greys, own.loudness\n")
    visual, audio = "visual=mine_beside:greys", "audio=mine_beside:loud"
    small = ["--windows", "2", "--size", "32", "--workers", "1", "--quiet"]
    code, _, err = here("prepare", str(source), "features", "--extractor", visual, audio, *small)
    assert code == 0, err
    assert {m.kind for m in Store("features").info.modalities.values()} == {"features"}
    assert here("prepare", str(source), "store", *small)[0] == 0
    calls = len(own.noted())
    training = ["--epochs", "1", "--batch-size", "4", "--n-features", "4", "--quiet"]
    code, _, err = here("train", "store", "--out", "run", "--extractor", visual, *training)
    assert code == 0, err
    told = json.loads((tmp_path / "run" / "data.json").read_text())["address"]
    assert Store(told).info.modalities["visual"].shape == (3,) and len(own.noted()) == calls + 1
    code, _, err = here("compare", "store", "--out", "c", "--extractor", visual, "--missing", "smell")
    assert (code, "unknown modality 'smell'" in err, len(own.noted())) == (2, True, calls + 1), err  # kept by train
    film = str(source.parent / "0.mp4")
    code, out, err = here("predict", "run", film, "--extractor", visual, "--json")
    assert (code, json.loads(out)[0]["used"]) == (0, ["visual", "audio"]), err
    assert here("predict", "run", film)[0] == 2
    code, out, err = here("evaluate", "run", "store", "--extractor", visual, "--json")
    n_test = json.loads((tmp_path / "run" / "result.json").read_text())["test"]["metrics"]["n"]
    assert (code, json.loads(out)["metrics"]["n"]) == (0, n_test), err  # it is the same data: their test part
    assert n_test < len(Store("store"))
    code, _, err = here("evaluate", "run", "--extractor", visual)
    assert (code, "--extractor is for DATA, another store" in err) == (2, True)
    code, _, err = here("train", "digits", "--out", "t", "--extractor", visual)
    assert (code, "--extractor is for recordings, and digits is a table" in err) == (2, True)


@pytest.mark.parametrize("words", [["prepare", "s.csv", "store"], ["train", "s", "--out", "r"], ["compare", "s"]])
def test_an_extractor_without_a_modality_or_a_function_is_told(words, here):
    code, _, err = here(*words, "--extractor", "visual")
    assert (code, "--extractor visual: expected MODALITY=PACKAGE.MODULE:FUNCTION" in err) == (2, True), err
