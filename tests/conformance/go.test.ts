import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DevProcess } from '../end-to-end/dev-process.ts';
import { requires } from '../requirements.ts';
import { goClient, run } from './foreign.ts';

test('a Go client with generated stubs: records, sequences, credits, health, errors as typed details', {
  skip: requires('go'),
}, async () => {
  const client = await goClient();
  await using dev = await DevProcess.begin();
  const { code, stdout, stderr } = await run(client, ['check', dev.bootstrap]);
  assert.equal(code, 0, `the client failed after:\n${stdout}${stderr}`);
  assert.match(stdout, /watched health/);
});
