import assert from 'node:assert/strict';
import { type ErrorName, TributaryError } from '@tributary/model';

/** For `assert.throws` and `assert.rejects`: the error by name, and what its sentence says. */
export const failsWith =
  (error: ErrorName, sentence: RegExp) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    assert.equal(thrown.error, error);
    assert.match(thrown.message, sentence);
    return true;
  };
