import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { missingEntries } from '../../scripts/lock.mjs';

const text = readFileSync(path.resolve(import.meta.dirname, '..', '..', 'package-lock.json'), 'utf8');

test('the lock file covers every platform, so that npm ci accepts it everywhere', () => {
  assert.deepEqual(Object.keys(missingEntries(JSON.parse(text))), [], 'run: node scripts/lock.mjs');
});

test("the lock file names no registry: a clone installs from its owner's", () => {
  assert.deepEqual(text.match(/"resolved": "https?:[^"]*"/g), null);
});
