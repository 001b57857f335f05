#!/usr/bin/env python3
"""Measures what TOON saves and what it costs: the example of the text room, in one run.

Tokens of five shapes in every form, and the time of writing and reading beside
serde_json: pairs of runs in turn, the medians of the ratios within each.
"""

import os
import platform
import subprocess

from store import example


def main():
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"Machine: {platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}; commit {commit}; "
          "command `bench/toon.py`.\n")
    print("```\n" + example("toon_bench", package="tidegate-text") + "\n```")


if __name__ == "__main__":
    main()
