import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { partitionOfKey } from '../src/key-partition.ts';

interface Vector {
  readonly keyHex: string;
  readonly partitions: Readonly<Record<string, number>>;
}

const vectors = JSON.parse(readFileSync(new URL('golden/murmur2.json', import.meta.url), 'utf8')) as readonly Vector[];

test("a key goes to the partition that Kafka's Java client sends it to", () => {
  assert.ok(vectors.length >= 10);
  for (const { keyHex, partitions } of vectors) {
    const key = Buffer.from(keyHex, 'hex');
    for (const [count, partition] of Object.entries(partitions)) {
      assert.equal(partitionOfKey(key, Number(count)), partition, `key ${keyHex} of ${count}`);
      const text = key.toString('utf8');
      // A string stands for its UTF-8.
      if (Buffer.from(text).equals(key))
        assert.equal(partitionOfKey(text, Number(count)), partition, `text ${text} of ${count}`);
    }
  }
});
