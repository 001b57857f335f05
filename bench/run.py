#!/usr/bin/env python3
"""Measures what tidegate adds to a call, beside nginx as a plain hop.

Everything runs on loopback in one go, interleaved: the mock and the load
generator on one core, the hop under test on the other. Figures are medians
over rounds; CPU time is what the kernel accounts to the hop's processes. Every
answer is checked before anything is timed.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MOCK, NGINX, GATE, LOGGED = 9310, 9311, 9312, 9313
BODY = {
    "model": "bench",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello, how are you today?"}],
}


def core(number):
    """The number-th processor that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return str(allowed[min(number, len(allowed) - 1)])


class Hop:
    """A process under test with everything it has started."""

    def __init__(self, name, port, command, on_core):
        self.name, self.port = name, port
        self.process = subprocess.Popen(
            ["taskset", "-c", on_core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{port}/v1/chat/completions"
        wait_for(port)

    def pids(self):
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            children = Path(f"/proc/{pid}/task/{pid}/children")
            if children.exists():
                queue += [int(child) for child in children.read_text().split()]
        return found

    def cpu_seconds(self):
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mb(self):
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
        return total / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


def wait_for(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing listens on port {port}")


def fill(template, **values):
    text = (HERE / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class Connection:
    """One reused HTTP/1.1 connection, as thin as a client can be."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body):
        payload = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
        self.socket.sendall(head.encode() + payload)
        return self.read()

    def read(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, rest = data.split(b"\r\n\r\n", 1)
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self.more()
        else:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            while len(rest) < length:
                rest += self.more()
        return head, rest

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError("the connection was closed")
        return piece


def check(hops):
    """No figure counts if the answers are wrong."""
    for hop in hops:
        head, body = Connection(hop.port).ask(BODY)
        answer = json.loads(body)
        assert head.startswith(b"HTTP/1.1 200"), (hop.name, head)
        assert answer["choices"][0]["finish_reason"] == "stop", (hop.name, answer)
        assert answer["usage"]["total_tokens"] > 0, (hop.name, answer)
        head, body = Connection(hop.port).ask({**BODY, "stream": True})
        assert body.count(b'"content":"token') == 20, (hop.name, body)
        assert b"data: [DONE]" in body, (hop.name, body)


def load(hop, connections, seconds):
    """Requests, median and 99th percentile in µs, CPU µs of the hop per request."""
    before = hop.cpu_seconds()
    command = ["taskset", "-c", core(0), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
               "--timeout", "30s", "-s", str(HERE / "chat.lua"), hop.url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = next(line for line in out.splitlines() if line.startswith("RESULT"))
    requests, _, p50, p99, errors = map(int, result.split()[1:])
    assert errors == 0, f"{hop.name}: {errors} requests failed"
    cpu = (hop.cpu_seconds() - before) * 1e6 / requests
    return {"requests": requests, "p50": p50, "p99": p99, "cpu": cpu}


def rounds(hops, connections, seconds, count):
    for hop in hops:
        load(hop, connections, 1)
    samples = {hop.name: [] for hop in hops}
    for _ in range(count):
        for hop in hops:
            samples[hop.name].append(load(hop, connections, seconds))
    return samples


def streams(hops, count):
    """Median time of a 20-event stream on a reused connection, in ms."""
    os.sched_setaffinity(0, {int(core(0))})
    connections = {hop.name: Connection(hop.port) for hop in hops}
    times = {hop.name: [] for hop in hops}
    for number in range(count + 20):
        for hop in hops:
            start = time.perf_counter()
            connections[hop.name].ask({**BODY, "stream": True})
            if number >= 20:
                times[hop.name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def memory(hop, million):
    """Resident memory in MB after shares of a million requests."""
    points, sent, target = [(0, hop.rss_mb())], 0, 1_000_000 * million
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        while sent < target * share:
            sent += load(hop, 32, 3)["requests"]
        points.append((sent, hop.rss_mb()))
    return points


def median(samples, key):
    return statistics.median(sample[key] for sample in samples)


def report(args, hops, found):
    by_name = {hop.name: hop for hop in hops}
    lines = [f"Machine: {platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}; "
             f"commit {args.commit}; command `make bench` (rounds {args.rounds} of {args.seconds} s).", ""]
    lines += ["| hop | CPU µs/request, 32 connections | ratio to nginx | p50 added, 1 connection (ms) | "
              "stream of 20 events added (ms) | resident (MB) |", "|---|---|---|---|---|---|"]
    busy, single = found["busy"], found["single"]
    for name in by_name:
        if name == "mock":
            continue
        pairs = [a["cpu"] / b["cpu"] for a, b in zip(busy[name], busy["nginx"])]
        added = [(a["p50"] - b["p50"]) / 1e3 for a, b in zip(single[name], single["mock"])]
        stream = found["streams"][name] - found["streams"]["mock"]
        lines.append(f"| {name} | {median(busy[name], 'cpu'):.1f} | {statistics.median(pairs):.2f} | "
                     f"{statistics.median(added):.3f} | {stream:.3f} | {by_name[name].rss_mb():.1f} |")
    lines += ["", f"The mock alone: {median(busy['mock'], 'cpu'):.1f} µs of CPU a request, p50 "
              f"{median(single['mock'], 'p50') / 1e3:.3f} ms at one connection, a stream "
              f"{found['streams']['mock']:.3f} ms.", ""]
    lines += ["Resident memory of tidegate after N requests: " + ", ".join(
        f"{count:,}: {rss:.1f} MB" for count, rss in found["memory"]) + "."]
    return "\n".join(lines)


def need(program, package):
    if shutil.which(program) or Path(f"/usr/sbin/{program}").exists():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["apt-get", "install", "-y", "-q", package], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["sh", "-c", "service nginx stop || true"], stdout=subprocess.DEVNULL, check=False)
        return
    sys.exit(f"{program} is missing: install the package {package}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.environ.get("TIDEGATE_BIN", "target/release/tidegate"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--million", type=float, default=1.0, help="millions of requests for the memory figure")
    args = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    args.commit = commit.stdout.strip() or "unknown"
    need("wrk", "wrk")
    need("nginx", "nginx-light")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    everywhere = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        (run / "nginx.conf").write_text(fill("nginx.conf", RUN=run, MOCK=MOCK, PORT=NGINX, BUFFERING="off"))
        for name, port, access in (("gate", GATE, "false"), ("logged", LOGGED, "true")):
            config = fill("gateway.toml", PORT=port, MOCK=MOCK, ACCESS=access).replace(
                'level = "warn"', f'level = "{"info" if access == "true" else "warn"}"')
            (run / f"{name}.toml").write_text(config)
        hops = [
            Hop("mock", MOCK, [args.binary, "mock", "--bind", f"127.0.0.1:{MOCK}"], core(0)),
            Hop("nginx", NGINX, [nginx, "-c", str(run / "nginx.conf"), "-p", folder], core(1)),
            Hop("tidegate", GATE, [args.binary, "serve", "--config", str(run / "gate.toml")], core(1)),
            Hop("tidegate, access log on", LOGGED,
                [args.binary, "serve", "--config", str(run / "logged.toml")], core(1)),
        ]
        try:
            check(hops)
            found = {
                "busy": rounds(hops, 32, args.seconds, args.rounds),
                "single": rounds(hops, 1, args.seconds, args.rounds),
                "streams": streams(hops, 400),
            }
            os.sched_setaffinity(0, everywhere)
            found["memory"] = memory(hops[2], args.million)
            check(hops)
            print(report(args, hops, found))
        finally:
            for hop in reversed(hops):
                hop.stop()


if __name__ == "__main__":
    main()
