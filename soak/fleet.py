"""Gateways that share one store, the upstream behind them, and their configuration."""

import glob
import json
import os
import pathlib
import sys

from processes import Process

HERE = pathlib.Path(__file__).parent
UNLIMITED = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class Fleet:
    """The upstream and the gateways of one phase of a soak.

    `settings` holds tables of the configuration, or lists of them, and `models` a
    table of limits for each name; every gateway calls the upstream under its own
    name.
    """

    def __init__(self, binary, folder, name, settings, models):
        self.binary = binary
        self.folder = folder
        self.name = name
        self.settings = settings
        self.models = models
        self.calls = folder / f"{name}-calls.ndjson"
        self.upstream = Process(sys.executable, f"{name}-upstream", folder,
                                [str(HERE / "upstream.py"), "--journal", str(self.calls)])
        self.gates = []

    async def start(self, store_urls, environments=None):
        """Starts a gateway for each address of the store; None is memory."""
        await self.upstream.start()
        for place, url in enumerate(store_urls):
            gate_name = f"{self.name}-gate-{place}"
            file = self.folder / f"{gate_name}.toml"
            file.write_text(self.config(gate_name, url), encoding="utf-8")
            env = environments[place] if environments else None
            gate = Process(self.binary, gate_name, self.folder,
                           ["serve", "--config", str(file)], env)
            self.gates.append(gate)
            await gate.start()

    def config(self, gate_name, store_url):
        settings = dict(self.settings)
        store = settings.pop("store", {})
        if store_url:
            settings["store"] = {"url": store_url, **store}
        lines = []
        for section, table in settings.items():
            if isinstance(table, list):
                for row in table:
                    lines += [f"[[{section}]]", *_rows(row)]
            else:
                lines += [f"[{section}]", *_rows(table)]
        lines += ["[[providers]]", *_rows({
            "name": "up", "kind": "openai", "base_url": f"http://127.0.0.1:{self.upstream.port}/v1",
        }), f'headers = {{ x-soak-caller = "{gate_name}" }}']
        for model, limits in self.models.items():
            free = dict.fromkeys(UNLIMITED, "unlimited")
            lines += ["[[models]]", *_rows(
                {"name": model, "chain": [f"up/{model}"]} | free | limits)]
        return "\n".join(lines) + "\n"

    async def stop(self):
        """Ends everything that still runs; the upstream's journal is whole then."""
        for gate in self.gates:
            await gate.kill()
        if self.upstream.alive:
            await self.upstream.stop()

    @property
    def ports(self):
        return [gate.port for gate in self.gates]


def _rows(table):
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def faketime_library():
    """libfaketime of Debian's package, or SOAK_FAKETIME."""
    found = [os.environ["SOAK_FAKETIME"]] if "SOAK_FAKETIME" in os.environ else glob.glob(FAKETIME)
    if not found:
        sys.exit("libfaketime is not there: apt-get install faketime, or SOAK_FAKETIME=PATH")
    return found[0]
