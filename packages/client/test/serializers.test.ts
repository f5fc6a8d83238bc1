import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Serde, serializers } from '../src/serializers.ts';

/** As the batch would hold it. */
const bytesOf = <T>(serde: Serde<T>, value: T): Uint8Array => {
  const written = serde.serialize(value, 't');
  return typeof written === 'string' ? Buffer.from(written) : written;
};

const returns = <T>(serde: Serde<T>, arbitrary: fc.Arbitrary<T>) =>
  fc.assert(fc.property(arbitrary, (value) => assert.deepEqual(serde.deserialize(bytesOf(serde, value), 't'), value)));

test('what a serializer writes its deserializer reads', () => {
  returns(serializers.string, fc.string({ unit: 'binary' }));
  returns(serializers.bytes, fc.uint8Array());
  returns(serializers.int32, fc.integer());
  returns(serializers.int64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
  returns(serializers.float64, fc.double());
  returns(
    serializers.json<unknown>(),
    fc.jsonValue({ noUnicodeString: false }).map((value) => JSON.parse(JSON.stringify(value)) as unknown),
  );
});

test("numbers are written as Kafka's serializers write them: big-endian", () => {
  assert.deepEqual([...bytesOf(serializers.int32, -2)], [255, 255, 255, 254]);
  assert.deepEqual([...bytesOf(serializers.int64, 258n)], [0, 0, 0, 0, 0, 0, 1, 2]);
  assert.deepEqual([...bytesOf(serializers.float64, 1)], [63, 240, 0, 0, 0, 0, 0, 0]);
});

test('what a format cannot hold is refused with the value', () => {
  const refused: readonly (readonly [() => unknown, RegExp])[] = [
    [() => serializers.int32.serialize(2 ** 31, 't'), /2147483648.*32 bits/],
    [() => serializers.int32.serialize(Number.NaN, 't'), /NaN.*32 bits/],
    [() => serializers.int64.serialize(2n ** 63n, 't'), /9223372036854775808.*64 bits/],
    [() => serializers.int64.serialize(5 as unknown as bigint, 't'), /5 \(number\)/],
    [() => serializers.float64.serialize('1' as unknown as number, 't'), /the string "1"/],
    [() => serializers.string.serialize(undefined as unknown as string, 't'), /undefined/],
    [() => serializers.bytes.serialize({} as unknown as Uint8Array, 't'), /an object \(Object\)/],
    [() => serializers.json().serialize(undefined, 't'), /JSON has no form for undefined/],
    [() => serializers.int32.deserialize(new Uint8Array(5), 't'), /4 bytes are expected, 5 are there/],
    [() => serializers.int64.deserialize(new Uint8Array(0), 't'), /8 bytes are expected, 0 are there/],
  ];
  for (const [attempt, sentence] of refused) assert.throws(attempt, sentence);
});
