// A session of the TypeScript SDK v2 client: `session_v2.mjs legacy|auto COMMAND…`. What it is told and what it answers
// stand in ../python/session_mcp.py.
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [, , mode, command, ...args] = process.argv;
const tell = (message) => console.log(JSON.stringify(message));

const client = new Client(
    { name: 'session-v2', version: '1.0.0' },
    { versionNegotiation: { mode }, listChanged: { tools: { onChanged: () => tell({ method: 'changed' }) } } },
);
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    (method === 'list' ? client.listTools() : client.callTool(params)).then(
        (result) => tell({ id, result }),
        (error) => tell({ id, error: { message: error.message } }),
    );
}
await client.close();
