#!/usr/bin/env python3
"""Seeds 100 faults into sample servers in Python, TypeScript and Rust, and counts those that mcp-proxy finds: by calls that
the user names (`--rehearse CALL`), by recorded calls (`--rehearse recorded`), and by `mcp-proxy replay`.

    tests/faults/measure.py [--program target/debug/mcp-proxy] [--languages python,typescript,rust] [--limit 1s]

Needs the peers (`tests/peers/install`) and `rustc`. Takes about 15 minutes, since each fault is a reload of its own.
"""

import argparse
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "peers"
DEADLINE = 400
CALLS = [
    ("add_note", {"text": "buy milk"}),
    ("set_unit", {"unit": "f"}),
    ("forecast", {"city": "Oslo"}),
    ("convert", {"amount": 7}),
    ("search", {"query": "rain"}),
    ("report", {"city": "Oslo"}),
]
# The user names no call that adds something.
NAMED = [call for call in CALLS if call[0] != "add_note"]

# Faults by the part of the source that they replace. `{fail}` is the statement that raises an exception.
COMMON = {
    "wrong value": [
        ("forecast", "21", "22"),
        ("convert", "rate = 3", "rate = 4"),
        ("search", "7", "8"),
        ("report", "wind 5", "wind 6"),
        ("set_unit", "precision{q}: 1", "precision{q}: 2"),
    ],
    "exception": [(tool, "{work}", "{work}{fail}") for tool, _ in CALLS],
    "slower by ten": [(tool, "{work}", "{slow}") for tool, _ in CALLS],
}
OWN = {
    "python": {
        "wrong value": [("add_note", "len(notes)", "len(notes) + 1")],
        "wrong type": [
            ("forecast", '"max": 21', '"max": "21"'),
            ("convert", '"total": amount * rate', '"total": str(amount * rate)'),
            ("search", '"score": 7', '"score": None'),
            ("report", "wind 5", "wind None"),
            ("set_unit", '"precision": 1', '"precision": [1]'),
            ("add_note", "len(notes)", "notes"),
        ],
        "missing member": [
            ("forecast", '"city": city, ', ""),
            ("convert", '"rate": rate, ', ""),
            ("search", ', "score": 7', ""),
            ("report", "\\nrain none", ""),
            ("set_unit", ', "precision": 1', ""),
            ("add_note", '"count": len(notes), ', ""),
        ],
        "effect twice": [
            ("add_note", "notes.append(text)", "notes.extend([text, text])"),
            ("add_note", 'effect("add_note")', 'effect("add_note"); effect("add_note")'),
            ("set_unit", 'effect("set_unit")', 'effect("set_unit"); effect("set_unit")'),
            ("convert", "rate = 3", 'rate = 3; effect("convert")'),
        ],
    },
    "typescript": {
        "wrong value": [("add_note", "notes.length", "notes.length + 1")],
        "wrong type": [
            ("forecast", "max: 21", "max: '21'"),
            ("convert", "total: amount * rate", "total: `${amount * rate}`"),
            ("search", "score: 7", "score: null"),
            ("report", "wind 5", "wind undefined"),
            ("set_unit", "precision: 1", "precision: [1]"),
            ("add_note", "count: notes.length", "count: notes"),
        ],
        "missing member": [
            ("forecast", "{ city, days", "{ days"),
            ("convert", "rate, total", "total"),
            ("search", ", score: 7", ""),
            ("report", "\\nrain none", ""),
            ("set_unit", ", precision: 1", ""),
            ("add_note", "count: notes.length, ", ""),
        ],
        "effect twice": [
            ("add_note", "notes.push(text)", "notes.push(text, text)"),
            ("add_note", "effect('add_note')", "effect('add_note'); effect('add_note')"),
            ("set_unit", "effect('set_unit')", "effect('set_unit'); effect('set_unit')"),
        ],
    },
    "rust": {
        "wrong value": [("add_note", "notes.len()", "notes.len() + 1")],
        "wrong type": [
            ("forecast", '"max":21', '"max":"21"'),
            ("convert", '"total":{}', '"total":"{}"'),
            ("search", '"score":7', '"score":null'),
            ("report", "wind 5", "wind None"),
            ("set_unit", '"precision":1', '"precision":[1]'),
            ("add_note", '"count":{}', '"count":"{}"'),
        ],
        "missing member": [
            ("forecast", '"city":"{city}",', '"{city}":0,'),
            ("convert", '"rate":{rate},', ""),
            ("search", ',"score":7', ""),
            ("report", "\\\\nrain none", ""),
            ("set_unit", ',"precision":1', ""),
            ("add_note", '"count":{},', '"{}":0,'),
        ],
        "effect twice": [
            ("add_note", 'notes.push(text("text"));', 'notes.extend([text("text"), text("text")]);'),
            ("add_note", 'effect("add_note");', 'effect("add_note"); effect("add_note");'),
            ("set_unit", 'effect("set_unit");', 'effect("set_unit"); effect("set_unit");'),
        ],
    },
}
FAIL = {
    "python": '\n    raise ValueError("seeded")',
    "typescript": ";\n    if (Date.now()) throw new Error('seeded')",
    "rust": ';\n            if now() > 0 { return Err("seeded".to_owned()); }',
}
SLEEPS = {"forecast": 21, "convert": 22, "search": 23, "report": 24, "set_unit": 25, "add_note": 26}
LANGUAGES = {"python": "server.py", "typescript": "server.ts", "rust": "server.rs"}


def part_of(source, language, tool):
    """Returns the start and end of the tool in the source."""
    marks = {"python": "def {}(", "typescript": "registerTool('{}'", "rust": '"{}" => {{'}
    names = [name for name in SLEEPS]
    starts = sorted(source.index(marks[language].format(name)) for name in names)
    start = source.index(marks[language].format(tool))
    later = [at for at in starts if at > start]
    return start, later[0] if later else len(source)


def faults(language, source):
    """Returns the faults of a language: kind, tool, and the faulty source."""
    quote = {"python": '"', "typescript": "", "rust": '"'}[language]
    found = []
    for kinds in (COMMON, OWN[language]):
        for kind, all_of_kind in kinds.items():
            for tool, old, new in all_of_kind:
                if kinds is COMMON:
                    ms = SLEEPS[tool]
                    words = {
                        "{q}": quote,
                        "{work}": f"work({ms})",
                        "{slow}": f"work({10 * ms})",
                        "{fail}": FAIL[language],
                    }
                    for word, value in words.items():
                        old, new = old.replace(word, value), new.replace(word, value)
                    if language == "rust":
                        old, new = old.replace('": ', '":'), new.replace('": ', '":')
                start, end = part_of(source, language, tool)
                body = source[start:end]
                if kind == "wrong value" and old in ("21", "7"):
                    words = {"python": ('"max": 21', '"score": 7'), "typescript": ("max: 21", "score: 7")}
                    old = words.get(language, ('"max":21', '"score":7'))[old == "7"]
                    new = old.replace("21", "22").replace("7", "8")
                assert old in body, (language, kind, tool, old)
                found.append((kind, tool, source[:start] + body.replace(old, new, 1) + source[end:]))
    return found


class Session:
    """A client of `mcp-proxy dev` in front of one sample server."""

    def __init__(self, program, language, folder, options):
        self.folder, self.name = folder, LANGUAGES[language]
        self.source = (HERE / self.name).read_text()
        self.effects, self.log = folder / "effects", folder / "log"
        self.effects.write_text("")
        self.command, build = command(language, folder)
        self.good_number, self.seen, self.ids = 0, 0, 0
        self.write(self.source)
        line = [program, "dev", "-q", "--no-log", "--log", self.log, "--log-format", "json"]
        line += ["--start-timeout", "5m", "--watch", self.name, "--env", f"EFFECTS={self.effects}", *build, *options, "--", *self.command]
        self.process = subprocess.Popen(
            line, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout], daemon=True).start()
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "faults", "version": "1"}}
        self.request("initialize", params)
        self.send({"method": "notifications/initialized"})
        self.until("ready", 1)

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")) + "\n")
        self.process.stdin.flush()

    def request(self, method, params):
        self.ids += 1
        self.send({"id": self.ids, "method": method, "params": params})
        while True:
            message = json.loads(self.lines.get(timeout=DEADLINE))
            if message.get("id") == self.ids and "method" not in message:
                return message

    def call_all(self):
        for tool, arguments in CALLS:
            answer = self.request("tools/call", {"name": tool, "arguments": arguments})
            assert not answer.get("result", {"isError": True}).get("isError"), answer

    def write(self, text):
        (self.folder / self.name).write_text(text)

    def events(self, kind):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event.get("event") == kind]

    def until(self, kind, count):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            found = self.events(kind)
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.02)
        raise TimeoutError(f"no `{kind}` {count}: {self.log.read_text()[-2000:]}")

    def save(self, text):
        """Saves the source; returns the rehearsed calls and the time to the end of the reload."""
        began = time.monotonic()
        self.write(text)
        self.seen += 1
        event = self.until("reloaded", self.seen)
        return event.get("rehearsal", {}).get("calls", []), time.monotonic() - began

    def save_good(self):
        """Saves the sound source with another comment."""
        self.good_number += 1
        mark = "#" if self.name.endswith(".py") else "//"
        return self.save(f"{self.source}{mark} {self.good_number}\n")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=DEADLINE)


def command(language, folder):
    """Returns the command of the server, and options for its build."""
    if language == "python":
        return [str(PEERS / "python/.venv/bin/python"), "server.py"], []
    if language == "typescript":
        (folder / "package.json").write_text('{"type": "module"}')
        if not (folder / "node_modules").exists():
            (folder / "node_modules").symlink_to(PEERS / "node/node_modules")
        return ["node", "--import", "tsx", "server.ts"], []
    return ["./server"], ["--build", "rustc --edition 2021 server.rs -o server"]


def is_found(calls):
    return any(call["outcome"] in ("differs", "fails") or call["slower"] for call in calls)


def rehearse(program, language, limit, is_recorded, result):
    """Counts the faults that a rehearsal finds."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    options = ["--rehearse-timeout", limit]
    if is_recorded:
        options += ["--rehearse", "recorded"]
    else:
        for tool, arguments in NAMED:
            options += ["--rehearse", f"{tool} {json.dumps(arguments)}"]
    session = Session(program, language, folder, options)
    if is_recorded:
        session.call_all()
    way = "recorded" if is_recorded else "rehearsed"
    session.save_good()
    times = []
    for number, (kind, tool, source) in enumerate(faults(language, session.source)):
        calls, _ = session.save(source)
        result.add(way, language, kind, tool, is_found(calls), calls)
        session.save_good()
        if number % 3 == 0:
            calls, took = session.save_good()
            result.alarms[way].update(call["outcome"] for call in calls)
            times.append(took)
    tool = "forecast"
    start, end = part_of(session.source, language, tool)
    hanging = session.source[start:end].replace(f"work({SLEEPS[tool]})", "work(60000)")
    _, took = session.save(session.source[:start] + hanging + session.source[end:])
    result.delays.append((language, way, statistics.median(times), took))
    session.close()
    counted = Counter(session.effects.read_text().split())
    # Faults that repeat an effect do so in calls of the user's only.
    result.effects.append((language, way, counted["add_note"], int(is_recorded)))
    shutil.rmtree(folder)


def replay(program, language, result):
    """Counts the faults that a replay of one session finds."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    recording = folder / "session.ndjson"
    session = Session(program, language, folder, ["--record", recording])
    session.call_all()
    session.close()

    def run(source):
        session.write(source)
        if language == "rust":
            subprocess.run(["rustc", "--edition", "2021", "server.rs", "-o", "server"], cwd=folder, check=True)
        line = [program, "replay", recording, "--json", "--", *session.command]
        environment = {**os.environ, "EFFECTS": str(session.effects)}
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=DEADLINE)
        if done.returncode not in (0, 1):
            raise RuntimeError(done.stderr)
        return [request for it in json.loads(done.stdout)["sessions"] for request in it["requests"]]

    for number, (kind, tool, source) in enumerate(faults(language, session.source)):
        requests = run(source)
        found = any(not request["ok"] for request in requests)
        result.add("replayed", language, kind, tool, found, requests)
        if number % 8 == 0:
            oks = [request["ok"] for request in run(session.source) if request["request"].startswith("tools/call")]
            result.alarms["replayed"].update("same" if ok else "differs" for ok in oks)
    shutil.rmtree(folder)


class Result:
    def __init__(self):
        self.found, self.all, self.missed = Counter(), Counter(), []
        self.alarms = {"rehearsed": Counter(), "recorded": Counter(), "replayed": Counter()}
        self.effects, self.delays = [], []

    def add(self, way, language, kind, tool, found, details):
        self.all[way, kind] += 1
        self.found[way, kind] += found
        if not found:
            self.missed.append((way, language, kind, tool))
        print(f"{way} {language} {kind} of {tool}: {'found' if found else 'not found'}", flush=True)

    def print(self):
        kinds = sorted({kind for _, kind in self.all})
        print(f"\n{'fault':<16}" + "".join(f"{way:>12}" for way in self.alarms))
        for kind in kinds:
            cells = [f"{self.found[way, kind]}/{self.all[way, kind]}" for way in self.alarms]
            print(f"{kind:<16}" + "".join(f"{cell:>12}" for cell in cells))
        sums = [
            f"{sum(self.found[way, kind] for kind in kinds)}/{sum(self.all[way, kind] for kind in kinds)}"
            for way in self.alarms
        ]
        print(f"{'all':<16}" + "".join(f"{cell:>12}" for cell in sums))
        for way, outcomes in self.alarms.items():
            wrong = outcomes["differs"] + outcomes["fails"]
            print(f"false alarms, {way}: {wrong} of {sum(outcomes.values())} calls ({dict(outcomes)})")
        for language, way, effects, expected in self.effects:
            print(f"calls of add_note in {language}, {way}: {effects}, of the client: {expected}")
        for language, way, usual, hanging in self.delays:
            print(f"save to reload in {language}, {way}: {usual:.2f} s; beside a call that hangs: {hanging:.2f} s")
        print("not found:")
        for missed in self.missed:
            print("  " + ", ".join(missed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE.parents[1] / "target/debug/mcp-proxy"))
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--ways", default="rehearsed,recorded,replayed")
    parser.add_argument("--limit", default="1s", help="--rehearse-timeout of the proxy")
    args = parser.parse_args()
    program, ways, result = os.path.abspath(args.program), args.ways.split(","), Result()
    for language in args.languages.split(","):
        if "rehearsed" in ways:
            rehearse(program, language, args.limit, False, result)
        if "recorded" in ways:
            rehearse(program, language, args.limit, True, result)
        if "replayed" in ways:
            replay(program, language, result)
    result.print()
    is_quiet = all(effects == expected for _, _, effects, expected in result.effects)
    sys.exit(0 if is_quiet else "a call with effects ran unasked")


if __name__ == "__main__":
    main()
