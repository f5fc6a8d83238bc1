import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { afterBytes } from '../src/file-system/node-file.ts';

it('what a partial write leaves is every byte that it did not take, once and in order', () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 6 }), { maxLength: 8 });
  fc.assert(
    fc.property(chunks, fc.nat(), (all, taken) => {
      const whole = Buffer.concat(all);
      const bytes = taken % (whole.length + 1);
      const rest = afterBytes(all, bytes);
      assert.deepEqual(Buffer.concat(rest), whole.subarray(bytes));
      // The end is seen as such: otherwise a writer would ask the kernel to write nothing, for ever.
      if (bytes === whole.length) assert.deepEqual(rest, []);
    }),
  );
});
