import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { settingsReference } from '@tributary/runtime';
import { settingTable } from '../src/main.ts';

test('docs/OPERATING.md has the settings of the coordinator as they are', () => {
  const page = readFileSync(new URL('../../../docs/OPERATING.md', import.meta.url), 'utf8');
  const table = settingsReference(settingTable);
  assert.ok(page.includes(table), `this is what belongs there:\n\n${table}`);
});
