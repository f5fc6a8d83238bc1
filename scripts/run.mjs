// Runs a TypeScript file of the project after doing whatever set-up is missing: node scripts/run.mjs FILE [ARGUMENT…]

import path from 'node:path';
import { become, main, ready, root } from './setup.mjs';

await main(async () => {
  const [file, ...args] = process.argv.slice(2);
  if (file === undefined) throw new Error('which file? usage: node scripts/run.mjs FILE [ARGUMENT…]');
  become(await ready(), [path.resolve(root, file), ...args]);
});
