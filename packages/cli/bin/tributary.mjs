#!/usr/bin/env node
// `npx tributary …` in a clone: the command as it is in the tree, on a Node that runs its sources.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { become, main, ready } from '../../../scripts/setup.mjs';

await main(async () => {
  const source = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', 'src', 'main.ts');
  become(await ready(), [source, ...process.argv.slice(2)]);
});
