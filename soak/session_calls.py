"""Asks a gateway about sessions, and says what came back and when."""

import json
import time

import exchange

CHAT = "/v1/chat/completions"
SESSIONS = "/v1/sessions"
MODEL = "talk"


class Caller:
    """One connection to each gateway; asks one thing after the other."""

    def __init__(self, ports):
        self.connections = [exchange.Connection(port) for port in ports]

    async def create(self, place, user):
        """The id of a new session."""
        facts = await self._ask(place, "POST", SESSIONS, {"user_id": user})
        if facts["status"] not in (200, 201):
            raise RuntimeError(f"no session is made: {facts}")
        return facts["json"]["id"]

    async def append(self, place, session, name):
        """Appends one message that names itself."""
        body = {"messages": [{"role": "user", "content": name}]}
        return plain(await self._ask(place, "PATCH", f"{SESSIONS}/{session}", body))

    async def chat(self, place, session, name):
        """One turn; the upstream's answer repeats the message."""
        body = {"model": MODEL, "max_tokens": 50, "tidegate": {"session_id": session},
                "messages": [{"role": "user", "content": name}]}
        return plain(await self._ask(place, "POST", CHAT, body))

    async def read(self, place, session):
        """What the session holds: pairs of role and text."""
        facts = await self._ask(place, "GET", f"{SESSIONS}/{session}", None)
        messages = (facts["json"] or {}).get("messages") or []
        return plain(facts) | {"messages": [[m["role"], m["content"]] for m in messages]}

    async def _ask(self, place, method, path, body):
        data = b"" if body is None else json.dumps(body).encode()
        start_ns = time.monotonic_ns()
        answer, end = await exchange.ask(self.connections[place], path, data, method=method)
        try:
            said = json.loads(bytes(answer.body))
        except ValueError:
            said = None
        return {"place": place, "start_ns": start_ns, "end_ns": time.monotonic_ns(), "end": end,
                "status": answer.status if end == "whole" else None, "json": said,
                "degraded": answer.headers.get("x-tidegate-degraded"),
                "retry_after": answer.headers.get("retry-after")}

    def close(self):
        for connection in self.connections:
            connection.close()


def plain(facts):
    """What a journal keeps."""
    error = (facts.pop("json") or {}).get("error")
    return facts | {"error": error}
