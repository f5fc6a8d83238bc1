import { assembleDev } from './dev/assemble.ts';
import { nodeHost } from '@tributary/runtime';
const log = (level: string) => (e: string, f: any = {}) => console.error(level, e, JSON.stringify(f, (_k, v) => typeof v === 'bigint' ? v.toString() : v));
const dev = await assembleDev({ dataDirectory: '/tmp/dev2', host: '127.0.0.1', port: 19596 }, { host: nodeHost(), logger: { info: log('I'), warn: log('W'), error: log('E') } }, new AbortController().signal);
console.log('up', process.memoryUsage().rss / 1e6);
process.on('SIGTERM', async () => { console.log('rss', process.memoryUsage().rss / 1e6); await dev[Symbol.asyncDispose](); process.exit(0); });
