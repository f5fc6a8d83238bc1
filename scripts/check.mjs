// npm run check: everything that can be said about the tree without running it. All steps run, whatever fails.
//   npm run check -- types lint     only these

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { environment, main, ready, root, tool } from './setup.mjs';

const STEPS = [
  { name: 'types', what: 'TypeScript, strict', args: [tool('tsc'), '--project', 'tsconfig.json'] },
  { name: 'lint', what: 'oxlint, with types; who may import whom', args: [tool('oxlint')] },
  { name: 'rules', what: 'pure files, lengths, barrels', args: [path.join('scripts', 'rules.ts')] },
  { name: 'format', what: 'biome; npm run fix mends it', args: [tool('biome'), 'format', '.'] },
  { name: 'unused', what: 'knip: files, exports, dependencies', args: [tool('knip'), '--no-config-hints'] },
  { name: 'proto', what: 'buf lint', args: [tool('buf'), 'lint'] },
];

await main(async () => {
  const node = await ready();
  const wanted = process.argv.slice(2);
  const names = STEPS.map((step) => step.name);
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Error(`no step is called ${unknown.join(', ')}; there are ${names.join(', ')}`);
  const failed = [];
  for (const step of STEPS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const begin = performance.now();
    process.stdout.write(`▶ ${step.name} (${step.what})\n`);
    const { status } = spawnSync(node, step.args, {
      cwd: root,
      env: environment(),
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (status !== 0) failed.push(step.name);
    process.stdout.write(
      `${status === 0 ? '✔' : '✖'} ${step.name} ${((performance.now() - begin) / 1000).toFixed(1)} s\n`,
    );
  }
  process.stdout.write(failed.length === 0 ? '✔ check passed\n' : `✖ check failed: ${failed.join(', ')}\n`);
  process.exitCode = failed.length === 0 ? 0 : 1;
});
