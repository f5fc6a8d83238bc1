import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { DevProcess } from '../end-to-end/dev-process.ts';
import { requires } from '../requirements.ts';
import { python, pythonSource, run } from './foreign.ts';

const skip = requires('python3', 'python3-venv');

/** Runs a script against a broker of its own. */
async function script(name: string): Promise<void> {
  await using dev = await DevProcess.begin();
  const { code, stdout, stderr } = await run(await python(), [path.join(pythonSource, name), dev.bootstrap]);
  assert.equal(code, 0, `${name} failed after:\n${stdout}${stderr}`);
  assert.ok(stdout.split('\n').length > 5, stdout);
}

test(
  'a Python client finds its way by reflection alone: records, topics, credits, health, errors as typed details',
  { skip },
  () => script('record_level.py'),
);

test(
  'a Python client written from docs/PROTOCOL.md speaks the batch level: RecordBatch v2, retries, credits',
  { skip },
  () => script('batch_level.py'),
);

test(
  'a Python client is a full member of a group by reflection alone: it shares, releases, commits and takes over',
  { skip },
  () => script('group_member.py'),
);
