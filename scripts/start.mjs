// npm start: the whole of Tributary in one process, `tributary dev`. Options go after `--`: npm start -- --port 1234

import path from 'node:path';
import { become, main, ready, root } from './setup.mjs';

await main(async () => {
  const node = await ready();
  become(node, [path.join(root, 'packages', 'cli', 'src', 'main.ts'), 'dev', ...process.argv.slice(2)]);
});
