"""A served model answers what the model says, refuses with a sentence what it cannot use, and lives on."""

import json
import sys
import time
import urllib.request

import numpy as np
import pandas as pd
import pytest

import elision
from elision import InputError, MultimodalClassifier
from elision.serving.answers import respondent
from elision.serving.application import Limits, application
from elision.serving.requests import MOST_SAMPLES, Taken, read_json, read_value
from served import patients, served

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx2")
from starlette.testclient import TestClient  # noqa: E402

SMALL = Limits(megabytes=0.25, seconds=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return patients(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def client(run):
    with TestClient(application(respondent(run), SMALL), raise_server_exceptions=False) as client:
        yield client


LAB = {"lab.a": 2.0, "lab.b": 1.5}


def test_an_answer_is_what_the_model_says(client, run):
    model = elision.load(run)
    sent = {"id": "p1", "modalities": {"lab": LAB, "gait": [1.0, None, 3.0]}, "coverage": 0.8}
    (told,) = client.post("/predict", json=sent).json()["predictions"]
    X = pd.DataFrame([{**LAB, "gait.a": 1.0, "gait.b": np.nan, "gait.c": 3.0, "voice.a": np.nan}])
    np.testing.assert_allclose(list(told["probabilities"].values()), model.predict_proba(X)[0])
    assert list(told["probabilities"]) == model.classes_.tolist() and told["label"] == model.predict(X)[0]
    assert told["set"] == list(model.predict_set(X, 0.8)["classes"][0]) and told["coverage"] == 0.8
    assert (told["id"], told["used"], told["missing"]) == ("p1", ["lab", "gait"], ["voice"])
    value = model.value_of(X)
    assert told["measure_next"] == value[["modality", "nats", "accuracy"]].to_dict("records")


def test_samples_of_a_batch_show_what_they_show(client):
    """Each as if asked about alone, an empty one among them: then the prior answers, and what to measure first."""
    sets = [{"lab": LAB}, {}, {"voice": 1.0, "gait": None}, {"lab": [2.0, 1.5], "gait": [0, 0, 0], "voice": [True]}]
    together = client.post("/predict", json={"samples": [{"modalities": s} for s in sets]}).json()["predictions"]
    assert [told["used"] for told in together] == [["lab"], [], ["voice"], ["lab", "gait", "voice"]]
    assert [told["id"] for told in together] == list("0123")
    assert len(together[1]["measure_next"]) == 3 and together[3]["measure_next"] == []
    for told, shown in zip(together, sets, strict=True):
        (alone,) = client.post("/predict", json={"modalities": shown}).json()["predictions"]
        np.testing.assert_allclose(list(told["probabilities"].values()), list(alone["probabilities"].values()))
        assert [m["modality"] for m in told["measure_next"]] == [m["modality"] for m in alone["measure_next"]]


def test_a_form_says_the_same_as_json(client):
    form = {"lab": (None, json.dumps(LAB)), "coverage": (None, "0.8")}
    expected = client.post("/predict", json={"modalities": {"lab": LAB}, "coverage": 0.8}).json()
    assert client.post("/predict", files=form).json() == expected
    several = client.post("/predict", files={"a/lab": (None, "[2, 1.5]"), "b/voice": (None, "1")}).json()
    assert [(told["id"], told["used"]) for told in several["predictions"]] == [("a", ["lab"]), ("b", ["voice"])]


MALFORMED = {
    "an empty body": (b"", "empty: expected JSON"),
    "no JSON": (b"{", "no JSON"),
    "no text": (b"\xff\xfe{}", "no JSON"),
    "a list": (b"[]", "is a JSON list"),
    "null": (b"null", "is a JSON null"),
    "too deep": (b"[" * 100_000, "nested too deeply"),
    "a number too long": (b'{"modalities": {"voice": ' + b"9" * 5000 + b"}}", "no JSON"),
    "a number too large": (b'{"modalities": {"voice": ' + b"9" * 400 + b"}}", "beyond 1.8e308"),
    "infinite by its exponent": (b'{"modalities": {"voice": 1e999}}', "beyond 1.8e308"),
    "NaN": (b'{"modalities": {"voice": NaN}}', "holds NaN, which is no number of JSON: write null"),
    "infinity": (b'{"modalities": {"voice": -Infinity}}', "holds -Infinity"),
    "a modality twice": (b'{"modalities": {"voice": 1, "voice": 2}}', "gives 'voice' twice: give it once"),
    "no modalities": (b'{"lab": [1, 2]}', "has 'lab': expected 'modalities'"),
    "modalities as a list": (b'{"modalities": [1]}', "is a list: expected name -> value"),
    "no samples": (b'{"samples": []}', "no list of samples"),
    "samples and another": (b'{"samples": [{}], "id": "x"}', "'id' beside it"),
    "a sample that is a number": (b'{"samples": [1]}', "sample 0 is a number"),
    "two of one id": (b'{"samples": [{"id": 1, "modalities": {}}, {"id": "1", "modalities": {}}]}', "to 2 samples"),
    "an unknown modality": (b'{"modalities": {"eyes": 1}}', "'eyes' of sample '0' is unknown: the model takes lab"),
    "a wrong shape": (b'{"modalities": {"lab": [1]}}', "has shape (1,): expected (2,) ('lab.a', 'lab.b')"),
    "too deep a list": (b'{"modalities": {"lab": [[1, 2], [3]]}}', "holds a list: expected numbers"),
    "an unknown column": (b'{"modalities": {"lab": {"lab.a": 1, "lab.c": 2}}}', "has 'lab.c', which is no column"),
    "a column too few": (b'{"modalities": {"lab": {"lab.a": 1}}}', "lacks column 'lab.b'"),
    "text": (b'{"modalities": {"voice": "1"}}', "holds a text: expected numbers"),
    "a coverage of text": (b'{"modalities": {}, "coverage": "most"}', "coverage is a text"),
    "a coverage beyond 1": (b'{"modalities": {}, "coverage": 2}', "coverage is 2"),
    "a coverage too high to calibrate": (b'{"modalities": {}, "coverage": 0.999}', "0.999 needs"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_used_is_refused_with_a_sentence(client, name):
    body, sentence = MALFORMED[name]
    told = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert told.status_code == 422 and sentence in told.json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "sentence"),
    [
        (b"lab=1", "application/x-www-form-urlencoded", "expected application/json"),
        (b"x", "multipart/form-data", "Missing boundary"),
        (b"x", "multipart/form-data; boundary=b", "cannot be read"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", "no part"),
        (b'--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n', "multipart/form-data; boundary=b", "name"),
    ],
)  # fmt: skip
def test_a_body_of_another_kind_is_refused(client, content, kind, sentence):
    told = client.post("/predict", content=content, headers={"content-type": kind})
    assert told.status_code in (415, 422) and sentence in told.json()["detail"]


def test_a_form_that_gives_a_modality_twice_or_as_a_file_is_refused(client):
    twice = client.post("/predict", files=[("lab", (None, "[1, 2]")), ("lab", (None, "[1, 2]"))])
    assert (twice.status_code, "'lab' is given twice" in twice.json()["detail"]) == (422, True)
    file = client.post("/predict", files={"lab": ("/etc/passwd", b"1,2")})
    assert (file.status_code, "was sent as a file: expected numbers" in file.json()["detail"]) == (422, True)


def test_too_much_is_refused_and_the_server_lives_on(client):
    for content in (b" " * 300_000, iter([b" " * 100_000] * 3)):  # with its length said, and without
        told = client.post("/predict", content=content, headers={"content-type": "application/json"})
        assert (told.status_code, "expected at most 0.25" in told.json()["detail"]) == (413, True)
    big = client.post("/predict", files={"lab": ("x", b"0" * 300_000)})
    assert big.status_code == 413
    many = client.post("/predict", json={"samples": [{"modalities": {}}] * (MOST_SAMPLES + 1)})
    assert (many.status_code, "at most 1000" in many.json()["detail"]) == (422, True)
    assert client.get("/health").json()["status"] == "ok"


def test_what_takes_too_long_is_given_up(run, monkeypatch):
    model = respondent(run)
    monkeypatch.setattr(model, "answer", lambda question, seconds: time.sleep(0.4))
    with TestClient(application(model, Limits(seconds=0.05))) as client:
        told = client.post("/predict", json={"modalities": {}})
        assert (told.status_code, "could not be answered within 0.05 s" in told.json()["detail"]) == (503, True)
        assert client.get("/health").status_code == 200


def test_the_schema_and_the_interface_say_what_is_taken(client):
    schema = client.get("/schema").json()
    assert schema["classes"] == ["<b>well</b>", "ill"] and schema["lacks"] == ""
    assert schema["modalities"]["lab"]["columns"] == ["lab.a", "lab.b"]
    assert 0 < schema["modalities"]["lab"]["typical"][0] < 2
    interface = client.get("/openapi.json").json()
    body = interface["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body["multipart/form-data"]["schema"]["properties"]) == {"lab", "gait", "voice"}
    assert "Answer" in interface["components"]["schemas"]
    assert client.get("/docs").status_code == 404, "FastAPI's own page loads scripts from elsewhere"


def test_the_page_is_whole_and_escaped(client):
    page = client.get("/")
    assert page.status_code == 200 and "https://" not in page.text and "src=" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text.count('class="column"') == 6


SAVED = {
    "a dict of arrays": (lambda X: X, {"image": [[1, 2], [None, 4]], "lab": [1, 2, 3]}),
    "a dict of frames": (lambda X: {m: pd.DataFrame(a.reshape(len(a), -1)).add_prefix("c") for m, a in X.items()},
                         {"image": {"c1": 2, "c0": 1, "c2": None, "c3": 4}, "lab": [1, 2, 3]}),
    "a table without names": (lambda X: np.hstack([X["image"].reshape(-1, 4), X["lab"]]),
                              {"image": [1, 2, None, 4], "lab": [1, 2, 3]}),
    "a table of one modality": (lambda X: pd.DataFrame(X["lab"], columns=list("abc")), {"x": {"a": 1, "b": 2, "c": 3}}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAVED)
def test_a_saved_model_of_any_input_answers(tmp_path, kind):
    make, sent = SAVED[kind]
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = {"image": rng.normal(size=(60, 2, 2)) + y[:, None, None], "lab": rng.normal(size=(60, 3)) - y[:, None]}
    asked = {"image": np.array([[[1, 2], [np.nan, 4.0]]]), "lab": np.array([[1, 2, 3.0]])}
    named = {
        "a table without names": {"image": slice(0, 4), "lab": slice(4, 7)},
        "a table of one modality": {"x": slice(None)},
    }
    modalities = named.get(kind)
    model = MultimodalClassifier(encoders="linear", max_steps=20, modalities=modalities, random_state=0)
    model.fit(make(X), y).save(tmp_path / "model")
    with TestClient(application(respondent(tmp_path / "model"))) as client:
        (told,) = client.post("/predict", json={"modalities": sent}).json()["predictions"]
        assert told["set"] is None and "not calibrated" in client.get("/schema").json()["lacks"]
        empty = client.post("/predict", json={"modalities": {}}).json()["predictions"][0]
    expected = model.predict_proba(make(asked))[0]
    np.testing.assert_allclose(list(told["probabilities"].values()), expected, rtol=1e-9)
    np.testing.assert_allclose(list(empty["probabilities"].values()), model.class_prior_, atol=0.2)


KINDS = {
    "a table": lambda frame: frame,
    "a dict of frames": lambda frame: {"m": frame[["n", "sex"]], "o": frame[["size"]]},
    "a dict of arrays": lambda frame: {"m": frame[["n", "sex"]].to_numpy(dtype=object), "o": frame[["size"]]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_categories_are_sent_as_their_values(tmp_path, kind):
    rng, n = np.random.default_rng(0), 60
    y = np.arange(n) % 2
    frame = pd.DataFrame({"n": rng.normal(size=n) + y, "sex": np.array(["f", "m"])[(y + (rng.random(n) < 0.3)) % 2]})
    frame["size"] = pd.Categorical(np.array(["S", "M", "L"])[rng.integers(3, size=n)], ["S", "M", "L"], ordered=True)
    modalities = {"m": ["n", "sex"], "o": ["size"]} if kind == "a table" else None
    model = MultimodalClassifier(encoders="linear", max_steps=20, modalities=modalities, random_state=0)
    model.fit(KINDS[kind](frame), y).save(tmp_path / "model")
    with TestClient(application(respondent(tmp_path / "model"))) as client:
        told = client.post("/predict", json={"modalities": {"m": [0.5, "m"], "o": ["L"]}}).json()["predictions"][0]
        shown = frame.iloc[:1].assign(n=0.5, sex="m", size="L")
        expected = model.predict_proba(KINDS[kind](shown))[0]
        np.testing.assert_allclose(list(told["probabilities"].values()), expected, rtol=1e-9)
        assert client.post("/predict", json={"modalities": {"m": [None, "f"]}}).status_code == 200
        wrong = client.post("/predict", json={"modalities": {"m": [0.5, "x"]}})
        assert (wrong.status_code, "holds 'x': training showed there 'f', 'm'" in wrong.json()["detail"]) == (422, True)
        assert client.get("/schema").json()["modalities"]["m"]["categories"] == {"1": ["f", "m"]}
        assert "<select" in client.get("/").text


def test_the_page_says_what_a_blank_takes(tmp_path):
    X = {"a": np.random.default_rng(0).normal(size=(40, 2)), "b": np.arange(40.0)}
    for impute, told in (("mean", "counts as its mean"), ("knn", "is imputed (knn)")):
        MultimodalClassifier(encoders="linear", max_steps=2, impute=impute).fit(X, np.arange(40) % 2).save(
            tmp_path / impute
        )
        with TestClient(application(respondent(tmp_path / impute))) as client:
            assert told in client.get("/").text


def test_a_model_without_the_joint_objective_says_what_it_lacks(tmp_path):
    rng = np.random.default_rng(0)
    X, y = {"a": rng.normal(size=(40, 1)), "b": rng.normal(size=(40, 1))}, np.arange(40) % 2
    model = MultimodalClassifier(encoders="linear", max_steps=9, objective="conditional", random_state=0).fit(X, y)
    model.save(tmp_path / "model")
    with TestClient(application(respondent(tmp_path / "model"))) as client:
        assert client.post("/predict", json={"modalities": {"a": 1}}).json()["predictions"][0]["measure_next"] is None
        assert "what to measure next" in client.get("/schema").json()["lacks"]


def test_every_cell_of_a_value_is_checked():
    assert np.isnan(read_value([1, None], Taken("numbers", [2]), "x")).tolist() == [False, True]
    with pytest.raises(InputError, match="x is an object, and its columns have no names"):
        read_value({"a": 1}, Taken("numbers", [1]), "x")
    assert read_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


def test_the_command_binds_to_this_machine_and_answers(run):
    with served(run) as (address, process):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}/health") as told:
            assert json.load(told)["model"] == "run"
        big = httpx.post(f"{address}/predict", content=b" " * (100 * 2**20), timeout=60)
        assert (big.status_code, "has 100.0 MB: expected at most 64" in big.json()["detail"]) == (413, True)
        assert httpx.get(f"{address}/health").status_code == 200 and process.poll() is None


def test_the_command_says_what_it_cannot_do(run, tmp_path, here, monkeypatch):
    code, _, err = here("serve", str(tmp_path))
    assert (code, "holds no trained model" in err) == (2, True)
    code, _, err = here("serve", str(run), "--host", "203.0.113.9")
    assert (code, "cannot be had" in err) == (2, True)
    code, _, err = here("serve", str(run), "--max-seconds", "0")
    assert (code, "seconds is 0.0: expected a number above 0" in err) == (2, True)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = here("serve", str(run))
    assert (code, "pip install 'elision[serve]'" in err) == (2, True)
