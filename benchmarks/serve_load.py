"""`elision serve` under load: latency of predictions at several at a time, memory, and malformed requests.

    python -m benchmarks.serve_load [--requests 1000] [--at-once 8] [--malformed 200]

A server is started on a run of a table (digits, of whose training samples a third lose a modality), asked and watched.
Fails if a malformed request is answered with 500 or above, or one that is well-formed is not answered.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import elision
from elision import TableConfig


def rss(pid: int) -> float:
    """Resident megabytes of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def post(address: str, body: bytes, kind: str = "application/json") -> tuple[int, float]:
    """Status and seconds of a request."""
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": kind})
    started = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            reply.read()
            status = reply.status
    except urllib.error.HTTPError as error:
        error.read()
        status = error.code
    return status, time.perf_counter() - started


def well_formed(schema: dict, generator: np.random.Generator) -> bytes:
    """A sample that shows a random part of the modalities, as JSON."""
    names = list(schema["modalities"])
    shown = [m for m in names if generator.random() < 0.6] or names[:1]
    values = {m: generator.normal(5, 4, schema["modalities"][m]["shape"]).round(3).tolist() for m in shown}
    return json.dumps({"modalities": values}).encode()


def malformed(good: bytes, seed: int) -> tuple[bytes, str]:
    """A request that cannot be understood: cut, with bytes changed, of another type, or with values that are none."""
    rng = random.Random(seed)
    match seed % 8:
        case 0:
            return good[: rng.randrange(len(good))], "application/json"
        case 1:
            changed = bytearray(good)
            for _ in range(5):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            return bytes(changed) + b"}", "application/json"
        case 2:
            return good.replace(b"[", b"[NaN, ", 1), "application/json"
        case 3:
            return good.replace(b'"modalities"', rng.choice([b'"samples"', b'"x"', b'""'])), "application/json"
        case 4:
            return json.dumps(rng.choice([None, 1, "a", [], {}, [{}], {"modalities": 1}])).encode(), "application/json"
        case 5:
            return rng.randbytes(rng.randrange(1, 5000)), rng.choice(["application/json", "text/plain", "a/b;c"])
        case 6:
            return rng.randbytes(500), f"multipart/form-data; boundary={rng.choice(['x', '', 'é'.encode().hex()])}"
        case _:
            head = b'--b\r\nContent-Disposition: form-data; name="' + rng.choice([b"", b"/", b"a/b", b"left"])
            body = head + b'"; filename="../../x"\r\n\r\n' + rng.randbytes(99) + b"\r\n--b--\r\n"
            return body, "multipart/form-data; boundary=b"


def ask(address: str, bodies: list[bytes], at_once: int, kind: str = "application/json") -> list[float]:
    """Seconds of every request, several at a time; all must be answered."""
    with ThreadPoolExecutor(at_once) as pool:
        replies = list(pool.map(lambda body: post(address, body, kind), bodies))
    wrong = [status for status, _ in replies if status != 200]
    if wrong:
        sys.exit(f"{len(wrong)} well-formed requests were answered with {sorted(set(wrong))}")
    return [seconds for _, seconds in replies]


def told(name: str, seconds: list[float], whole: float) -> str:
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return f"{name}: {len(seconds)} in {whole:.1f} s, {len(seconds) / whole:.0f}/s; p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--malformed", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        elision.train("digits", run, TableConfig(missing="any", rate=0.33))
        command = [sys.executable, "-m", "elision", "serve", str(run), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            address = server.stdout.readline().partition("answers at ")[2].partition(";")[0]
            try:
                load(address, server.pid, arguments)
            finally:
                server.terminate()


def load(address: str, pid: int, arguments: argparse.Namespace) -> None:
    """Ask, and print what came of it."""
    with urllib.request.urlopen(f"{address}/schema") as reply:
        schema = json.load(reply)
    generator = np.random.default_rng(0)
    ask(address, [well_formed(schema, generator) for _ in range(50)], arguments.at_once)
    memory = [rss(pid)]
    seconds: list[float] = []
    started = time.perf_counter()
    for _ in range(10):
        bodies = [well_formed(schema, generator) for _ in range(arguments.requests // 10)]
        seconds += ask(address, bodies, arguments.at_once)
        memory.append(rss(pid))
    print(told(f"JSON, {arguments.at_once} at a time", seconds, time.perf_counter() - started))
    print(f"memory after 50 requests, and then after each tenth: {', '.join(f'{m:.0f}' for m in memory)} MB")
    good = well_formed(schema, generator)
    statuses = [post(address, *malformed(good, seed))[0] for seed in range(arguments.malformed)]
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    print(f"{arguments.malformed} malformed: {counts}; memory {rss(pid):.0f} MB")
    if max(statuses) >= 500:
        sys.exit("a malformed request was answered with 500 or above")
    batch = json.dumps({"samples": [json.loads(good)] * 500}).encode()
    started = time.perf_counter()
    print(told("500 samples in one request", ask(address, [batch] * 4, 1), time.perf_counter() - started))


if __name__ == "__main__":
    main()
