import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { TributaryError } from '@tributary/model';
import fc from 'fast-check';
import { avro, avroFrom } from '../src/avro.ts';
import type { SchemaFraming, SchemaSource } from '../src/avro/schema-source.ts';

interface Vector {
  readonly name: string;
  readonly schema: object | string;
  readonly reader?: object | string;
  readonly json: string;
  readonly hex: string;
}

/** Bytes that fastavro wrote: golden/generate/README.md. */
const vectors = JSON.parse(readFileSync(new URL('golden/avro.json', import.meta.url), 'utf8')) as {
  written: readonly Vector[];
  resolved: readonly Vector[];
};

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
/** Numbers as they are written, so that no digit is lost in comparing. */
const exact = (text: string): unknown =>
  JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    /^-?\d{16,}$/.test(context?.source ?? '') ? BigInt(context?.source ?? 0) : value,
  );

async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (thrown) {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    return `${thrown.error}: ${thrown.message}`;
  }
  assert.fail('it was accepted');
}

test('every value is written in the bytes in which another implementation writes it, and read back from them', async () => {
  for (const { name, schema, json, hex: expected } of vectors.written) {
    const serde = await avro(schema);
    const value = serde.fromJson(json, 't');
    assert.equal(hex(serde.serialize(value, 't')), expected, name);
    const read = serde.deserialize(bytesOf(expected), 't');
    assert.deepEqual(exact(serde.toJson(read, 't')), exact(json), name);
    assert.equal(hex(serde.serialize(read, 't')), expected, `${name}, as it was read`);
  }
});

test('what one schema wrote another reads as the other implementation does', async () => {
  for (const { name, schema, reader, json, hex: bytes } of vectors.resolved) {
    const serde = await avro(schema, { readerSchema: reader ?? schema });
    assert.deepEqual(exact(serde.toJson(serde.deserialize(bytesOf(bytes), 't'), 't')), exact(json), name);
  }
});

test('a logical type is read as the type beneath it, and in another precision, without a digit lost', async () => {
  const resolve = async (writer: object, reader: object | string, json: string): Promise<string> => {
    const written = await avro(writer);
    const read = await avro(writer, { readerSchema: reader });
    return read.toJson(read.deserialize(written.serialize(written.fromJson(json, 't'), 't'), 't'), 't');
  };
  const timestamp = (unit: string) => ({ type: 'long', logicalType: `timestamp-${unit}` });
  assert.equal(await resolve({ type: 'int', logicalType: 'date' }, 'int', '"1970-01-11"'), '10');
  assert.equal(
    await resolve(timestamp('millis'), timestamp('micros'), '"2026-01-31T12:00:00.123Z"'),
    '"2026-01-31T12:00:00.123000Z"',
  );
  assert.match(
    await refusal(() => resolve(timestamp('micros'), timestamp('millis'), '"2026-01-31T12:00:00.123456Z"')),
    /at most 3 digits of a second/,
  );
  assert.match(
    await refusal(() => resolve({ type: 'string', logicalType: 'uuid' }, { type: 'int', logicalType: 'date' }, '"x"')),
    /cannot be read by the reader’s schema/,
  );
});

test('a time that the calendar or the clock does not have is refused', async () => {
  const times = await avro<string>({ type: 'long', logicalType: 'timestamp-millis' });
  const local = await avro<string>({ type: 'long', logicalType: 'local-timestamp-millis' });
  const none = [
    '2026-02-30T12:00:00Z',
    '2026-01-31T24:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-31T12:60:00Z',
    '2026-01-31',
    '',
  ];
  for (const text of [...none, '2026-01-31T12:00:00', '2026-01-31T12:00:00.0001Z'])
    assert.match(await refusal(() => times.serialize(text, 't')), /is expected|are expected/, text);
  assert.match(await refusal(() => local.serialize('2026-01-31T12:00:00Z', 't')), /without a zone is expected/);
  for (const [text, read] of [
    ['2024-02-29T23:59Z', '2024-02-29T23:59:00.000Z'],
    ['2026-01-31T12:00:00.5+02:00', '2026-01-31T10:00:00.500Z'],
    ['-000001-12-31T00:00:00.000Z', '-000001-12-31T00:00:00.000Z'],
  ] as const)
    assert.equal(times.deserialize(times.serialize(text, 't'), 't'), read);
  const date = new Date('2026-01-31T12:00:00.123Z') as unknown as string;
  assert.equal(times.deserialize(times.serialize(date, 't'), 't'), '2026-01-31T12:00:00.123Z');
});

test('a decimal takes the fewest bytes, as Java writes it, and more are read', async () => {
  const serde = await avro<string>({ type: 'bytes', logicalType: 'decimal', precision: 5, scale: 2 });
  assert.equal(hex(serde.serialize('-1.28', 't')), '0280');
  // fastavro's.
  assert.equal(serde.deserialize(bytesOf('04ff80'), 't'), '-1.28');
});

test('what was read does not change when the batch it came from does', async () => {
  const serde = await avro<Uint8Array>('bytes');
  const batch = serde.serialize(new Uint8Array([1, 2, 3]), 't');
  const value = serde.deserialize(batch, 't');
  batch.fill(9);
  assert.deepEqual([...value], [1, 2, 3]);
});

const person = {
  type: 'record',
  name: 'Person',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'balance', type: 'long' },
    {
      name: 'addresses',
      type: {
        type: 'array',
        items: { type: 'record', name: 'Address', fields: [{ name: 'zip', type: ['null', 'string'], default: null }] },
      },
    },
    { name: 'born', type: { type: 'int', logicalType: 'date' } },
    { name: 'colour', type: { type: 'enum', name: 'Colour', symbols: ['red', 'green'] }, default: 'red' },
    { name: 'id', type: ['int', 'double'], default: 0 },
  ],
};
const ada = { name: 'Ada', balance: 1n, addresses: [{ zip: 'N1' }], born: '1815-12-10', id: { int: 1 } };

test('a value that does not follow the schema is refused with the field, what was expected and what is there', async () => {
  const serde = await avro(person);
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [{ ...ada, name: 5 }, /field "name": a string is expected, 5 \(number\) is there/],
    [{ ...ada, balance: 5 }, /field "balance": a whole number of 64 bits \(a bigint\) is expected, 5 \(number\)/],
    [{ ...ada, balance: 2n ** 63n }, /field "balance": .* 9223372036854775808 \(bigint\)/],
    [{ ...ada, addresses: [{ zip: 'a' }, { zip: 5 }] }, /field "addresses\[1\]\.zip": null or a string is expected, 5/],
    [{ ...ada, addresses: {} }, /field "addresses": an array is expected, an object is there/],
    [{ ...ada, born: '1815-02-30' }, /field "born": a date such as .* "1815-02-30"/],
    [{ ...ada, colour: 'constructor' }, /field "colour": one of red, green is expected, the string "constructor"/],
    [{ ...ada, nmae: 'x' }, /field "nmae": Person has no such field; its fields are name, balance/],
    [{ ...ada, id: 1 }, /field "id": \{"int": a whole number of 32 bits\} or \{"double": a number\} is expected, 1/],
    [{ name: 'x' }, /field "balance": it is missing; a whole number of 64 bits/],
    [null, /an object \(Person\) is expected, null is there/],
  ];
  for (const [value, sentence] of refused)
    assert.match(await refusal(() => serde.serialize(value, 't')), sentence, JSON.stringify(String(sentence)));
  assert.match(await refusal(() => serde.fromJson('{"name": ', 't')), /INVALID_RECORD: it is no JSON/);
  assert.match(await refusal(() => serde.fromJson('{"name": 5}', 't')), /field "name": a string is expected, 5/);
  assert.doesNotThrow(() => serde.serialize(ada, 't'), 'the value without a mistake is accepted');
});

test('a schema that is none, or that cannot be read as the other, is refused when it is given', async () => {
  const refused: readonly (readonly [string | object, RegExp])[] = [
    ['', /The Avro schema is not valid/],
    ['{"type": "record"', /The Avro schema is not valid/],
    ['{"type": "recrod", "name": "R"}', /unknown type: "recrod"/],
    [{ type: 'record', name: 'R', fields: [{ name: 'a', type: 'Other' }] }, /undefined type name: Other/],
    [{ type: 'record', name: 'R', fields: [{ name: 'a b', type: 'int' }] }, /invalid field name: a b/],
    [{ type: 'record', name: 'R', fields: [{ name: 'a', type: 'int', default: 'x' }] }, /default/],
    [[], /empty union/],
    [['int', 'int'], /duplicate union branch/],
    [[['int']], /union/],
    ['null ', /^$/],
  ];
  for (const [schema, sentence] of refused.slice(0, -1)) assert.match(await refusal(() => avro(schema)), sentence);
  const error = await refusal(() => avro('string', { readerSchema: 'int' }));
  assert.match(error, /^INVALID_CONFIG: What the Avro schema writes cannot be read by the reader’s schema/);
});

test('an annotation that is unknown or does not fit its type is ignored, as the specification says', async () => {
  const serde = await avro<Uint8Array>({ type: 'bytes', logicalType: 'decimal' });
  assert.deepEqual([...serde.deserialize(serde.serialize(new Uint8Array([1]), 't'), 't')], [1]);
  assert.equal((await avro<number>({ type: 'int', logicalType: 'colour' })).deserialize(bytesOf('02'), 't'), 1);
});

test('bytes that lie about lengths, counts and branches are refused at once, with the byte and the field', async () => {
  const strings = await avro({ type: 'array', items: 'string' });
  const longs = await avro('long');
  const nulls = await avro({ type: 'array', items: 'null' });
  const loop = await avro({ type: 'record', name: 'Loop', fields: [{ name: 'next', type: ['null', 'Loop'] }] });
  const refused: readonly (readonly [() => unknown, RegExp])[] = [
    [() => strings.deserialize(bytesOf('feffffffffffffffff01'), 't'), /byte 10: a number is expected, the bytes end/],
    [() => strings.deserialize(bytesOf('02ff01'), 't'), /field "\[0\]": byte 1: a string of length -128/],
    [() => strings.deserialize(bytesOf('020a61'), 't'), /a string of 5 bytes is expected, 1 are left/],
    [() => nulls.deserialize(bytesOf('feffffffffffffffff01'), 't'), /items that take no byte/],
    [() => loop.deserialize(new Uint8Array(1_000_000).fill(2), 't'), /nested deeper than 200/],
    [() => strings.deserialize(bytesOf('ffffffffffffffffffff01'), 't'), /takes more than 64 bits/],
    [() => longs.deserialize(bytesOf('ffffffffffffffffff03'), 't'), /takes more than 64 bits/],
    [() => strings.deserialize(bytesOf('0000'), 't'), /the value ends here, 1 bytes follow/],
  ];
  for (const [attempt, sentence] of refused) assert.match(await refusal(attempt), sentence);
});

test('cut at any byte, or with any byte changed, a value is refused or read: never a crash, never a hang', async () => {
  const serde = await avro(person);
  const whole = serde.serialize(ada, 't');
  for (let end = 0; end < whole.length; end++)
    assert.match(await refusal(() => serde.deserialize(whole.subarray(0, end), 't')), /^INVALID_RECORD: the bytes/);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
      const changed = Uint8Array.from(whole);
      changed[at] = byte;
      try {
        serde.toJson(serde.deserialize(changed, 't'), 't');
      } catch (thrown) {
        assert.ok(thrown instanceof TributaryError, String(thrown));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('any long and any decimal comes back as it was', async () => {
  const longs = await avro<bigint>('long');
  const decimals = await avro<string>({ type: 'bytes', logicalType: 'decimal', precision: 40, scale: 7 });
  const micros = await avro({ type: 'long', logicalType: 'timestamp-micros' });
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      assert.equal(longs.deserialize(longs.serialize(value, 't'), 't'), value);
      const digits = String(value < 0n ? -value : value).padStart(8, '0');
      const text = `${value < 0n ? '-' : ''}${digits.slice(0, -7)}.${digits.slice(-7)}`;
      assert.equal(decimals.deserialize(decimals.serialize(text, 't'), 't'), text);
      const time = micros.fromJson(String(value % 8_000_000_000_000_000_000n), 't');
      assert.equal(micros.deserialize(micros.serialize(time, 't'), 't'), time);
    }),
  );
});

test('schemas that come from elsewhere are told apart by what the framing says, and compiled once', async () => {
  const versions = [
    { type: 'record', name: 'R', fields: [{ name: 'a', type: 'int' }] },
    {
      type: 'record',
      name: 'R',
      fields: [
        { name: 'a', type: 'int' },
        { name: 'b', type: 'string', default: '-' },
      ],
    },
  ];
  const asked: number[] = [];
  const source: SchemaSource = {
    idFor: (topic) => (topic === 'old' ? 0 : 1),
    schema: (id) => {
      asked.push(id);
      const schema = versions[id];
      if (schema === undefined) throw new Error(`schema ${id} is not resolved`);
      return schema;
    },
  };
  // A zero byte, and the id in four bytes.
  const framing: SchemaFraming = {
    frame: (id, value) => Buffer.concat([Buffer.from([0, 0, 0, 0, id]), value]),
    unframe: (bytes) => ({ id: bytes[4] ?? 0, value: bytes.subarray(5) }),
  };
  const serde = await avroFrom<{ a: number; b?: string }>(source, framing, { readerSchema: versions[1] ?? '' });
  const old = serde.serialize({ a: 1 }, 'old');
  assert.equal(hex(old), '000000000002');
  assert.equal(hex(serde.serialize({ a: 1, b: 'x' }, 'new')), '0000000001020278');
  // Whatever the topic writes today, the bytes say what they were written with.
  assert.equal(serde.toJson(serde.deserialize(old, 'new'), 'new'), '{"a":1,"b":"-"}');
  assert.deepEqual(asked, [0, 1]);
  assert.throws(() => serde.deserialize(bytesOf('000000000902'), 'new'), /schema 9 is not resolved/);
});

test('a client that does not use Avro does not load its library', () => {
  const index = path.resolve(import.meta.dirname, '..', 'src', 'index.ts');
  const program = `await import(${JSON.stringify(index)}); const { createRequire } = await import('node:module');
    console.log(Object.keys(createRequire(${JSON.stringify(index)}).cache).filter((file) => file.includes('avsc')).length);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.equal(stdout.trim(), '0', stderr);
});
