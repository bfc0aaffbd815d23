// The TypeScript SDK v1 client with a person in front of it: `asked_v1.mjs legacy COMMAND…`. It calls the tool `ask`,
// answers what it is asked, and tells the text of the result.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ElicitRequestSchema, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const [, , , command, ...args] = process.argv;

const client = new Client({ name: 'asked-v1', version: '1.0.0' }, { capabilities: { elicitation: {}, roots: {} } });
client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Ada' } }));
client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///work' }] }));
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const result = await client.callTool({ name: 'ask', arguments: { question: 'Who?' } });
console.log(JSON.stringify({ method: 'answered', params: { text: result.content[0].text } }));
await client.close();
