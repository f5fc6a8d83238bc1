import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mutations } from './list.ts';
import { tryOne } from './run.ts';

describe('the simulator finds planted bugs', () => {
  for (const mutation of mutations) {
    test(`${mutation.name} (${mutation.rule})`, (context) => {
      const outcome = tryOne(mutation);
      assert.notEqual(outcome, undefined, 'it was not noticed');
      context.diagnostic(outcome ?? '');
    });
  }
});
