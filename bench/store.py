#!/usr/bin/env python3
"""Measures what shared state costs: ratios, each within one run.

A cached answer beside a health call over HTTP at one connection (wrk), and the
examples of the store: a hit in memory and in Redis, a decision of the limits
beside an INCR, a million keys within their bound, rows a second. Starts its own
redis-server.
"""

import argparse
import os
import platform
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

import run as hop

HERE = Path(__file__).resolve().parent
PORT, MOCK = 9322, 9320


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wrk(url, script, seconds):
    command = ["taskset", "-c", hop.core(0), "wrk", "-t1", "-c1", f"-d{seconds}s", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = next(line for line in out.splitlines() if line.startswith("RESULT"))
    requests, _, p50, p99, errors = map(int, result.split()[1:])
    assert errors == 0 and requests > 0, out
    return p50, p99


def cached_answer(args, folder):
    """The medians of a hit and of a health call, taking turns."""
    config = hop.fill("gateway.toml", PORT=PORT, MOCK=MOCK, ACCESS="false")
    (folder / "gate.toml").write_text(config + "\n[cache]\nanswers = true\n")
    alive = folder / "alive.lua"
    alive.write_text((HERE / "chat.lua").read_text().replace('"POST"', '"GET"').split("wrk.headers")[0]
                     + "function done" + (HERE / "chat.lua").read_text().split("function done")[1])
    mock = hop.Hop("mock", MOCK, [args.binary, "mock", "--bind", f"127.0.0.1:{MOCK}"], hop.core(0))
    gate = hop.Hop("tidegate", PORT, [args.binary, "serve", "--config", str(folder / "gate.toml")], hop.core(1))
    try:
        first, _ = hop.Connection(PORT).ask(hop.BODY)
        second, _ = hop.Connection(PORT).ask(hop.BODY)
        assert b"x-tidegate-cache: miss" in first and b"x-tidegate-cache: hit" in second, second
        health, hits = f"http://127.0.0.1:{PORT}/health/live", gate.url
        pairs = []
        wrk(hits, HERE / "chat.lua", 1)
        for _ in range(args.rounds):
            pairs.append((wrk(hits, HERE / "chat.lua", args.seconds), wrk(health, alive, args.seconds)))
        return pairs
    finally:
        gate.stop()
        mock.stop()


def example(name, *given, package="tidegate-store"):
    command = ["cargo", "run", "--quiet", "--release", "-p", package, "--example", name, "--", *given]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.environ.get("TIDEGATE_BIN", "target/release/tidegate"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--keys", type=int, default=1_000_000)
    args = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"Machine: {platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}; commit {commit}; "
          f"command `bench/store.py --rounds {args.rounds} --seconds {args.seconds}`.\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = cached_answer(args, folder)
        ratio = statistics.median(hit[0] / health[0] for hit, health in pairs)
        hit, health = (statistics.median(pair[place][0] for pair in pairs) for place in (0, 1))
        print(f"a cached answer {hit} us, a health call {health} us (p50, one connection): ratio {ratio:.2f}\n")
        port = str(free_port())
        redis = subprocess.Popen(["redis-server", "--port", port, "--save", "", "--dir", name],
                                 stdout=subprocess.DEVNULL)
        try:
            hop.wait_for(int(port))
            url = f"redis://127.0.0.1:{port}"
            for told in (["cache_bench", url], ["limits_bench", url], ["record_rates", url, "3"]):
                print(f"{told[0]}:\n{example(*told)}\n")
        finally:
            redis.terminate()
            redis.wait()
        print(f"cache_memory 512:\n{example('cache_memory', '512', '64', '0', str(args.keys))}\n")
        print(f"record_rates sqlite:\n{example('record_rates', f'sqlite:{name}/rows', '3')}")


if __name__ == "__main__":
    main()
