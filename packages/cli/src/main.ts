#!/usr/bin/env node
/** The `tributary` command. */
import { report } from './failure.ts';
import { run } from './program.ts';

/**
 * Threads of libuv's pool, which the syncs of the logs share with all other file work: the pool asks for the number when it is first used, so
 * setting it here, before anything asynchronous, spares a second process. ADR 1 wants 64 syncs at once.
 */
const poolThreads = '80';

process.env['UV_THREADPOOL_SIZE'] ??= poolThreads;
// What nobody handled is a defect of ours, and still one line.
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, (thrown: unknown) => process.exit(report(thrown)));
// Logs that nobody reads any more are no reason to stop keeping records.
process.stderr.on('error', () => undefined);
try {
  await run(process.argv.slice(2));
} catch (thrown) {
  process.exitCode = report(thrown);
}
// Connections that are still being closed, or a terminal that is still being read, must not keep a finished command alive.
process.exit();
