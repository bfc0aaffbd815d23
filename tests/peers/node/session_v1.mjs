// A session of the TypeScript SDK v1 client: `session_v1.mjs legacy COMMAND…`. What it is told and what it answers
// stand in ../python/session_mcp.py.
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const [, , , command, ...args] = process.argv;
const tell = (message) => console.log(JSON.stringify(message));

const client = new Client({ name: 'session-v1', version: '1.0.0' });
client.setNotificationHandler(ToolListChangedNotificationSchema, () => tell({ method: 'changed' }));
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    (method === 'list' ? client.listTools() : client.callTool(params)).then(
        (result) => tell({ id, result }),
        (error) => tell({ id, error: { message: error.message } }),
    );
}
await client.close();
