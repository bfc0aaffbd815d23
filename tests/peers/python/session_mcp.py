"""A session of the official Python client: `session_mcp.py legacy|auto COMMAND…`.

It carries out what it is told, one JSON line each: `{"id", "method": "list"}` or `{"id", "method": "call", "params":
{"name", "arguments"}}`. It answers with the SDK's own result, or with the error that the SDK raised, and notifies
`changed` when the tools have changed.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.types import ToolListChangedNotification

mode, command, *args = sys.argv[1:]


def tell(**message):
    print(json.dumps(message), flush=True)


async def carry_out(client, method, params):
    if method == "list":
        return await client.list_tools(cache_mode="refresh")
    return await client.call_tool(params["name"], params["arguments"])


async def answer(client, request):
    try:
        result = await carry_out(client, request["method"], request.get("params"))
        tell(id=request["id"], result=result.model_dump(by_alias=True, mode="json", exclude_none=True))
    except Exception as error:
        tell(id=request["id"], error={"message": str(error)})


async def follow(client, ready):
    async with client.listen(tools_list_changed=True) as events:
        ready.set()
        async for _ in events:
            tell(method="changed")


async def main():
    async def on_message(message):
        if isinstance(message, ToolListChangedNotification):
            tell(method="changed")

    server = StdioServerParameters(command=command, args=args, env=dict(os.environ))
    async with Client(server, mode=mode, message_handler=on_message) as client:
        tasks = set()
        if client.protocol_version >= "2026":
            ready = asyncio.Event()
            tasks.add(asyncio.create_task(follow(client, ready)))
            await ready.wait()
        while line := await asyncio.to_thread(sys.stdin.readline):
            tasks.add(asyncio.create_task(answer(client, json.loads(line))))
        for task in tasks:
            task.cancel()


asyncio.run(main())
