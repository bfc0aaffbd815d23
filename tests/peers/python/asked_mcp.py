"""The official Python client with a person in front of it: `asked_mcp.py legacy|auto COMMAND…`.

It calls the tool `ask`, answers what it is asked, and tells the text of the result.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult, ListRootsResult, Root

mode, command, *args = sys.argv[1:]


async def elicit(context, params):
    schema = params.model_dump(by_alias=True)["requestedSchema"]
    return ElicitResult(action="accept", content={name: "Ada" for name in schema["properties"]})


async def roots(context):
    return ListRootsResult(roots=[Root(uri="file:///work")])


async def main():
    server = StdioServerParameters(command=command, args=args, env=dict(os.environ))
    async with Client(server, mode=mode, elicitation_callback=elicit, list_roots_callback=roots) as client:
        result = await client.call_tool("ask", {"question": "Who?"})
        print(json.dumps({"method": "answered", "params": {"text": result.content[0].text}}), flush=True)


asyncio.run(main())
