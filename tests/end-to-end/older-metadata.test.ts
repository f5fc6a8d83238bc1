// Metadata that was put back from an older copy knows less than the data directory holds (M6).

import assert from 'node:assert/strict';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { DevProcess } from './dev-process.ts';

test('M6: on older metadata the broker stops and says so, and no folder of a topic that it does not know is moved', async () => {
  await using dev = await DevProcess.begin();
  await dev.ok(['topic', 'create', 'early']);
  await dev.stop();
  const metadata = path.join(dev.dataDirectory, 'metadata');
  cpSync(metadata, dev.file('copy'), { recursive: true });
  await dev.start();
  await dev.ok(['topic', 'create', 'late']);
  await dev.ok(['produce', 'late'], { input: 'kept\n' });
  await dev.stop();
  const folders = readdirSync(path.join(dev.dataDirectory, 'broker-1')).sort();
  cpSync(metadata, dev.file('newest'), { recursive: true });
  rmSync(metadata, { recursive: true });
  cpSync(dev.file('copy'), metadata, { recursive: true });
  await assert.rejects(dev.start(), /has seen \d+: the metadata store was restored from a backup/);
  assert.deepEqual(readdirSync(path.join(dev.dataDirectory, 'broker-1')).sort(), folders);
  rmSync(metadata, { recursive: true });
  cpSync(dev.file('newest'), metadata, { recursive: true });
  await dev.start();
  assert.equal((await dev.ok(['consume', 'late', '--from-beginning', '--exit-at-end'])).toString(), 'kept\n');
});
