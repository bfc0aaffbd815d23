// Sample server on the TypeScript SDK, into which `measure.py` seeds faults. Some answers vary by themselves.
import { appendFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const READS = { readOnlyHint: true };
const REPEATABLE = { idempotentHint: true, destructiveHint: false };
const notes: string[] = [];

const work = (ms: number) => new Promise((done) => setTimeout(done, ms));
const effect = (text: string) => appendFileSync(process.env.EFFECTS!, `${text}\n`);
const text = (text: string) => ({ content: [{ type: 'text' as const, text }] });
const object = (value: object) => ({ structuredContent: { ...value }, ...text(JSON.stringify(value)) });

const server = new McpServer({ name: 'sample', version: '1.0.0' });

server.registerTool('forecast', { inputSchema: { city: z.string() }, annotations: READS }, async ({ city }) => {
    await work(21);
    const days: object[] = [{ day: 'mon', max: 21 }, { day: 'tue', max: 23 }];
    return object({ city, days, updated: process.hrtime.bigint().toString() });
});

server.registerTool('convert', { inputSchema: { amount: z.number() }, annotations: READS }, async ({ amount }) => {
    await work(22);
    const rate = 3;
    return object({ amount, rate, total: amount * rate });
});

server.registerTool('search', { inputSchema: { query: z.string() }, annotations: READS }, async ({ query }) => {
    await work(23);
    const hits: object[] = [{ title: `about ${query}`, score: 7 }];
    return object({ hits, request: randomUUID() });
});

server.registerTool('report', { inputSchema: { city: z.string() }, annotations: READS }, async ({ city }) => {
    await work(24);
    return text(`Report for ${city}\nprinted at ${process.hrtime.bigint()}\nwind 5\nrain none`);
});

server.registerTool('set_unit', { inputSchema: { unit: z.string() }, annotations: REPEATABLE }, async ({ unit }) => {
    await work(25);
    effect('set_unit');
    return object({ unit, supported: ['c', 'f'], precision: 1 });
});

server.registerTool('add_note', { inputSchema: { text: z.string() } }, async ({ text }) => {
    await work(26);
    effect('add_note');
    notes.push(text);
    return object({ count: notes.length, text });
});

await server.connect(new StdioServerTransport());
