"""The floor under the scripted upstreams: HTTP, a journal, and an early end.

A dialect is a function from `Request` to `Reply`. Whatever an upstream is
asked is kept, and `GET /__mock/journal` lists it; `POST /__mock/reset` forgets
it, and every count of calls with it.
"""

import collections
import json
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One call. `path` is as it was sent, still encoded."""

    path: str
    headers: dict  # names in lower case
    body: bytes
    heard: object = None  # the body as a dialect read it


@dataclass
class Reply:
    """An answer: bytes, or a stream of parts.

    A stream that is `cut` ends without the end that HTTP asks for.
    """

    status: int
    body: object
    headers: dict = field(default_factory=dict)
    cut: bool = False


def as_json(status, value, headers=None, cut=False):
    sent = {"content-type": "application/json"} | (headers or {})
    return Reply(status, json.dumps(value).encode(), sent, cut)


class Server(ThreadingHTTPServer):
    request_queue_size = 256  # fifty calls at once must all be let in
    daemon_threads = True


class Upstream:
    """An upstream on a port that the system chose."""

    def __init__(self, dialect, port=0):
        self._dialect = dialect
        self._lock = threading.Lock()
        self._journal = []
        self._calls = collections.Counter()
        self._server = Server(("127.0.0.1", port), self._handler())
        self.address = f"127.0.0.1:{self._server.server_port}"

    def serve(self):
        print(f"upstream on http://{self.address}", file=sys.stderr, flush=True)
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            pass

    def calls(self, model):
        """How often `model` has been asked, this call included."""
        with self._lock:
            self._calls[model] += 1
            return self._calls[model]

    def answer(self, request):
        if request.path == "/__mock/journal":
            with self._lock:
                return as_json(200, self._journal)
        if request.path == "/__mock/reset":
            with self._lock:
                self._journal.clear()
                self._calls.clear()
            return as_json(200, {})
        reply = self._dialect(request, self.calls)
        entry = {
            "path": request.path,
            "headers": request.headers,
            "body": request.heard,
            "status": reply.status,
        }
        with self._lock:
            self._journal.append(entry)
        return reply

    def _handler(upstream):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self):
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, self.rfile.read(length))
                send(self, upstream.answer(request))

            do_GET = do_POST = handle_one

            def log_message(self, *_):
                pass

        return Handler


def send(handler, reply):
    whole = isinstance(reply.body, bytes)
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if whole:
        # A body that is cut promises one byte more than it has.
        handler.send_header("content-length", str(len(reply.body) + reply.cut))
    else:
        handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    try:
        for part in [reply.body] if whole else reply.body:
            handler.wfile.write(part if whole else b"%x\r\n%s\r\n" % (len(part), part))
        if not whole and not reply.cut:
            handler.wfile.write(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        handler.close_connection = True
    if reply.cut:
        handler.close_connection = True
