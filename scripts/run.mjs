// Runs a file of the project, or one of its tools, after doing whatever set-up is missing.
//   node scripts/run.mjs FILE [ARGUMENT…]      a source file, relative to the root
//   node scripts/run.mjs :TOOL [ARGUMENT…]     a command of node_modules/.bin, from the root

import path from 'node:path';
import { become, main, ready, root, tool } from './setup.mjs';

await main(async () => {
  const [target, ...args] = process.argv.slice(2);
  if (target === undefined) throw new Error('usage: node scripts/run.mjs FILE|:TOOL [ARGUMENT…]');
  const node = await ready();
  if (!target.startsWith(':')) return become(node, [path.resolve(root, target), ...args]);
  process.chdir(root);
  return become(node, [tool(target.slice(1)), ...args]);
});
