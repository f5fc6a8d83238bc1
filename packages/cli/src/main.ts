#!/usr/bin/env node
/** The `tributary` command. */
import { report } from './failure.ts';
import { run } from './program.ts';

try {
  await run(process.argv.slice(2));
} catch (thrown) {
  process.exitCode = report(thrown);
}
// Connections that are still being closed, or a terminal that is still being read, must not keep a finished command alive.
process.exit();
