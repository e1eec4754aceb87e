"""A service over HTTP: predictions, refusals, many clients at once, counts, and its end."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.request import StepError
from buildsys.backends.kit.serve.server import LOOPBACK, Server, alive, family
from buildsys.backends.kit.serve.wire import array_of, encode
from buildsys.backends.service import worker
from buildsys.backends.service.rules import ServiceOptions
from tests.support.describing import GRAY, WRITTEN, describe
from tests.support.harness import Result, interpreter, run_worker
from tests.support.models import small_onnx as small

pytestmark = pytest.mark.toolchain

CLIENTS, SECONDS = 64, 2.0
LOCK = Path(worker.__file__).with_name("lock.txt")


def make(inputs: dict[str, Path], version: str = "1.2.0", seed: str = "0", **given: Any) -> Result:
    return run_worker(
        "service",
        "service",
        "worker:make",
        inputs=inputs,
        options={
            "ports": small.PORTS,
            "outputs": small.OUTPUTS,
            "scheme": None,
            "format": ServiceOptions(**given).model_dump(mode="json"),
            "metadata": {**small.METADATA, "version": version},
        },
        hash_seed=seed,
    )


def measure(made: Result, samples: Path) -> Result:
    return run_worker(
        "service",
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": made.artifact, "io": made.outputs["io"], "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options={
            "ports": small.PORTS,
            "outputs": small.OUTPUTS,
            "dynamic": True,
            "runtime_module": "service.runtime",
            "latency": {"warmup": 1, "runs": 5},
        },
    )


def start(folder: Path, log: Path, **variables: str) -> Server:
    command = [str(interpreter("service")), "-s", "-m", "app", "--host", LOOPBACK, "--port", "0"]
    environ = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    environ |= variables
    server = Server(command, folder, log, environ)

    def ready() -> bool:
        found = re.search(r"listening on \S+:(\d+)", server.said())
        server.port = int(found[1]) if found else 0
        return found is not None and server.answers("/health")

    server.wait(ready, 120, "the service")
    return server


def started(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A start that should fail at once."""
    command = [str(interpreter("service")), "-s", "-B", "-m", "app", "--port", "0"]
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, env=variables
        )
    except subprocess.TimeoutExpired:
        for pid in of_folder(folder):  # What a supervisor started outlives it.
            os.kill(pid, signal.SIGKILL)
        raise


def of_folder(folder: Path) -> set[int]:
    """The processes that work in a folder, which is nobody else's."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(folder):
                found.add(int(entry.name))
        except OSError:  # It is gone, or another user's.
            continue
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return small.write(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path]) -> Result:
    return make(inputs, max_batch=4, max_body_mib=1, workers=2)


@pytest.fixture(scope="module")
def server(made: Result, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(made.artifact, tmp_path_factory.mktemp("log") / "log.txt")
    yield running
    pids = family(running.pid)
    assert len(pids) >= 3  # The supervisor and two that answer.
    running.stop()
    assert not [pid for pid in pids if alive(pid)]


def counts(server: Server) -> dict[str, float]:
    status, text = server.ask("GET", "/metrics")
    assert status == 200
    rows = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text.decode(), re.MULTILINE)
    return {name: float(value) for name, value in rows}


def predict(server: Server, body: Any) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = server.ask("POST", "/predict", raw)
    return status, json.loads(answer)


def asked(rows: int, length: int, seed: int) -> tuple[dict[str, Any], Any]:
    feed = small.feed(rows, length, seed)
    return feed, {"inputs": {name: encode(array) for name, array in feed.items()}}


def test_predictions_over_http_are_the_models(made: Result, tmp_path: Path) -> None:
    feed = small.feed(9, 7, seed=1)
    arrays.save(tmp_path / "in.npz", feed)
    before = of_folder(made.artifact)
    got = measure(made, tmp_path / "in.npz")
    run = got.json("run")
    assert run["runtime"].startswith("uvicorn ")
    assert (
        run["peak_rss_bytes"] > 100 * 2**20
    )  # Of the processes that serve, not of the one that asks.
    want = small.expected(feed)
    for name, array in got.arrays().items():
        assert array.dtype == want[name].dtype
        assert np.allclose(array.astype(float), want[name], rtol=1e-6, atol=1e-6)
    assert of_folder(made.artifact) == before


def test_an_answer_tells_which_model_it_was(server: Server, inputs: dict[str, Path]) -> None:
    import hashlib

    digest = hashlib.sha256(inputs["artifact"].read_bytes()).hexdigest()
    model = {"name": "net", "release": "1.2.0", "sha256": digest}
    feed, body = asked(2, 5, seed=2)
    status, answer = predict(server, body)
    assert status == 200
    assert answer["model"] == model
    np.testing.assert_allclose(
        array_of(answer["outputs"]["y"], "float32"), small.expected(feed)["y"], rtol=1e-6, atol=1e-6
    )
    assert json.loads(server.ask("GET", "/health")[1]) == {"status": "ok", "model": model}
    told = json.loads(server.ask("GET", "/openapi.json")[1])
    assert told["info"] == {"title": "net", "version": "1.2.0"}
    schema = told["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert schema["properties"]["inputs"]["properties"]["x"]["maxItems"] == 4


def changed(**inputs: Any) -> Any:
    _, body = asked(2, 5, seed=3)
    body["inputs"] |= inputs
    return body


@pytest.mark.parametrize(
    ("body", "status", "at", "message"),
    [
        (b"{not json", 422, None, "the body is not JSON: Expecting property name"),
        (b'{"inputs": {"x": [[NaN, 0, 0]]}}', 422, None, "`NaN` is not JSON"),
        ([1], 422, None, "the body must be an object"),
        (changed(z=[1]), 422, "z", "there is no such input; the model takes `x`, `ids`"),
        ({"inputs": {"x": [[1, 2, 3]]}}, 422, "ids", "is missing"),
        (changed(x=[[1, 2]]), 422, "x", "axis 1 has the size 2, and must have 3"),
        (changed(x=[1, 2, 3]), 422, "x", "has 1 axes, and must have 2: [N, 3]"),
        (changed(x=[[1, 2, 3]] * 5), 422, "x", "axis 0 (`N`) has the size 5, and takes 1 to 4"),
        (
            changed(ids=[[0] * 13] * 2),
            422,
            "ids",
            "axis 1 (`T`) has the size 13, and takes 1 to 12",
        ),
        (changed(ids=[[0.5] * 5] * 2), 422, "ids", "takes int64, and 0.5 at [0, 0] is not one"),
        (changed(ids=[[8] * 5] * 2), 422, "ids", "8 at [0, 0] is not within 0..7"),
        (
            changed(x=[["Infinity", 0, 0]] * 2),
            422,
            "x",
            "Infinity at [0, 0]: numbers must be finite",
        ),
        (b"[" + b"1," * 2**20 + b"1]", 413, None, "the body weighs more than 1048576 bytes"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    server: Server, body: Any, status: int, at: str | None, message: str
) -> None:
    got, answer = predict(server, body)
    assert (got, answer["input"]) == (status, at)
    assert answer["detail"].removeprefix(f"input `{at}`: ").startswith(message)
    assert answer["model"]["release"] == "1.2.0"


def client(port: int, seed: int, until: float) -> list[float]:
    """Asks until the time is over; the seconds that each right answer took."""
    feed, body = asked(1 + seed % 4, 1 + seed % 12, seed)
    text, want = json.dumps(body), small.expected(feed)
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    seconds: list[float] = []
    while not seconds or time.monotonic() < until:
        began = time.perf_counter()
        connection.request("POST", "/predict", text)
        answer = connection.getresponse()
        outputs = json.loads(answer.read())["outputs"]
        seconds.append(time.perf_counter() - began)
        assert answer.status == 200
        np.testing.assert_allclose(np.float32(outputs["y"]), want["y"], rtol=1e-6, atol=1e-6)
        assert np.array_equal(outputs["positive"], want["positive"])
    connection.close()
    return seconds


def test_many_clients_at_once_and_every_one_is_counted(server: Server) -> None:
    before = counts(server)
    until = time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = [pool.submit(client, server.port, seed, until) for seed in range(CLIENTS)]
        each = [future.result() for future in answers]
    for refused in range(3):
        assert predict(server, changed(x=refused))[0] == 422
    seconds = [second for answered in each for second in answered]
    after = counts(server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown('predict_requests_total{code="200"}') == len(seconds)
    assert grown('predict_requests_total{code="422"}') == 3
    assert grown("predict_seconds_count") == len(seconds)
    assert grown("predict_rows_total") == sum(len(a) * (1 + s % 4) for s, a in enumerate(each))
    (info,) = [name for name in after if name.startswith("model_info")]
    assert 'release="1.2.0"' in info
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    print(f"{CLIENTS} clients, {len(seconds)} answers: p50 {p50:.1f} ms, p95 {p95:.1f} ms")


def test_equal_bytes_in_another_folder_and_hash_seed(inputs: dict[str, Path], made: Result) -> None:
    again = make(inputs, max_batch=4, max_body_mib=1, workers=2, seed="7")
    one, two = (
        {
            str(p.relative_to(r.artifact)): p.read_bytes()
            for p in r.artifact.rglob("*")
            if p.is_file()
        }
        for r in (made, again)
    )
    assert one == two
    assert len(one) == 17
    assert not [name for name, data in one.items() if b"modelbuild-steps" in data]


def test_it_is_shipped_with_the_pins_it_is_verified_with(made: Result) -> None:
    assert (made.artifact / "requirements.txt").read_bytes() == LOCK.read_bytes()
    assert all("--hash=sha256:" in pin for pin in re.split(r"\n(?=\w)", LOCK.read_text())[1:])
    held = "the toolchain holds none"
    with pytest.raises(StepError, match=held):  # Our own environment is not that toolchain.
        worker._requirements()


def test_a_finished_service_is_told_of_labels(inputs: dict[str, Path]) -> None:
    made = make(inputs)
    names = ["a", "b", "c", "d"]
    told = describe("service", "service", made, labels={"y": names}, preprocess={"x": GRAY})
    before, after = (
        {
            str(p.relative_to(r.artifact)): p.read_bytes()
            for p in r.artifact.rglob("*")
            if p.is_file()
        }
        for r in (made, told)
    )
    assert {name for name in after if after[name] != before.get(name)} == {"io.json"}
    assert len(after) == len(before)
    record = json.loads(after["io.json"])
    assert [port["labels"] for port in record["outputs"]] == [names, None]
    assert [port["preprocess"] for port in record["inputs"]] == [WRITTEN, None]
    assert record["inputs"][1]["range"] == [0, 7]
    assert told.io.outputs[0].labels == names
    refused = describe("service", "service", made, labels={"y": names[1:]})
    assert refused.field == "outputs.y.labels"


def test_the_image_is_made_of_what_is_there(made: Result) -> None:
    text = (made.artifact / "Dockerfile").read_text()
    assert "{" not in text
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        assert (made.artifact / source).exists()
    assert 'CMD ["python", "-m", "app"]' in text
    assert "EXPOSE 8000" in text
    readme = (made.artifact / "README.md").read_text()
    assert "| `ids` | input | int64 | [N, T] | N 1..4, T 1..12, values 0..7 |" in readme
    for source in (made.artifact / "app").glob("*.py"):
        compile(source.read_text(), str(source), "exec")


def test_its_sockets_say_that_they_are_tcp(made: Result) -> None:
    """Else Nagle's algorithm is on, and each answer on a kept connection takes 40 ms."""
    code = "import socket; from app.__main__ import listener; print(listener('127.0.0.1', 0).proto)"
    command = [str(interpreter("service")), "-s", "-B", "-c", code]
    done = subprocess.run(
        command, cwd=made.artifact, capture_output=True, text=True, check=True, env={}
    )
    assert int(done.stdout) == socket.IPPROTO_TCP


def test_the_service_is_ended_after_a_failure(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = make(inputs)
    feed = small.feed(3, 5, seed=1)
    arrays.save(tmp_path / "in.npz", {**feed, "ids": feed["ids"] + 8})
    refused = measure(made, tmp_path / "in.npz")
    assert "the service refuses a sample (422): input `ids`" in refused.message
    assert refused.field == "samples"
    assert of_folder(made.artifact) == set()


def another(path: Path) -> None:
    path.write_bytes(b"another")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (Path.unlink, "model/model.onnx", "cannot read {}: No such file or directory"),
        (folder, "model/model.onnx", "cannot read {}: Is a directory"),
        (another, "model/model.onnx", "{} has the sha256 "),
        (Path.unlink, "io.json", "cannot read {}: No such file or directory"),
        (another, "service.json", "{} is not JSON: "),
    ],
)
def test_a_service_without_its_files_says_so_and_does_not_listen(
    made: Result, tmp_path: Path, damage: Callable[[Path], None], file: str, message: str
) -> None:
    service = shutil.copytree(made.artifact, tmp_path / "service")
    damage(service / file)
    done = started(service)
    assert done.returncode == 1
    assert done.stdout == ""  # Where it listens is its first line.
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: " + message.format(service / file))
    assert of_folder(service) == set()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_no_time_is_refused(made: Result, seconds: str) -> None:
    done = started(made.artifact, REQUEST_TIMEOUT=seconds)
    assert done.returncode == 1
    said = f"error: REQUEST_TIMEOUT must be a number of seconds above 0, and is {seconds!r}"
    assert done.stderr.splitlines() == [said]


@pytest.fixture(scope="module")
def impatient(
    inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log.txt"
    running = start(make(inputs).artifact, log, REQUEST_TIMEOUT="0.5")
    yield running
    running.stop()
    assert "Traceback" not in running.said()


HEADERS = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n"


def until_closed(connection: socket.socket) -> bytes:
    """What still comes. A connection that is never closed fails by the socket's own timeout."""
    got = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            got += chunk
    return got


def connect(server: Server) -> socket.socket:
    return socket.create_connection((LOOPBACK, server.port), timeout=30)


@pytest.mark.parametrize("sent", [b'{"inputs": ', b""])
def test_a_body_that_stalls_is_answered_by_408_and_dropped(impatient: Server, sent: bytes) -> None:
    before = counts(impatient).get('predict_requests_total{code="408"}', 0)
    with connect(impatient) as connection:
        connection.sendall(HEADERS + b"\r\n" + sent)
        head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    answer = json.loads(body)
    assert answer["detail"] == "the body was not sent within 0.5 seconds"
    assert answer["model"]["name"] == "net"
    assert counts(impatient)['predict_requests_total{code="408"}'] == before + 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /pre",
        HEADERS,
        b"GET /health HTTP/1.1\r\nHost: here\r\n\r\nGET /hea",
        b"POST /health HTTP/1.1\r\nHost: here\r\nContent-Length: 999\r\n\r\n",
    ],
    ids=["nothing", "line", "headers", "second", "unread-body"],
)
def test_a_client_that_trickles_is_dropped(impatient: Server, sent: bytes) -> None:
    """A byte now and then keeps no connection open: the pause between two requests is not what is limited."""
    with connect(impatient) as connection, suppress(ConnectionError):
        connection.sendall(sent)
        connection.settimeout(0.1)
        for _ in range(100):
            with suppress(TimeoutError):
                if connection.recv(65536) == b"":
                    break
                continue
            if sent:
                connection.sendall(b"a")
        else:
            pytest.fail("it is still connected after 100 bytes")
    assert impatient.ask("GET", "/health")[0] == 200


def test_a_client_that_does_not_read_its_answer_is_dropped(impatient: Server) -> None:
    """Its answers would stay in the service's memory for ever."""
    request = b"GET /openapi.json HTTP/1.1\r\nHost: here\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((LOOPBACK, impatient.port))
        with pytest.raises(ConnectionError):
            connection.sendall(request * 100_000)


def test_a_client_that_keeps_its_connection_is_served(impatient: Server) -> None:
    """The time for a request does not run between two requests, nor while a slow body is on its way."""
    _, body = asked(2, 5, seed=4)
    text = json.dumps(body)
    connection = http.client.HTTPConnection(LOOPBACK, impatient.port, timeout=60)
    for _ in range(3):
        connection.request("POST", "/predict", iter([text[:9].encode(), text[9:].encode()]))
        answer = connection.getresponse()
        assert (answer.status, "outputs" in json.loads(answer.read())) == (200, True)
        port = connection.sock.getsockname()[1]
        time.sleep(0.7)
    assert connection.sock.getsockname()[1] == port
    connection.close()


@pytest.mark.parametrize("most", [65, 1000])
def test_a_batch_beyond_the_dim_is_refused(inputs: dict[str, Path], most: int) -> None:
    refused = make(inputs, max_batch=most)
    assert refused.message == f"`max_batch` is {most}, and `N` goes from 1 to 64"
    assert refused.field == "options.max_batch"
