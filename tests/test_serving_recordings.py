"""A served model of recordings: uploads are decoded apart, named nowhere, and none of them ends the server."""

import os
import signal
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy.special import entr

from clips import MP4, Take, write_clip
from elision import InputError, TrainConfig
from elision.data.schema import Row, StoreInfo, shard_name, write_manifest
from elision.data.segments import collate
from elision.data.shards import write_shard
from elision.data.store import Store
from elision.deep.model import load_model
from elision.deep.partition import StorePartition
from elision.deep.predict import predict, predict_values, segments
from elision.deep.train import train
from elision.kinds import Modality
from elision.media.extract import MediaSettings, Mel, extract_media
from elision.serving.answers import respondent
from elision.serving.application import Limits, application
from elision.serving.decoding import Decoder, Recordings

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")
from starlette.testclient import TestClient

SETTINGS = MediaSettings(windows=2, seconds=0.5, size=32, mel=Mel(bands=16))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Pictures, sound and a number of ten clips; the run of a small model, and the clips' folder."""
    folder = tmp_path_factory.mktemp("clips")
    out = folder / "store"
    out.mkdir()
    rows = []
    for i in range(10):
        take = Take(seconds=1.2, tone=lambda segment, i=i: 400.0 if i % 2 else 2000.0)
        path = write_clip(folder / f"c{i}.mp4", take, MP4)
        values = dict(extract_media({"visual": path, "audio": path}, None, None, SETTINGS, str(i)).values)
        rows.append(Row(f"c{i}", "lh"[i % 2], values=values | {"pulse": np.array([60.0 + i, 1.0], np.float32)}))
    modalities = {
        "visual": Modality("frames", (3, 32, 32), 2),
        "audio": Modality("spectrogram", rows[0].values["audio"].shape[1:], 2),
        "pulse": Modality("features", (2,)),
    }
    shard = write_shard(out / shard_name(0), rows, modalities)
    write_manifest(out, StoreInfo(modalities, (shard,), {"settings": asdict(SETTINGS)}, {}))
    train(out, folder / "run", TrainConfig(epochs=1, batch_size=8, n_features=8, objective="joint"))
    return folder / "run"


@pytest.fixture(scope="module")
def client(run):
    with TestClient(application(respondent(run), Limits(megabytes=4))) as client:
        yield client


def clip(run, number=0):
    return (run.parent / f"c{number}.mp4").read_bytes()


def test_a_recording_is_answered_as_its_file_is(client, run):
    (expected,) = predict(load_model(run), [run.parent / "c0.mp4"])
    told = client.post("/predict", files={"recording": ("../../etc/passwd", clip(run))}).json()["predictions"][0]
    np.testing.assert_allclose(list(told["probabilities"].values()), list(expected.probabilities.values()), atol=1e-6)
    assert (told["used"], told["missing"]) == (["visual", "audio"], ["pulse"])
    assert (told["set"], [m["modality"] for m in told["measure_next"]]) == (None, ["pulse"])


def test_what_to_measure_next_is_what_every_training_segment_would_say(client, run):
    """The same by asking about the sample with the pulse of each training segment in turn: Q(y | x_S) by evidence."""
    model, path = load_model(run), run.parent / "c0.mp4"
    batch = segments(extract_media({"visual": path, "audio": path}, None, None, SETTINGS, "0").values, model.modalities)
    partition = StorePartition.of_store(Store(run.parent / "store"), model.config)
    bank = collate([partition.segments(partition.train)[i] for i in range(2 * len(partition.train))]).inputs["pulse"]
    worth = []
    for window in range(2):
        each = batch.select(torch.full((len(bank),), window))
        known = replace(each, inputs=each.inputs | {"pulse": bank}, rows=each.rows | {"pulse": torch.arange(len(bank))})
        with torch.no_grad():
            after = model.log_posterior(known).double().exp().numpy()
            share = model.method.log_evidence(known).double().softmax(0).numpy()
        before = share @ after
        worth.append((
            entr(before).sum() - share @ entr(after).sum(1), share @ after.max(1) - before.max()
        ))  # fmt: skip
    answer = client.post("/predict", files={"recording": ("c0.mp4", clip(run))}).json()["predictions"][0]
    (told,) = answer["measure_next"]
    assert len(bank) == 12 and told["modality"] == "pulse" and told["nats"] > 1e-6
    np.testing.assert_allclose((told["nats"], told["accuracy"]), np.mean(worth, axis=0), atol=1e-6)
    (said,) = predict(model, [run.parent / "c0.mp4"])
    assert [asdict(m) for m in said.measure_next] == [pytest.approx(told)]


def test_the_order_of_what_to_measure_goes_by_cost_and_never_to_what_is_left_out(run):
    """Of a sample that shows its pulse alone, what is dear comes last, what is free first."""
    model, pulse = load_model(run), {"pulse": np.array([60, 1], np.float32)}

    def order(**options):
        return [m.modality for m in predict_values(model, "0", pulse, **options).measure_next]

    costs = {"visual": 1, "audio": 1, "pulse": 1}
    assert set(order()) == {"audio", "visual"} and order() == order(costs=costs)
    assert order(costs=costs | {"audio": 1e9}) == order(costs=costs | {"visual": 0}) == ["visual", "audio"]
    assert order(costs=costs | {"visual": 1e9}) == order(costs=costs | {"audio": 0}) == ["audio", "visual"]
    assert order(without=["audio"]) == ["visual"]
    with pytest.raises(InputError, match="no cost is given for visual, pulse"):
        predict(model, [run.parent / "c0.mp4"], costs={"audio": 1})


def test_a_model_of_the_conditional_objective_cannot_say_what_to_measure(run, tmp_path):
    config = TrainConfig(epochs=1, batch_size=8, n_features=8, objective="conditional")
    train(run.parent / "store", tmp_path / "run", config)
    (said,) = predict(load_model(tmp_path / "run"), [run.parent / "c0.mp4"])
    assert said.measure_next is None and "lacks the joint objective" in respondent(tmp_path / "run").limits


def test_sets_are_calibrated_by_the_test_part_with_and_without_each_modality(client, run):
    model = load_model(run)
    assert model.calibration.own == {
        (True, True, True): 2, (False, True, True): 2, (True, False, True): 2, (True, True, False): 2,
    }  # fmt: skip
    assert model.is_calibrated(0.5) and not model.is_calibrated(0.9), "two test samples, however often they are shown"
    told = client.post("/predict", json={"modalities": {"pulse": [70, 1]}, "coverage": 0.6}).json()["predictions"][0]
    probabilities = np.log([told["probabilities"][c] for c in model.classes])
    assert (told["coverage"], tuple(told["set"])) == (0.6, model.set_of(probabilities, ["pulse"], 0.6))
    (said,) = predict(model, [run.parent / "c0.mp4"], coverage=0.6)
    assert said.label in said.classes and not next(iter(predict(model, [run.parent / "c0.mp4"]))).classes
    lacks = client.get("/schema").json()["lacks"]
    assert lacks == "its sets are not calibrated for a coverage of 0.9"


def test_numbers_go_beside_recordings_and_samples_beside_each_other(client, run):
    sent = {"a/audio": ("x.wav", clip(run)), "a/pulse": (None, "[61, null]"), "b/pulse": (None, "[70, 1]")}
    told = client.post("/predict", files=sent).json()["predictions"]
    assert [(t["id"], t["used"]) for t in told] == [("a", ["audio", "pulse"]), ("b", ["pulse"])]
    alone = client.post("/predict", json={"modalities": {"pulse": [70, 1]}}).json()["predictions"][0]
    assert alone["probabilities"] == pytest.approx(told[1]["probabilities"], abs=1e-6)


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
REFUSED = {
    "no recording": ({"audio": ("a.wav", b"\x00\x01" * 999)}, "the recording of 'audio' is not a recording"),
    "an empty file": ({"audio": ("a.wav", b"")}, "the recording of 'audio' has zero bytes"),
    "a playlist": ({"recording": ("a.m3u8", PLAYLIST)}, "the recording of 'visual' and 'audio' is a text file"),
    "an unknown modality": ({"smell": ("a.wav", b"x")}, "'smell' of sample '0' was sent as a file: the model takes"),
    "a file of numbers": ({"pulse": ("a.csv", b"1,2")}, "'pulse' of sample '0' was sent as a file: expected numbers"),
    "numbers of a recording": ({"audio": (None, "[1]")}, "was sent as numbers: expected a recording"),
    "nothing": ({"pulse": (None, "[null, null]")}, "shows nothing that the model may use"),
    "a coverage": ({"pulse": (None, "[1, 2]"), "coverage": (None, "0.9")}, "not calibrated for a coverage of 0.9"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_with_a_sentence(client, name):
    sent, sentence = REFUSED[name]
    told = client.post("/predict", files=sent)
    assert told.status_code == 422 and sentence in told.json()["detail"]
    assert "/tmp" not in told.json()["detail"] and "elision-" not in told.json()["detail"]


def test_a_truncated_clip_and_a_modality_twice_are_refused(client, run):
    told = client.post("/predict", files={"visual": ("a.mp4", clip(run)[:3000])})
    assert told.status_code == 422 and "'visual' is a truncated or damaged mp4" in told.json()["detail"]
    both = {"recording": ("a.mp4", clip(run)), "audio": ("a.mp4", clip(run))}
    told = client.post("/predict", files=both)
    assert told.status_code == 422 and "'audio' of sample '0' is given twice" in told.json()["detail"]
    assert client.post("/predict", files={"audio": ("a.mp4", clip(run))}).status_code == 200


def test_the_schema_and_the_page_offer_files(client):
    assert {m: t["takes"] for m, t in client.get("/schema").json()["modalities"].items()} == {
        "visual": "recording", "audio": "recording", "pulse": "numbers",
    }  # fmt: skip
    assert client.get("/").text.count('type="file"') == 3, "of each, and of both together"


def test_a_decoder_that_ends_or_hangs_is_started_again(run):
    decoder = Decoder()
    asked = Recordings({"audio": run.parent / "c0.mp4"}, SETTINGS, "0")
    try:
        assert set(decoder(asked, 60).values) == {"audio"}
        (worker,) = decoder._workers
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.join()
        assert set(decoder(asked, 60).values) == {"audio"}, "it ended while it waited"
        os.kill(decoder._workers[0].process.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            decoder(asked, 0.3)
        assert not decoder._workers, "it is ended, not waited for"
        stopped = Decoder()
        stopped(asked, 60)
        worker = stopped._workers[0]
        os.kill(worker.process.pid, signal.SIGSTOP)
        worker.give, given = lambda task: (given(task), os.kill(worker.process.pid, signal.SIGKILL)), worker.give
        with pytest.raises(InputError, match="decoding them ended the process"):
            stopped(asked, 60)
    finally:
        decoder.close()
        stopped.close()


def test_a_model_of_recordings_is_exported(run, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from elision.serving.export import export_onnx

    assert export_onnx(run, tmp_path / "m.onnx", ["visual", "pulse"]) <= 1e-5
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    assert {i.name: i.type for i in session.get_inputs()} == {"visual": "tensor(uint8)", "pulse": "tensor(float)"}
