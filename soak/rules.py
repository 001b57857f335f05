"""Which ends a request may have, by the interface's documentation alone.

An end is a short text: `complete`, `STATUS CODE` for an error answer, or
`stream CODE` for a stream that ended in an error event.
"""

WORKING = {"answer", "no-done", "slow-40", "slow-300"}

# Codes and the one status that each may come with.
STATUS = {
    "rate_limit_exceeded": 429,
    "no_healthy_model": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
    "upstream_timed_out": 504,
    "upstream_connect": 502,
    "upstream_reset": 502,
    "upstream_truncated": 502,
    "upstream_status": 502,
    "upstream_garbage": 502,
    "upstream_too_large": 502,
    "upstream_error_in_answer": 502,
}
WITH_RETRY_AFTER = {429, 503}

THROTTLED = {"429 rate_limit_exceeded", "503 no_healthy_model"}
LATE = {"504 deadline_exceeded", "504 upstream_timed_out"}
UNHEALTHY = {"503 no_healthy_model"}
# A throttle named in a stream's error stands for a 429.
THROTTLES = {"throttle", "throttle-2", "unavailable", "overloaded"}
LOST = {"502 upstream_reset", "502 upstream_truncated"}

WHOLE = {
    "status-500": {"502 upstream_status"},
    "html": {"502 upstream_status"},
    "hang": LATE,
    "drip": LATE,
    "reset": {"502 upstream_reset"},
    "reset-mid": LOST,
    "truncate": LOST,
    # Streamed, their errors name a throttle; the entry is then left alone by all.
    "error-in-stream": {"502 upstream_error_in_answer"} | THROTTLED,
    "error-after-content": {"502 upstream_error_in_answer"} | THROTTLED,
    "error-in-answer": {"502 upstream_error_in_answer"},
    "garbage": {"502 upstream_garbage"},
    "empty": {"502 upstream_garbage"},
    # 32 MiB may take longer than an attempt on a busy machine.
    "huge-line": {"502 upstream_too_large"} | LATE,
} | dict.fromkeys(THROTTLES, THROTTLED)

STREAMED = WHOLE | {
    "error-in-stream": THROTTLED,
    "empty": {"502 upstream_truncated"},
    # A reset may overtake the content that came before it.
    "reset-mid": LOST,
    "truncate": set(),
    "error-after-content": THROTTLED,
}

# Where content has been sent, nobody else can take over.
BROKEN = {
    "reset-mid": {"stream upstream_reset", "stream upstream_truncated"},
    "truncate": {"stream upstream_truncated"},
    "error-after-content": {"stream upstream_error_in_answer"},
}

# While a mock is killed or frozen, and nothing but that.
OUTAGE = LOST | LATE | {"502 upstream_connect"}
OUTAGE_STREAMED = {
    "stream upstream_reset",
    "stream upstream_truncated",
    "stream upstream_timed_out",
}


def allowed_ends(chain, stream, trips, outage, recovering):
    """The ends that a request to `chain` may have.

    `trips` says whether failures open circuits here, `outage` whether an
    upstream was down meanwhile, `recovering` whether circuits may still be open
    for that reason.
    """
    ends = set()
    working = False
    for entry in chain:
        provider, word = entry.split("/")
        if provider == "narrow":
            ends.add("429 rate_limit_exceeded")
        if word in WORKING:
            ends.add("complete")
            working = True
            break
        if stream:
            ends |= BROKEN.get(word, set())
    # The working entry answers, unless its upstream is down: then the last
    # failure of any entry is told.
    if not working or outage:
        table = STREAMED if stream else WHOLE
        for entry in chain:
            ends |= table.get(entry.split("/")[1], set())
    if trips and (not working or recovering):
        ends |= UNHEALTHY
    # Who waits for a probe may be let through too late.
    if ends & THROTTLED:
        ends.add("504 deadline_exceeded")
    if outage:
        ends |= OUTAGE | (OUTAGE_STREAMED if stream else set())
    return ends
