"""Sample server on the Python SDK, into which `measure.py` seeds faults. Some answers vary by themselves."""

import os
import random
import time

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

mcp = MCPServer("sample")
READS = ToolAnnotations(readOnlyHint=True)
REPEATABLE = ToolAnnotations(idempotentHint=True, destructiveHint=False)
notes = []


def work(ms: int):
    time.sleep(ms / 1000)


def effect(text: str):
    with open(os.environ["EFFECTS"], "a") as file:
        file.write(text + "\n")


@mcp.tool(annotations=READS)
def forecast(city: str) -> dict:
    work(21)
    days = [{"day": "mon", "max": 21}, {"day": "tue", "max": 23}]
    return {"city": city, "days": days, "updated": time.time_ns()}


@mcp.tool(annotations=READS)
def convert(amount: int) -> dict:
    work(22)
    rate = 3
    return {"amount": amount, "rate": rate, "total": amount * rate}


@mcp.tool(annotations=READS)
def search(query: str) -> dict:
    work(23)
    hits = [{"title": f"about {query}", "score": 7}]
    return {"hits": hits, "request": random.getrandbits(48)}


@mcp.tool(annotations=READS)
def report(city: str) -> str:
    work(24)
    return f"Report for {city}\nprinted at {time.time_ns()}\nwind 5\nrain none"


@mcp.tool(annotations=REPEATABLE)
def set_unit(unit: str) -> dict:
    work(25)
    effect("set_unit")
    return {"unit": unit, "supported": ["c", "f"], "precision": 1}


@mcp.tool()
def add_note(text: str) -> dict:
    work(26)
    effect("add_note")
    notes.append(text)
    return {"count": len(notes), "text": text}


mcp.run()
