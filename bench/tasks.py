#!/usr/bin/env python3
"""What the queue costs beside others: tasks that do nothing, one worker process, one
redis-server on loopback.

    bench/tasks.py [--rounds N] [--tasks N] [--peers FOLDER]

Rounds are interleaved, so that a machine that is busy is busy for all. Celery and
BullMQ are measured where FOLDER (default $PEERS) holds them, as docs/benchmarks.md
says; without them, only tidegate is.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOOP = ROOT / "target/release/examples/noop"
TICK = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 180


class Redis:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.child = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", folder], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until and self.ask("PING") != "PONG":
            time.sleep(0.02)

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], text=True,
                              capture_output=True, check=False)
        return done.stdout.strip()

    def cpu_s(self):
        info = dict(line.split(":", 1) for line in self.ask("INFO", "cpu").splitlines()
                    if ":" in line)
        return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])

    def memory(self):
        info = dict(line.split(":", 1) for line in self.ask("INFO", "memory").splitlines()
                    if ":" in line)
        return int(info["used_memory"])

    def empty(self):
        """Without what it remembers of slow commands: that is its own, and counts as used."""
        self.ask("FLUSHALL")
        self.ask("SLOWLOG", "RESET")


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def tidegate(url, tasks, how, rate=0, together=500):
    """One worker and one producer; says what they needed."""
    concurrency, prefetch, isolation = how
    worker = subprocess.Popen([NOOP, "worker", url, str(concurrency), str(prefetch), isolation],
                              stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    before = cpu_s(worker.pid)
    before_children = os.times()
    producer = subprocess.run([NOOP, "submit", url, str(tasks), str(rate), str(together)],
                              capture_output=True, text=True, check=True)
    after_children = os.times()
    producer_s = (after_children.children_user + after_children.children_system
                  - before_children.children_user - before_children.children_system)
    # Nothing is left when it needs no more time.
    until, last = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < until and cpu_s(worker.pid) != last:
        last = cpu_s(worker.pid)
        time.sleep(0.7)
    worker_s = cpu_s(worker.pid) - before
    worker.send_signal(signal.SIGTERM)
    said = json.loads(worker.communicate(timeout=60)[0])
    if said["done"] != tasks:
        sys.exit(f"{said['done']} of {tasks} tasks were done: {producer.stderr}")
    return {"per_s": tasks / said["took_us"] * 1e6, "worker_us": worker_s / tasks * 1e6,
            "producer_us": producer_s / tasks * 1e6, "p50_ms": said["p50_us"] / 1e3,
            "p99_ms": said["p99_us"] / 1e3}


def bullmq(peers, redis, tasks):
    done = subprocess.run(["node", "bullmq_bench.js", str(tasks), "0", "bulk"], cwd=peers,
                          env={**os.environ, "RPORT": str(redis.port)}, text=True,
                          capture_output=True, check=True)
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if said["done"] != tasks:
        sys.exit(f"BullMQ has done {said['done']} of {tasks}")
    return {"per_s": said["e2e_per_s"], "worker_us": said["worker_cpu_s"] / tasks * 1e6}


def celery(peers, redis, tasks):
    done = subprocess.run([peers / "celery/bin/python", "celery_bench.py", "late", str(tasks), "0"],
                          cwd=peers, text=True, capture_output=True, check=True,
                          env={**os.environ, "RPORT": str(redis.port), "PEERS": str(peers)})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    said = json.loads(lines[-1])
    if said["done"] < tasks:
        sys.exit(f"Celery has done {said['done']} of {tasks}")
    return {"per_s": said["e2e_per_s"], "worker_us": said["worker_cpu_s"] / tasks * 1e6}


def with_redis_cpu(redis, tasks, measure):
    redis.empty()
    before = redis.cpu_s()
    measured = measure()
    measured["redis_us"] = (redis.cpu_s() - before) / tasks * 1e6
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--peers", type=pathlib.Path, default=os.environ.get("PEERS"))
    parser.add_argument("--fill", type=int, default=0, help="measure memory of so many that wait")
    given = parser.parse_args()
    folder = tempfile.mkdtemp()
    redis = Redis(folder)
    url = f"redis://127.0.0.1:{redis.port}"
    how = (64, 0, "thread")
    rounds = {}
    contenders = {
        "tidegate": (given.tasks, lambda: tidegate(url, given.tasks, how)),
        "tidegate, without threads": (given.tasks,
                                      lambda: tidegate(url, given.tasks, (64, 0, "task"))),
        "tidegate, 4 at once": (given.tasks // 4,
                                lambda: tidegate(url, given.tasks // 4, (4, 0, "thread"))),
    }
    peers = given.peers and pathlib.Path(given.peers)
    if peers and (peers / "bullmq_bench.js").exists():
        contenders["BullMQ addBulk"] = (given.tasks // 2,
                                        lambda: bullmq(peers, redis, given.tasks // 2))
    if peers and (peers / "celery").exists():
        contenders["Celery acks_late"] = (given.tasks // 8,
                                          lambda: celery(peers, redis, given.tasks // 8))
    for _ in range(given.rounds):
        for name, (tasks, measure) in contenders.items():
            rounds.setdefault(name, []).append(with_redis_cpu(redis, tasks, measure))
    rounds["tidegate, 100 a second"] = [tidegate(url, 2_000, (4, 0, "thread"), 100, 1)]
    data = pathlib.Path(folder) / "data"
    rounds["tidegate on SQLite"] = [
        tidegate(f"sqlite:{data}", given.tasks, (64, 192, "thread")) for _ in range(given.rounds)]
    show(rounds, given)
    if given.fill:
        fill(redis, url, given.fill)
    redis.child.terminate()
    shutil.rmtree(folder, ignore_errors=True)


def show(rounds, given):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                            capture_output=True, check=False).stdout.strip()
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, commit "
          f"{commit}, load {os.getloadavg()[0]:.1f}: bench/tasks.py --rounds {given.rounds} "
          f"--tasks {given.tasks}\n")
    print("| medians | tasks/s end to end | worker µs/task | producer µs | Redis µs | "
          "wait p50 ms | p99 ms |\n|---|---|---|---|---|---|---|")
    for name, measured in rounds.items():
        def median(field):
            values = [one[field] for one in measured if field in one]
            return f"{statistics.median(values):,.1f}" if values else "-"
        print(f"| {name} | {median('per_s')} | {median('worker_us')} | {median('producer_us')} | "
              f"{median('redis_us')} | {median('p50_ms')} | {median('p99_ms')} |")


def fill(redis, url, tasks):
    """What waiting tasks weigh, and whether it is given back."""
    redis.empty()
    before = redis.memory()
    subprocess.run([NOOP, "fill", url, str(tasks)], check=True, stdout=subprocess.DEVNULL)
    full = redis.memory()
    print(f"\n{tasks} waiting tasks: {full - before} bytes in Redis, "
          f"{(full - before) / tasks:.0f} each")
    worker = subprocess.Popen([NOOP, "worker", url, "64", "0", "thread"], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 1_200
    while time.monotonic() < until and redis.memory() > before * 1.05:
        time.sleep(1)
        redis.ask("SLOWLOG", "RESET")
    worker.terminate()
    worker.wait()
    redis.ask("SLOWLOG", "RESET")
    print(f"after they ran and their time was over: {redis.memory() - before:+} bytes of "
          f"{before}, {redis.memory() / before * 100 - 100:+.1f} %")


if __name__ == "__main__":
    main()
