// pure
import { TributaryError } from '@tributary/model';

/** Makes a key or value into bytes. */
export interface Serializer<T> {
  /**
   * @returns bytes, copied before `send` returns; or a string, which is written as UTF-8 straight into the batch: the faster way for text.
   * @throws whatever it likes: `send` reports it as INVALID_RECORD.
   */
  serialize(value: T, topic: string): Uint8Array | string;
}

/** Makes bytes into a key or value. */
export interface Deserializer<T> {
  /** @param bytes a view onto the fetched batch: copy what is to be kept. @throws whatever it likes: reported as INVALID_RECORD. */
  deserialize(bytes: Uint8Array, topic: string): T;
}

/** Both directions. */
export interface Serde<T> extends Serializer<T>, Deserializer<T> {}

const text = new TextDecoder();

const bytes: Serde<Uint8Array> = {
  serialize: (value) => {
    if (!(value instanceof Uint8Array)) throw new TypeError(`bytes are expected, not ${describe(value)}`);
    return value;
  },
  deserialize: (value) => value,
};

const string: Serde<string> = {
  serialize: (value) => {
    if (typeof value !== 'string') throw new TypeError(`a string is expected, not ${describe(value)}`);
    return value;
  },
  deserialize: (value) => text.decode(value),
};

const json: Serde<unknown> = {
  serialize: (value) => {
    const written: string | undefined = JSON.stringify(value);
    if (written === undefined) throw new TypeError(`JSON has no form for ${describe(value)}`);
    return written;
  },
  deserialize: (value): unknown => JSON.parse(text.decode(value)),
};

const int32: Serde<number> = fixed(
  4,
  (view, value) => {
    if (!Number.isInteger(value) || value !== (value | 0))
      throw new RangeError(`${describe(value)} is not a whole number of 32 bits`);
    view.setInt32(0, value);
  },
  (view) => view.getInt32(0),
);

const int64: Serde<bigint> = fixed(
  8,
  (view, value) => {
    if (typeof value !== 'bigint' || value !== BigInt.asIntN(64, value))
      throw new RangeError(`${describe(value)} is not a bigint of 64 bits`);
    view.setBigInt64(0, value);
  },
  (view) => view.getBigInt64(0),
);

const float64: Serde<number> = fixed(
  8,
  (view, value) => {
    if (typeof value !== 'number') throw new TypeError(`a number is expected, not ${describe(value)}`);
    view.setFloat64(0, value);
  },
  (view) => view.getFloat64(0),
);

/** Text or bytes, whichever the caller has. What a producer uses when it is told nothing else. */
export const textOrBytes: Serializer<string | Uint8Array> = {
  serialize: (value) => {
    if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
      throw new TypeError(
        `a string or bytes are expected, not ${describe(value)}; give the producer a serializer for anything else`,
      );
    }
    return value;
  },
};

/** The formats of Kafka's own serializers: numbers are big-endian, text is UTF-8. */
export const serializers = {
  /** As they are. Deserialised bytes are a view onto the fetched batch. */
  bytes,
  /** UTF-8. */
  string,
  /** JSON as UTF-8. The type is the caller's word: nothing is checked. */
  json: <T>(): Serde<T> => json as Serde<T>,
  /** Four bytes. */
  int32,
  /** Eight bytes. */
  int64,
  /** Eight bytes, IEEE 754. */
  float64,
} as const;

function fixed<T>(size: number, write: (view: DataView, value: T) => void, read: (view: DataView) => T): Serde<T> {
  return {
    serialize: (value) => {
      const written = new Uint8Array(size);
      write(new DataView(written.buffer), value);
      return written;
    },
    deserialize: (value) => {
      if (value.length !== size)
        throw new TributaryError('INVALID_RECORD', `${size} bytes are expected, ${value.length} are there`);
      return read(new DataView(value.buffer, value.byteOffset, size));
    },
  };
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'object') return `an object (${value.constructor?.name ?? 'without a class'})`;
  if (typeof value === 'string') return `the string ${JSON.stringify(value.slice(0, 40))}`;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return `${value} (${typeof value})`;
  return typeof value;
}
