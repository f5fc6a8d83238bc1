import assert from 'node:assert/strict';
import { it } from 'node:test';
import { errorTable } from '@tributary/model';
import { ErrorCode } from '../src/index.ts';

it('the error numbers of the wire are those of the one error table', () => {
  const table = Object.fromEntries(Object.entries(errorTable).map(([name, kind]) => [name, kind.code]));
  const { UNSPECIFIED, ...wire } = ErrorCode;
  assert.equal(UNSPECIFIED, 0);
  assert.deepEqual(wire, table);
});
