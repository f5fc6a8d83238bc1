import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readLines } from '../src/lines.ts';

async function linesOf(chunks: readonly Uint8Array[], lineBytesMost = 1_000, slow = false): Promise<string[]> {
  async function* source(): AsyncGenerator<Buffer> {
    for (const chunk of chunks) {
      const bytes = Buffer.from(chunk);
      yield bytes;
      // A reader may use its buffer again: a line that was kept must be a copy.
      bytes.fill(0x21);
    }
  }
  const lines: string[] = [];
  await readLines(source(), lineBytesMost, {
    line: (bytes, number) => {
      lines.push(Buffer.from(bytes).toString('latin1'));
      assert.equal(number, lines.length);
      return slow ? Promise.resolve() : undefined;
    },
    tooLong: (number, size, whole) => {
      throw new Error(`line ${number}: ${whole ? '' : 'over '}${size}`);
    },
  });
  return lines;
}

test('however the bytes are cut into chunks, the lines are the same, byte for byte', async () => {
  const chunk = fc.uint8Array({ maxLength: 12 }).map((bytes) => bytes.map((byte) => (byte % 4 === 0 ? 10 : byte)));
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), fc.boolean(), async (chunks, slow) => {
      const expected = Buffer.concat(chunks).toString('latin1').split('\n');
      if (expected.at(-1) === '') expected.pop();
      assert.deepEqual(await linesOf(chunks, 1_000, slow), expected);
    }),
  );
});

test('a line of the largest size is taken, one of a byte more is refused with its number and size, however it is cut', async () => {
  const text = Buffer.from('ab\n12345678\n');
  for (let cut = 0; cut <= text.length; cut++) {
    const chunks = [text.subarray(0, cut), text.subarray(cut)];
    assert.deepEqual(await linesOf(chunks, 8), ['ab', '12345678']);
    await assert.rejects(linesOf(chunks, 7), /^Error: line 2: 8$/);
  }
  await assert.rejects(linesOf([Buffer.from('ab\n1234'), Buffer.from('5678')], 7), /^Error: line 2: 8$/);
});
