/**
 * npm run bench: Tributary end to end, beside Apache Kafka where a script is given that runs one. No figure passes or fails.
 *
 *     npm run bench -- [--kafka-script FILE] [--only start,produce,consume,latency,records,limits] [--repeats 3] [--scale 1] [--data-dir data-bench]
 *                      [--nodes 1|3] [--output table|json] [--profile FOLDER]
 *
 * --nodes 3: as many brokers, each topic with a replica on each, of which two must be in sync; not for start, records and limits.
 */
import { mkdirSync, mkdtempDisposableSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Comparison } from './end-to-end/comparison.ts';
import { consume } from './end-to-end/consume.ts';
import type { Contender } from './end-to-end/contender.ts';
import { Kafka } from './end-to-end/kafka.ts';
import { latency } from './end-to-end/latency.ts';
import { limitsOfMemory } from './end-to-end/limits.ts';
import { produce } from './end-to-end/produce.ts';
import { recordLevel } from './end-to-end/record-level.ts';
import type { Scenario, Stage } from './end-to-end/scenario.ts';
import { start } from './end-to-end/start.ts';
import { Tributary } from './end-to-end/tributary.ts';
import { publish } from './report.ts';

const usual: readonly Scenario[] = [start, produce, consume, latency];
/** Records needs Go. Limits passes or fails: a canary may become three times as slow. */
const scenarios: readonly Scenario[] = [...usual, recordLevel, limitsOfMemory];
const { values: flags } = parseArgs({
  options: {
    'kafka-script': { type: 'string', default: process.env['KAFKA_PEER'] ?? '' },
    only: { type: 'string', default: usual.map(({ name }) => name).join(',') },
    repeats: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    nodes: { type: 'string', default: '1' },
    'data-dir': { type: 'string', default: 'data-bench' },
    output: { type: 'string', default: 'table' },
    profile: { type: 'string' },
  },
});

/** Progress goes to standard error: standard output is the result. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function measure(chosen: readonly Scenario[], stage: Omit<Stage, 'repeat' | 'scale'>): Promise<void> {
  const scale = Number(flags.scale);
  const repeats = Number(flags.repeats);
  for (const { name, warmUp } of chosen) {
    say(`${name}: warming up`);
    await warmUp({ ...stage, scale, repeat: 0 });
  }
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const { name, measure: turn } of chosen) {
      say(`${name}: ${repeat + 1} of ${repeats}`);
      await turn({ ...stage, scale, repeat });
    }
    stage.comparison.endRepeat();
  }
}

async function main(): Promise<void> {
  const nodes = Number(flags.nodes);
  const names = flags.only.split(',');
  const chosen = names.map((name) => {
    const scenario = scenarios.find((one) => one.name === name);
    if (scenario === undefined)
      throw new Error(`--only ${name}: there are ${scenarios.map((one) => one.name).join(', ')}`);
    return scenario;
  });
  mkdirSync(flags['data-dir'], { recursive: true });
  using folder = mkdtempDisposableSync(path.join(flags['data-dir'], 'run-'));
  await using stack = new AsyncDisposableStack();
  const contenders: Contender[] = [new Tributary(folder.path, nodes, flags.profile)];
  const notes: string[] = [];
  if (flags['kafka-script'] === '')
    notes.push(
      'No Kafka beside it: --kafka-script FILE or KAFKA_PEER names a script that runs one (benchmarks/README.md).',
    );
  else {
    const kafka = new Kafka(flags['kafka-script'], nodes, flags['data-dir']);
    stack.defer(() => kafka.remove());
    contenders.push(kafka);
  }
  for (const contender of contenders) {
    stack.defer(() => contender.stop());
    say(`starting ${contender.name}`);
    await contender.start();
  }
  const comparison = new Comparison();
  await measure(chosen, { contenders, comparison, folder: folder.path });
  const results = path.join(import.meta.dirname, 'results');
  mkdirSync(results, { recursive: true });
  const file = path.join(results, `${new Date().toISOString().replaceAll(':', '-')}.json`);
  publish(
    {
      benchmark: `end to end, ${flags.nodes} broker${nodes === 1 ? '' : 's'}, ${flags.repeats} repeats`,
      rows: comparison.rows,
      notes,
    },
    flags.output,
    file,
  );
  say(`Also in ${path.relative('', file)}`);
}

await main();
