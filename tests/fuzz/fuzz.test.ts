// Every call of the API is driven with mutated messages by raw HTTP/2 clients, while a canary goes on producing and reading.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '@tributary/client';
import { DevProcess } from '../end-to-end/dev-process.ts';
import { Canary } from './canary.ts';
import { drive } from './drive.ts';
import { seeds } from './seeds.ts';

/** `TRIBUTARY_FUZZ_CALLS=100000 TRIBUTARY_FUZZ_SEED=7 npm test -- tests/fuzz` for a longer run. */
const calls = Number(process.env['TRIBUTARY_FUZZ_CALLS'] ?? 3_000);
const seed = process.env['TRIBUTARY_FUZZ_SEED'] ?? '1';

test('whatever bytes are sent, each call ends with a typed status, and those who behave notice nothing', async (t) => {
  await using dev = await DevProcess.begin();
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  await cluster.admin.createTopic({ name: 'victim', partitions: 2 });
  const { id } = await cluster.admin.describeTopic('victim');
  await using canary = await Canary.begin(cluster);
  const before = canary.acknowledged;
  const { findings, endings } = await drive(dev.bootstrap, seeds('victim', id), seed, calls);
  await canary.settle();
  t.diagnostic(`seed ${seed}, ${calls} calls, ${canary.acknowledged - before} records of the canary meanwhile`);
  t.diagnostic(
    [...endings]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([ending, count]) => `${ending}: ${count}`)
      .join(', '),
  );
  assert.deepEqual(findings.slice(0, 5), [], `${findings.length} calls were taken badly`);
  assert.ok(canary.acknowledged > before, 'the canary was held up');
  assert.deepEqual(canary.read, canary.sent, 'the canary reads what was acknowledged, once and in order');
});
