"""Replays the deliberate breaks of breaks.toml; see breaks.sh."""

import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "breaks")).resolve()
# Beside the build, at the same place in every run: cargo tells packages apart
# by their path, and another path would build everything anew.
TREE = TARGET / "tree"
# A break may turn a test into one that never ends.
MOST_SECONDS = 120

CAUGHT, SURVIVED, UNFIT = "caught", "SURVIVED", "UNFIT"


@dataclass
class Break:
    """One edit that makes a promise untrue, and the tests that must notice."""

    name: str
    file: str
    find: str
    replace: str
    command: str


@dataclass
class Run:
    """One cargo invocation."""

    code: int
    output: str
    seconds: float


def read_breaks():
    table = tomllib.loads((ROOT / "tools" / "breaks.toml").read_text())
    breaks = [Break(**entry) for entry in table["break"]]
    names = [entry.name for entry in breaks]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        sys.exit(f"breaks.toml: the name stands twice: {', '.join(sorted(twice))}")
    return breaks


def copy_tree():
    """Brings the copy up to date; files that did not change keep their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    paths = {path for path in listed.split("\0") if path and (ROOT / path).is_file()}
    for path in paths:
        fresh, copy = (ROOT / path).read_bytes(), TREE / path
        if not copy.is_file() or copy.read_bytes() != fresh:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(fresh)
        copy.chmod((ROOT / path).stat().st_mode & 0o777)
    for copy in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(copy.relative_to(TREE)) not in paths:
            copy.unlink()


def cargo(command, *more):
    start = time.monotonic()
    process = subprocess.Popen(
        [*shlex.split(command), *more],
        cwd=TREE, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=MOST_SECONDS if not more else None)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        code = 124
    return Run(code, output, time.monotonic() - start)


def tests_run(output):
    counts = re.findall(r"test result: \w+\. (\d+) passed; (\d+) failed", output)
    return sum(int(passed) + int(failed) for passed, failed in counts)


def failed_tests(output):
    return re.findall(r"^test (.+?)(?: - should panic)? \.\.\. FAILED$", output, re.MULTILINE)


def build(command):
    """Compiles what `command` would run."""
    head = command.split(" -- ")[0]
    return cargo(head, "--no-run")


def baseline(command):
    """Why the command says nothing about breaks, or None: it must pass on sound
    code and run at least one test."""
    built = build(command)
    if built.code != 0:
        return f"does not compile unbroken\n{built.output}"
    run = cargo(command)
    if run.code != 0:
        return f"fails unbroken\n{run.output}"
    if tests_run(run.output) == 0:
        return "runs no test"
    return None


def replay(entry):
    """The verdict on one break, with a word on why."""
    path = TREE / entry.file
    if not path.is_file():
        return UNFIT, "no such file"
    sound = path.read_text()
    count = sound.count(entry.find)
    if count != 1:
        return UNFIT, f"the text to find occurs {count} times"
    if entry.find == entry.replace:
        return UNFIT, "changes nothing"
    try:
        path.write_text(sound.replace(entry.find, entry.replace))
        built = build(entry.command)
        if built.code != 0:
            errors = re.findall(r"^error.*", built.output, re.MULTILINE)
            return UNFIT, f"does not compile: {errors[0] if errors else built.output[-200:]}"
        run = cargo(entry.command)
    finally:
        path.write_text(sound)
    if run.code == 0:
        return SURVIVED, f"{tests_run(run.output)} tests passed"
    if run.code == 124:
        return CAUGHT, f"no end within {MOST_SECONDS} s"
    failed = failed_tests(run.output)
    if not failed:
        return UNFIT, f"no test failed, cargo ended with {run.code}: {run.output[-200:]!r}"
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return CAUGHT, failed[0] + more


def main(words):
    breaks = [
        entry for entry in read_breaks() if not words or any(word in entry.name for word in words)
    ]
    if not breaks:
        sys.exit("no break has such a name")
    TREE.mkdir(parents=True, exist_ok=True)
    copy_tree()
    start = time.monotonic()
    baselines = {command: baseline(command) for command in dict.fromkeys(b.command for b in breaks)}
    print(f"{len(baselines)} commands pass unbroken after {time.monotonic() - start:.0f} s", flush=True)
    width = max(len(entry.name) for entry in breaks)
    verdicts = []
    # Breaks of one file after each other: its crate is what is built anew.
    for entry in sorted(breaks, key=lambda entry: (entry.file, entry.command)):
        began = time.monotonic()
        unfit = baselines[entry.command]
        verdict, why = (UNFIT, unfit) if unfit else replay(entry)
        verdicts.append(verdict)
        took = time.monotonic() - began
        print(f"{entry.name:{width}}  {verdict:8}  {took:5.1f} s  {why}", flush=True)
    took = time.monotonic() - start
    caught = verdicts.count(CAUGHT)
    print(f"\n{caught} of {len(verdicts)} breaks caught in {took:.0f} s")
    return 0 if caught == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
