/**
 * Protobuf messages that are almost right. A message is taken apart by its wire types alone, so that what is changed is a field and not a random byte
 * most of the time; and now and then it is a random byte.
 */

/** Uniform in [0, below). */
export type Pick = (below: number) => number;

interface Field {
  readonly number: number;
  readonly wireType: number;
  readonly bytes: Buffer;
}

export function mutate(message: Uint8Array, pick: Pick): Uint8Array {
  let bytes: Buffer = Buffer.from(message);
  for (let changes = 1 + pick(3); changes > 0; changes--)
    bytes = pick(5) === 0 ? scratched(bytes, pick) : changed(bytes, pick, 0);
  return bytes;
}

/** Bytes as a broken network, or a broken client, would have them. */
function scratched(bytes: Buffer, pick: Pick): Buffer {
  if (bytes.length === 0) return Buffer.from([pick(256)]);
  const at = pick(bytes.length);
  switch (pick(4)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << pick(8));
      return flipped;
    }
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([pick(256)]), bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + pick(8))]);
  }
}

/** One field changed, here or in a message within. */
function changed(bytes: Buffer, pick: Pick, depth: number): Buffer {
  const fields = parsed(bytes);
  if (fields === undefined || fields.length === 0) return Buffer.concat([bytes, encoded([strangeField(pick)])]);
  const at = pick(fields.length);
  const field = fields[at];
  if (field === undefined) return bytes;
  const isNested = field.wireType === 2 && depth < 4 && (parsed(field.bytes)?.length ?? 0) > 0;
  if (isNested && pick(3) > 0)
    return encoded(fields.with(at, { ...field, bytes: changed(field.bytes, pick, depth + 1) }));
  switch (pick(6)) {
    case 0:
      return encoded(fields.toSpliced(at, 1));
    case 1:
      return encoded(fields.toSpliced(at, 0, field));
    case 2:
      return encoded([...fields, strangeField(pick)]);
    case 3:
      return encoded(fields.with(at, { ...field, number: 1 + pick(20) }));
    default:
      return encoded(fields.with(at, strangeValue(field, pick)));
  }
}

const strangeNumbers: readonly bigint[] = [
  0n,
  1n,
  -1n,
  -2n,
  127n,
  2n ** 31n - 1n,
  -(2n ** 31n),
  2n ** 32n,
  2n ** 53n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  77n,
  999_999n,
];
const strangeBytes: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from([0xff, 0xfe, 0x80]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from('../../etc/passwd'),
  Buffer.from('a\0b\r\nx: y'),
  Buffer.from('__proto__'),
  Buffer.from('constructor'),
  Buffer.from('𝕊'.repeat(90)),
  Buffer.alloc(300, 'a'),
  Buffer.alloc(70_000, 'k'),
];

function strangeValue(field: Field, pick: Pick): Field {
  if (field.wireType === 0)
    return { ...field, bytes: varint(BigInt.asUintN(64, strangeNumbers[pick(strangeNumbers.length)] ?? 0n)) };
  if (field.wireType === 2) return { ...field, bytes: strangeBytes[pick(strangeBytes.length)] ?? field.bytes };
  return { ...field, bytes: Buffer.alloc(field.bytes.length, 0xff) };
}

function strangeField(pick: Pick): Field {
  return strangeValue({ number: 1 + pick(20), wireType: pick(2) * 2, bytes: Buffer.alloc(1) }, pick);
}

/** undefined: this is no message. */
function parsed(bytes: Buffer): readonly Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const number = (): bigint | undefined => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = number();
    if (tag === undefined || tag >> 3n === 0n || tag >> 3n > 1_000n) return undefined;
    const wireType = Number(tag & 7n);
    const from = at;
    if (wireType === 0) {
      if (number() === undefined) return undefined;
    } else if (wireType === 2) {
      const length = number();
      if (length === undefined || length > BigInt(bytes.length - at)) return undefined;
      fields.push({ number: Number(tag >> 3n), wireType, bytes: bytes.subarray(at, at + Number(length)) });
      at += Number(length);
      continue;
    } else if (wireType === 1 || wireType === 5) at += wireType === 1 ? 8 : 4;
    else return undefined;
    if (at > bytes.length) return undefined;
    fields.push({ number: Number(tag >> 3n), wireType, bytes: bytes.subarray(from, at) });
  }
  return fields;
}

function encoded(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(({ number, wireType, bytes }) => {
      const tag = varint((BigInt(number) << 3n) | BigInt(wireType));
      return wireType === 2 ? [tag, varint(BigInt(bytes.length)), bytes] : [tag, bytes];
    }),
  );
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}
