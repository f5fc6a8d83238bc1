/** Locks the file named by the first argument, says "locked" or why not, and then lives until it is killed. */
import { nodeFileSystem } from '../../src/index.ts';

try {
  await nodeFileSystem.lock(process.argv[2] ?? '');
  process.stdout.write('locked\n');
  setInterval(() => undefined, 1_000_000);
} catch (thrown) {
  process.stdout.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
}
