// The bound holds at any load: a broker with little memory for its clients, 2,000 idle connections, clients that never read and clients that never
// stop writing, while a canary produces and fetches. Memory and progress are asserted; how much slower the canary gets is printed here, and judged by
// `npm run bench -- --only limits`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DevProcess } from './dev-process.ts';
import { besieged } from './siege.ts';

const requestBytes = 384 * 1024 * 1024;

test('memory stays within the bound, and a canary goes on, under idle, never reading and never ending clients', async () => {
  await using dev = await DevProcess.begin({
    args: [
      ...['--config', `queued.max.request.bytes=${requestBytes}`],
      ...['--config', 'connection.max.request.bytes=16777216'],
    ],
  });
  const report = await besieged(dev, { idle: 2_000, readers: 150, writers: 40, phases: 2, phaseMs: 4_000 });
  console.log(report.text);
  assert.ok(report.refused > 0, 'nothing was refused: the attack was none');
  assert.ok(report.answeredUnderAttack >= 20, `${report.answeredUnderAttack} records came back during the attack`);
  const boundBytes = report.restBytes + requestBytes;
  assert.ok(report.mostBytes <= boundBytes, `${report.mostBytes} bytes of memory, allowed were ${boundBytes}`);
});
