"""The stage of the client tests: programs to talk to, and a listener.

It knows nothing of any client library. Everything listens on a port that the
system chose, so that any number of stages can stand side by side.
"""

import atexit
import functools
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = pathlib.Path(__file__).resolve().parent
BINARY = os.environ.get("TIDEGATE_BIN") or str(HERE.parents[1] / "target/release/tidegate")

# What configures a client or a gateway from outside has no say here.
FOREIGN = re.compile(r"^(OPENAI_|ANTHROPIC_|TIDEGATE_|AWS_|REDIS_)|_proxy$", re.IGNORECASE)
for name in filter(FOREIGN.search, list(os.environ)):
    del os.environ[name]

LISTENER_KEY = "upstream-key"
# What a gateway needs to know of the upstreams that ask for it.
CREDENTIALS = {
    "LISTENER_KEY": LISTENER_KEY,
    "ANTHROPIC_API_KEY": "upstream-anthropic-key",
    "OPENAI_UPSTREAM_KEY": "upstream-openai-key",
    "AWS_ACCESS_KEY_ID": "AKIDTIDAL",
    "AWS_SECRET_ACCESS_KEY": "upstream+secret/key",
    "PATIENT_KEY": "key-of-the-patient-tenant",
    "HASTY_KEY": "key-of-the-hasty-tenant",
}
# Nothing is left behind where the tests were started.
STORE = {"TIDEGATE__STORE__URL": "memory:"}
START_SECONDS = 20
ANNOUNCED = re.compile(r"http://(127\.0\.0\.1:\d+)")


class Program:
    """A running program, found by the address that it announces."""

    def __init__(self, *command, **environment):
        self._said = tempfile.TemporaryFile("w+")
        self._command = command
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=os.environ | STORE | environment,
        )
        atexit.register(self._process.kill)
        self.address = eventually(self._announced, START_SECONDS)

    def _announced(self):
        self._said.seek(0)
        said = self._said.read()
        if self._process.poll() is not None:
            code = self._process.returncode
            raise RuntimeError(f"{' '.join(self._command)} ended with {code}: {said}")
        found = ANNOUNCED.search(said)
        return found and found[1]

    def stop(self):
        """Asks for an orderly end and returns the exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


def mock(*flags):
    """A mock upstream."""
    return Program(BINARY, "mock", "--bind", "127.0.0.1:0", *flags)


def upstream(dialect):
    """The scripted upstream `<dialect>_upstream.py`."""
    # Bedrock's needs botocore, which is only here.
    python = HERE.parents[1] / ".venv-openai2/bin/python"
    return Program(str(python), str(HERE / f"{dialect}_upstream.py"))


def gate(name, credentials=CREDENTIALS, **upstreams):
    """A gateway with the configuration `gates/<name>.toml`, once it is ready.

    There, `{upstream}` stands for the address that is given under that name.
    """
    text = (HERE / "gates" / f"{name}.toml").read_text()
    for upstream, address in upstreams.items():
        text = text.replace("{" + upstream + "}", address)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        program = Program(BINARY, "serve", "--config", file.name, **credentials)
    eventually(lambda: ask(program.address, "GET", "/health/ready")[0] == 200, START_SECONDS)
    return program


@functools.cache
def upstreams():
    """The three scripted upstreams by their dialect, once for all tests."""
    return {dialect: upstream(dialect) for dialect in ("openai", "anthropic", "bedrock")}


@functools.cache
def home(dialect, **credentials):
    """A gateway that hands any model to the upstream of that dialect."""
    addresses = {name: program.address for name, program in upstreams().items()}
    return gate("dialects", CREDENTIALS | credentials, home=dialect, **addresses)


def ask(address, method, path):
    """Status and JSON of one request without a client library."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def stats(program):
    """What a mock has counted."""
    return ask(program.address, "GET", "/__mock/stats")[1]


def journal(program):
    """Every call of a scripted upstream since it was reset: path, headers, body, status."""
    return ask(program.address, "GET", "/__mock/journal")[1]


def reset(program):
    """Lets an upstream count and write from the beginning."""
    ask(program.address, "POST", "/__mock/reset")


def eventually(check, seconds=10):
    """The first true value of `check`, or an error after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := check()):
        if time.monotonic() > end:
            raise TimeoutError(f"{check} did not become true within {seconds} s")
        time.sleep(0.02)
    return value


def run(*clients):
    """Runs the tests of the program that was started, counts them, and ends it.

    Arguments name those that are wanted: `python openai_python.py Headers`.
    """
    print(", ".join(clients), "on Python", sys.version.split()[0], file=sys.stderr)
    main, load = sys.modules["__main__"], unittest.defaultTestLoader
    wanted = sys.argv[1:]
    suite = load.loadTestsFromNames(wanted, main) if wanted else load.loadTestsFromModule(main)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    tests = [test for test, _ in result.failures + result.errors]
    failed = {getattr(test, "test_case", test).id() for test in tests}
    skipped = len(result.skipped)
    passed = max(result.testsRun - len(failed) - skipped, 0)
    print(f"client tests: {passed} passed, {len(failed)} failed, {skipped} skipped", flush=True)
    sys.exit(not passed or bool(failed) or bool(skipped))


class Listener:
    """An upstream that keeps the headers and the body of what it was asked last."""

    def __init__(self):
        self.headers = None
        self.body = None
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                listener.headers = dict(self.headers.items())
                length = int(self.headers["content-length"])
                listener.body = json.loads(self.rfile.read(length))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(HEARD)))
                self.end_headers()
                self.wfile.write(HEARD)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


HEARD = json.dumps(
    {
        "id": "chatcmpl-heard",
        "object": "chat.completion",
        "created": 1,
        "model": "heard",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "heard"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "x_unknown_answer_field": 7,
    }
).encode()
