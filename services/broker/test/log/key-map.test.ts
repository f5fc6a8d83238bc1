import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KeyMap } from '../../src/log/key-map.ts';

const seed = [1, 2] as const;

describe('the newest offset of each key', () => {
  test('is that of a map without hashes, for keys of any bytes', () => {
    const key = fc.oneof(
      fc.uint8Array({ maxLength: 9 }),
      fc.uint8Array({ minLength: 20, maxLength: 60 }),
      fc.constantFrom(new Uint8Array(0), new Uint8Array(1), new Uint8Array(300_000)),
    );
    fc.assert(
      fc.property(fc.array(key, { maxLength: 60 }), fc.nat(2 ** 40), (keys, from) => {
        const map = new KeyMap(from, 1 << 24, keys.length, seed);
        const plain = new Map<string, number>();
        const all = Buffer.concat(keys);
        let at = 0;
        const places = keys.map((bytes, index) => {
          const place = {
            start: at,
            length: bytes.length,
            offset: from + index,
            text: Buffer.from(bytes).toString('hex'),
          };
          at += bytes.length;
          assert.ok(map.put(all, place.start, place.length, place.offset));
          plain.set(place.text, place.offset);
          return place;
        });
        assert.equal(map.count, plain.size);
        for (const { start, length, offset, text } of places) {
          assert.equal(map.get(all, start, length), plain.get(text));
          assert.equal(map.isNewest(all, start, length, offset), plain.get(text) === offset);
          // What lies before all that was put is replaced by any of them.
          if (from > 0) assert.equal(map.isNewest(all, start, length, from - 1), false);
        }
        assert.equal(map.isNewest(Buffer.from('nobody put it'), 0, 13, from - 1), true);
      }),
      { numRuns: 200 },
    );
  });

  test('is told apart for keys with the same hash', () => {
    const count = 200_000;
    const keys = Buffer.alloc(count * 8);
    for (let index = 0; index < count; index++) keys.write(index.toString(36).padStart(8, '_'), index * 8, 'latin1');
    // Some twenty thousand million pairs under thirty-two bits: a few collide.
    const map = new KeyMap(0, 1 << 26, count, seed);
    for (let index = 0; index < count; index++) assert.ok(map.put(keys, index * 8, 8, index));
    assert.equal(map.count, count);
    for (let index = 0; index < count; index++) if (map.get(keys, index * 8, 8) !== index) assert.fail(`key ${index}`);
  });

  test('is kept within the memory that is allowed, and a key that has no room changes nothing', () => {
    const keys = Buffer.from(Array.from({ length: 1_000 }, (_, index) => String(index).padStart(10, '0')).join(''));
    const map = new KeyMap(0, 4_000, 1_000, seed);
    let put = 0;
    while (map.put(keys, put * 10, 10, put)) put++;
    assert.ok(put > 40 && put < 150, `${put} keys of 10 bytes in 4000`);
    assert.equal(map.get(keys, put * 10, 10), undefined);
    assert.ok(map.put(keys, 0, 10, 5_000), 'a known key needs no room');
    assert.equal(map.get(keys, 0, 10), 5_000);
  });
});
