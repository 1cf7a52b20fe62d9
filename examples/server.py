"""Serve a saved model over HTTP: `python examples/server.py model.e1d [--port 8000]`. It needs NumPy alone.

    curl http://127.0.0.1:8000/health
    curl http://127.0.0.1:8000/predict -d '{"rows": [[5.1, 3.5, 1.4, 0.2]]}'

A row is a list in the order of the features or, where the model knows their names, an object; null is a missing value.
The server has no TLS, no users and no limit of requests at a time, so it listens on this machine alone: put a proxy in
front that has them. With `load(...).compile()` it answers in C.
"""

import argparse
import json
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from ensemble_1d import Predictor, load

BODY_LIMIT = 2**20
METHODS = {"/health": "GET", "/predict": "POST"}


def numbers(row: Any, names: tuple[str, ...]) -> list[float | None]:
    """Return the values of a row, or say in a ValueError what is wrong with it."""
    if isinstance(row, dict) and set(row) != set(names):
        raise ValueError(f"a row names the features {list(row)!s:.200}; the model knows {list(names)}")
    values: Any = [row[name] for name in names] if isinstance(row, dict) else row
    if not isinstance(values, list) or not all(isinstance(value, float | None) for value in values):
        raise ValueError(f"a row is {row!r:.200}; give a list of numbers, with null where one is missing")
    return values


def answers(predictor: Predictor, body: bytes) -> dict[str, Any]:
    """Return labels and probabilities, or values, of the rows in a request."""
    request = json.loads(body, parse_int=float, parse_constant=str)  # NaN is no number in JSON, but Python reads it.
    rows = request.get("rows") if isinstance(request, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ValueError('the request has no list of rows; send {"rows": [[1.5, 2.5, ...], ...]}')
    X = np.array([numbers(row, predictor.program.feature_names or ()) for row in rows], np.float64)
    classes = predictor.program.classes
    if classes is None:
        return {"values": predictor.predict(X).tolist()}
    probabilities = predictor.predict_proba(X)
    return {"labels": classes[probabilities.argmax(axis=1)].tolist(), "probabilities": probabilities.tolist()}


class Handler(BaseHTTPRequestHandler):
    """Answers each request with a line of JSON."""

    predictor: Predictor
    timeout = 10  # Seconds that a silent client may hold a thread.

    def handle(self) -> None:
        """Answer a request; a client that goes away is no fault."""
        with suppress(ConnectionError):
            super().handle()

    def do_request(self) -> None:
        """Answer, or name the fault."""
        method, length = METHODS.get(self.path), self.headers.get("Content-Length", "")
        if method is None:
            self.send_error(404, "there are GET /health and POST /predict")
        elif self.command != method:
            self.send_error(405, f"{self.path} takes {method}")
        elif method == "GET":
            self.reply(200, {"status": "ok", "model": str(self.predictor.summary())})
        elif not length.isdecimal():
            self.send_error(411, "say in Content-Length how many bytes the body has")
        elif len(length) > len(str(BODY_LIMIT)) or int(length) > BODY_LIMIT:
            self.send_error(413, f"the body has over {BODY_LIMIT} bytes; send fewer rows at a time")
        else:
            try:
                self.reply(200, answers(self.predictor, self.rfile.read(int(length))))
            except (ValueError, RecursionError) as fault:
                self.send_error(400, str(fault))

    # Names that http.server looks for.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_request  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a fault."""
        self.reply(code, {"error": message or explain or HTTPStatus(code).phrase})

    def reply(self, code: int, answer: dict[str, Any]) -> None:
        """Send one line of JSON."""
        line = json.dumps(answer, allow_nan=False).encode() + b"\n"
        self.send_response(code)
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", METHODS[self.path])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(line)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(line)


def main() -> None:
    """Load the model and answer until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="what save() wrote")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    arguments = parser.parse_args()
    try:
        Handler.predictor = load(arguments.model)
        server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    except OSError as fault:
        parser.error(str(fault))
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
