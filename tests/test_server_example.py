"""The example server: NumPy alone answers good requests, many at once too, and names the fault of every bad one."""

import http.client
import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from isolation import BACKENDS, blocking
from sklearn.linear_model import LinearRegression

from ensemble_1d import Ensemble, Predictor, RandomForestModel

SERVER = Path(__file__).parent.parent / "examples" / "server.py"
NAMES = ("width", "height", "depth", "mass", "age")

pytestmark = pytest.mark.skipif(not SERVER.exists(), reason="the examples stand in a checkout alone")


@contextmanager
def serving(path):
    """Yield the port of a server of this model, and its stderr in a list once it has ended."""
    code = f"import runpy; sys.argv = ['server.py', {str(path)!r}, '--port', '0']\n"
    code += f"runpy.run_path({str(SERVER)!r}, run_name='__main__')"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    said = []
    with subprocess.Popen([sys.executable, "-c", blocking(BACKENDS) + code], **pipes) as process:
        try:
            url = process.stdout.readline()
            assert url.startswith("http://127.0.0.1:"), process.stderr.read()
            yield int(url.rpartition(":")[2]), said
        finally:
            process.terminate()
            said.append(process.communicate(timeout=30)[1])


def ask(port, method="POST", path="/predict", body=None, headers=None):
    """Return status, headers and JSON of an answer, which is one line."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        content = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, path, content, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert method == "HEAD" or (text.endswith("\n") and text.count("\n") == 1)
        return answer.status, answer.headers, json.loads(text or "null")
    finally:
        connection.close()


def raw(port, request):
    """Return the whole answer to bytes that need be no request."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@pytest.fixture(scope="module")
def model(words):
    """What a forest of words computes; it knows the names of its features."""
    frames = pytest.importorskip("pandas")
    forest = RandomForestModel(n_estimators=10, random_state=0).fit(frames.DataFrame(words.X, columns=NAMES), words.y)
    return Predictor(forest.program())


@pytest.fixture(scope="module")
def port(model, tmp_path_factory):
    """The port of its server, which never writes a traceback."""
    with serving(model.save(tmp_path_factory.mktemp("served") / "model.e1d")) as (number, said):
        yield number
    assert "POST /predict" in said[0]
    assert "Traceback" not in said[0]


def test_rows_get_the_labels_and_probabilities_of_the_model(port, model, words):
    """In the order of the features or by their names, in any order, and whole numbers too."""
    X = np.round(words.X[:9], 3)
    status, _, answer = ask(port, body={"rows": X.tolist()})
    assert status == 200
    assert answer["labels"] == model.predict(X).tolist()
    assert np.array_equal(answer["probabilities"], model.predict_proba(X))
    objects = [dict(reversed(list(zip(NAMES, row, strict=True)))) for row in X.tolist()]
    assert ask(port, body={"rows": objects})[2] == answer
    assert ask(port, body={"rows": [[1, 0, 2, 0, 1]]})[2] == ask(port, body={"rows": [[1.0, 0.0, 2.0, 0.0, 1.0]]})[2]


def test_parallel_requests_get_their_own_answers(port, model, words):
    """Each of many threads gets the answer to its own row."""
    expected = model.predict_proba(words.X)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda row: ask(port, body={"rows": [row]}), words.X[:48].tolist()))
    assert [status for status, _, _ in found] == [200] * 48
    assert np.array_equal([answer["probabilities"][0] for _, _, answer in found], expected[:48])
    assert len(np.unique(expected[:48], axis=0)) > 3


def test_health_sums_up_the_model(port):
    """What it takes, what it answers, and what it is made of."""
    status, headers, answer = ask(port, "GET", "/health")
    assert (status, headers["Content-Type"], answer["status"]) == (200, "application/json", "ok")
    assert "5 features: width, height" in answer["model"]
    assert "10 trees" in answer["model"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        (b"\xff\xfe\xff", "codec can't decode"),
        ("[" * 100_000, "recursion"),
        ("[]", "no list of rows"),
        ("{}", "no list of rows"),
        ('{"rows": []}', "no list of rows"),
        ('{"rows": 3}', "no list of rows"),
        ('{"rows": [3]}', "a row is 3.0"),
        ('{"rows": [[]]}', "0 features"),
        ('{"rows": [[1, 2, 3]]}', "3 features; the model was fitted with 5"),
        ('{"rows": [[1, 2, 3, 4, 5], [1, 2]]}', "inhomogeneous"),
        ('{"rows": [[[1], [2], [3], [4], [5]]]}', "give a list of numbers"),
        ('{"rows": [[1, 2, 3, 4, "5"]]}', "'5']; give a list of numbers"),
        ('{"rows": [[1, 2, 3, 4, "nan"]]}', "give a list of numbers"),
        ('{"rows": [[1, 2, 3, 4, true]]}', "give a list of numbers"),
        ('{"rows": [[1, 2, 3, 4, NaN]]}', "'NaN']; give a list of numbers"),
        ('{"rows": [[1, 2, 3, 4, -Infinity]]}', "give a list of numbers"),
        ('{"rows": [[1, 2, 3, 4, 1e999]]}', "infinite"),
        (f'{{"rows": [[1, 2, 3, 4, {"9" * 5000}]]}}', "infinite"),
        ('{"rows": [{"width": 1}]}', "['width']; the model knows ['width', 'height'"),
        ('{"rows": [{"width": 1, "height": 1, "depth": 1, "mass": 1, "age": "\\n"}]}', "give a list of numbers"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_bad_bodies_are_answered_with_the_fault(port, body, said):
    """400 and one line that names it."""
    status, _, answer = ask(port, body=body)
    assert status == 400
    assert said in answer["error"]
    assert len(answer["error"]) < 600


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/", 404, "GET /health and POST /predict"),
        ("POST", "/predict/", 404, "POST /predict"),
        ("GET", "/predict", 405, "/predict takes POST"),
        ("HEAD", "/predict", 405, None),
        ("DELETE", "/predict", 405, "/predict takes POST"),
        ("POST", "/health", 405, "/health takes GET"),
        ("BREW", "/predict", 501, "Unsupported method"),
    ],
)
def test_other_paths_and_methods_are_refused(port, method, path, status, said):
    """A path that is not there, and a method that it does not take: Allow names the one that it does."""
    found, headers, answer = ask(port, method, path)
    assert found == status
    assert headers["Allow"] == ({"/predict": "POST", "/health": "GET"}[path] if status == 405 else None)
    assert said is None or said in answer["error"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /predict HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nContent-Length: many\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", 413),
        (b"POST /predict HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{", 400),
        (b"nonsense with too many words\r\n\r\n", 400),
    ],
)
def test_requests_that_break_rules_are_refused(port, request_bytes, status):
    """No length, one that is no number or too large, a body cut short, and what is no request."""
    answer = raw(port, request_bytes)
    assert f" {status} " in answer.partition("\r\n")[0] or status == 400
    assert set(json.loads(answer.splitlines()[-1])) == {"error"}


def test_clients_that_leave_do_no_harm(port):
    """A client that goes away before its answer leaves the server as it was."""
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # Closed by a reset.
            connection.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
    assert ask(port, "GET", "/health")[0] == 200


def test_regressions_answer_values(regression, tmp_path):
    """And refuse names where the model knows none, and null where it takes no missing values."""
    members = [RandomForestModel(task="regression", n_estimators=5), LinearRegression()]
    ensemble = Ensemble(members, task="regression", random_state=0).fit(regression.X, regression.y)
    with serving(ensemble.save(tmp_path / "values.e1d")) as (port, _):
        found = ask(port, body={"rows": regression.X[:3].tolist()})[2]
        assert np.array_equal(found["values"], Predictor(ensemble.program()).predict(regression.X[:3]))
        for row, said in ({"width": 1}, "the model knows []"), ([1, 2, 3, 4, None], "takes no missing values"):
            status, _, answer = ask(port, body={"rows": [row]})
            assert status == 400
            assert said in answer["error"]


def test_null_is_a_missing_value(missing, tmp_path):
    """Where the model takes them."""
    forest = RandomForestModel(n_estimators=5, random_state=0).fit(missing.X, missing.y)
    rows = [[None if np.isnan(value) else value for value in row] for row in missing.X[:5].tolist()]
    assert any(None in row for row in rows)
    with serving(forest.save(tmp_path / "gaps.e1d")) as (port, _):
        assert ask(port, body={"rows": rows})[2]["labels"] == forest.predict(missing.X[:5]).tolist()


def test_a_model_that_cannot_be_read_is_named(tmp_path):
    """The command ends with a line, not with a traceback."""
    done = subprocess.run([sys.executable, SERVER, tmp_path / "no.e1d"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no.e1d" in done.stderr
    assert "Traceback" not in done.stderr
