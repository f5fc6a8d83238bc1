// npm run check: everything that can be said about the tree without running it. All steps run, whatever fails.
//   npm run check -- types lint     only these

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { environment, main, ready, root } from './setup.mjs';

const bin = (name) => path.join(root, 'node_modules', '.bin', name);

const STEPS = [
  { name: 'types', what: 'TypeScript, strict', args: [bin('tsc'), '--project', 'tsconfig.json'] },
  { name: 'proto', what: 'buf lint', args: [bin('buf'), 'lint'] },
];

await main(async () => {
  const node = await ready();
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !STEPS.some((step) => step.name === name));
  if (unknown.length > 0) throw new Error(`no step is called ${unknown.join(', ')}; there are ${STEPS.map((step) => step.name).join(', ')}`);
  const env = { ...environment(), PATH: `${path.dirname(node)}${path.delimiter}${process.env['PATH']}` };
  const failed = [];
  for (const step of STEPS.filter((each) => wanted.length === 0 || wanted.includes(each.name))) {
    const begin = performance.now();
    process.stdout.write(`▶ ${step.name} (${step.what})\n`);
    const result = spawnSync(node, step.args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
    const ok = result.status === 0;
    if (!ok) failed.push(step.name);
    process.stdout.write(`${ok ? '✔' : '✖'} ${step.name} ${((performance.now() - begin) / 1000).toFixed(1)} s\n`);
  }
  process.stdout.write(failed.length === 0 ? '✔ check passed\n' : `✖ check failed: ${failed.join(', ')}\n`);
  process.exitCode = failed.length === 0 ? 0 : 1;
});
