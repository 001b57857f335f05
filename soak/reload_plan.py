"""What the reload soak writes into the configuration file, and where it is wrong.

Knows no socket and no process. The same seed gives the same files in the same
order.
"""

import random
from dataclasses import dataclass

FILE = "tidegate.toml"
PROVIDERS = ("left", "right")
# One file in so many is wrong.
EVERY = 5
# Stands where a mistake is until its line and column are known.
MARK = "\0"


@dataclass(frozen=True)
class State:
    """What a valid file says that can be seen from outside."""

    provider: str  # serves the model `flip`
    extra: bool  # whether there is a model `extra`


@dataclass(frozen=True)
class Step:
    """One reload."""

    number: int
    how: str  # signal or request
    text: str
    wanted: State  # what the file asks for, valid or not
    kinds: tuple  # of its mistakes; none in a valid file
    places: tuple  # line and column of each mistake


START = State(PROVIDERS[0], False)


def steps(seed, ports, count):
    """All reloads, first to last."""
    state = START
    for number in range(count):
        draws = random.Random(f"{seed}/reload/{number}")
        wanted = State(other(state.provider), draws.random() < 0.5)
        lines = config(ports, wanted)
        kinds = mistakes(draws) if is_wrong(seed, number) else []
        for kind in kinds:
            lines = MISTAKES[kind](lines)
        text, places = placed("\n".join(lines) + "\n")
        how = "signal" if number % 2 else "request"
        yield Step(number, how, text, wanted, tuple(kinds), tuple(places))
        state = state if kinds else wanted


def other(provider):
    return PROVIDERS[1 - PROVIDERS.index(provider)]


def is_wrong(seed, number):
    """One of each handful, so that short soaks have some as well."""
    handful, place = divmod(number, EVERY)
    return random.Random(f"{seed}/handful/{handful}").randrange(EVERY) == place


def config(ports, state):
    """The lines of a valid file."""
    lines = ["[server]", "deadline_ms = 8000", "drain_ms = 5000", "",
             "[store]", 'url = "memory:"', "",
             "[log]", 'level = "warn"', 'format = "json"', "access = false", "",
             "[resilience]", "attempt_ms = 4000", "failure_threshold = 1000", ""]
    for name in PROVIDERS:
        lines += ["[[providers]]", f'name = "{name}"', 'kind = "openai"',
                  f'base_url = "http://127.0.0.1:{ports[name]}/v1"', ""]
    lines += model("steady", PROVIDERS[0])
    lines += model("flip", state.provider)
    if state.extra:
        lines += model("extra", other(state.provider))
    return lines


def model(name, provider):
    unlimited = ["requests_per_minute", "tokens_per_minute", "max_concurrent"]
    return ["[[models]]", f'name = "{name}"', f'chain = ["{provider}/answer"]',
            *(f'{key} = "unlimited"' for key in unlimited), ""]


def placed(text):
    """The text without its marks, and the line and column of each, from 1."""
    places = []
    for number, line in enumerate(text.split("\n"), 1):
        seen = 0
        for column, character in enumerate(line, 1):
            if character == MARK:
                places.append((number, column - seen))
                seen += 1
    return text.replace(MARK, ""), places


def mistakes(draws):
    """One kind of mistake, or several at once. A file that is no TOML has no other."""
    kind = draws.choice([*MISTAKES, "several"])
    if kind != "several":
        return [kind]
    together = [kind for kind in MISTAKES if kind != "missing value"]
    return draws.sample(together, draws.choice([2, 3]))


def _replace(old, new):
    """Rewrites the first line that begins with `old`."""

    def edit(lines):
        place = next(n for n, line in enumerate(lines) if line.startswith(old))
        return [*lines[:place], *new.split("\n"), *lines[place + 1:]]

    return edit


MISTAKES = {
    "missing value": _replace("drain_ms", f"drain_ms = {MARK}"),
    "unknown key": _replace("access", f"access = false\n{MARK}acess = true"),
    "wrong type": _replace("deadline_ms", f'deadline_ms = {MARK}"soon"'),
    "out of range": _replace("attempt_ms", f"attempt_ms = {MARK}0"),
    "unknown provider": _replace('chain = ["left', f'chain = [{MARK}"nobody/answer"]'),
    "wrong word": _replace("level", f'level = {MARK}"loud"'),
}
