/**
 * Avro with a given schema: the value's bytes alone, as Avro's binary encoding has them, without container or id.
 *
 * | Avro | JavaScript |
 * | --- | --- |
 * | int, float, double | number |
 * | long | bigint, exact |
 * | bytes, fixed | Uint8Array |
 * | record, map | object; a field with a default may be left out |
 * | enum | string |
 * | union | the value, where the branches differ as JavaScript values; else `{branch: value}` |
 * | decimal, uuid, date, time-*, timestamp-*, local-timestamp-* | exact text: "12.50", "2026-01-31", "12:00:00.000", "2026-01-31T12:00:00.000Z"; a Date is taken, too |
 * | duration | `{months, days, milliseconds}` |
 */
import { TributaryError } from '@tributary/model';
import { type Avsc, loadAvsc, type Resolver } from './avro/avsc-module.ts';
import { checkBytes } from './avro/check-bytes.ts';
import { checkValue } from './avro/check-value.ts';
import { compile, type Compiled } from './avro/compile.ts';
import { fromJson, parseExact, parseSchema, toJson } from './avro/json.ts';
import { Mismatch } from './avro/nodes.ts';
import {
  type AvroSchema,
  givenSchema,
  type SchemaFraming,
  type SchemaId,
  type SchemaSource,
  unframed,
} from './avro/schema-source.ts';
import type { Serde } from './serializers.ts';

export interface AvroOptions {
  /** What values are read as when that is not what they were written with: Avro's schema resolution. Default: what they were written with. */
  readonly readerSchema?: AvroSchema;
}

export interface AvroSerde<T> extends Serde<T> {
  serialize(value: T, topic: string): Uint8Array;
  /** One JSON value; numbers keep every digit. @throws TributaryError INVALID_RECORD naming the field and what was expected there. */
  fromJson(text: string, topic: string): T;
  /** @param value as `deserialize` returned it. @returns JSON on one line. */
  toJson(value: T, topic: string): string;
}

/**
 * Loads the Avro library, and makes a serializer and deserializer. The type is the caller's word; that values follow the schema is checked.
 * ```ts
 * const users = await avro<User>(readFileSync('user.avsc', 'utf8'));
 * const producer = cluster.producer({ valueSerializer: users });
 * ```
 * @throws TributaryError INVALID_CONFIG when a schema is not valid, or one cannot be read as the other.
 */
export async function avro<T = unknown>(schema: AvroSchema, options: AvroOptions = {}): Promise<AvroSerde<T>> {
  const source = givenSchema(schema);
  const serde = new AvroFormat<T>(await loadAvsc(), source, unframed(source), options);
  serde.prepare(source.idFor(''));
  return serde;
}

/**
 * As {@link avro}, with schemas from anywhere: what a schema registry's client is made with. Schemas are compiled when first met; one that is not
 * valid is then INVALID_CONFIG.
 * @throws TributaryError INVALID_CONFIG when the reader's schema is not valid.
 */
export async function avroFrom<T = unknown>(
  source: SchemaSource,
  framing: SchemaFraming,
  options: AvroOptions = {},
): Promise<AvroSerde<T>> {
  return new AvroFormat<T>(await loadAvsc(), source, framing, options);
}

interface Writer extends Compiled {
  readonly resolver: Resolver | undefined;
}

class AvroFormat<T> implements AvroSerde<T> {
  readonly #avsc: Avsc;
  readonly #source: SchemaSource;
  readonly #framing: SchemaFraming;
  readonly #reader: Compiled | undefined;
  /** By their ids, which never mean anything else. */
  readonly #writers = new Map<SchemaId, Writer>();

  constructor(avsc: Avsc, source: SchemaSource, framing: SchemaFraming, { readerSchema }: AvroOptions) {
    this.#avsc = avsc;
    this.#source = source;
    this.#framing = framing;
    this.#reader = readerSchema === undefined ? undefined : compiled(avsc, readerSchema, 'reader’s schema');
  }

  /** @throws TributaryError INVALID_CONFIG. */
  prepare(id: SchemaId): Writer {
    const known = this.#writers.get(id);
    if (known !== undefined) return known;
    const schema = compiled(this.#avsc, this.#source.schema(id), 'schema');
    const writer = { ...schema, resolver: this.#reader === undefined ? undefined : resolved(this.#reader, schema) };
    this.#writers.set(id, writer);
    return writer;
  }

  serialize(value: T, topic: string): Uint8Array {
    const id = this.#source.idFor(topic);
    const { node, type } = this.prepare(id);
    const bytes = explained('', () => {
      checkValue(node, value);
      return type.toBuffer(value);
    });
    return this.#framing.frame(id, bytes);
  }

  deserialize(bytes: Uint8Array, topic: string): T {
    const { id, value } = this.#framing.unframe(bytes, topic);
    const { node, type, resolver } = this.prepare(id);
    return explained('the bytes do not follow the schema: ', () => {
      checkBytes(node, value);
      // avsc copies bytes and fixed: what is handed out does not keep the fetched batch in memory.
      const view = Buffer.from(value.buffer, value.byteOffset, value.length);
      return (resolver === undefined ? type : (this.#reader?.type ?? type)).fromBuffer(view, resolver) as T;
    });
  }

  fromJson(text: string, topic: string): T {
    const { node } = this.prepare(this.#source.idFor(topic));
    return explained('', () => {
      const value = fromJson(node, parsed(text));
      checkValue(node, value);
      return value as T;
    });
  }

  toJson(value: T, topic: string): string {
    return toJson((this.#reader ?? this.prepare(this.#source.idFor(topic))).node, value);
  }
}

function parsed(text: string): unknown {
  try {
    return parseExact(text);
  } catch (thrown) {
    throw new Mismatch(`it is no JSON (${messageOf(thrown)})`);
  }
}

function compiled(avsc: Avsc, schema: AvroSchema, what: string): Compiled {
  try {
    return compile(avsc, typeof schema === 'string' ? schemaOf(schema) : schema);
  } catch (thrown) {
    throw new TributaryError('INVALID_CONFIG', `The Avro ${what} is not valid: ${messageOf(thrown)}.`, {
      cause: thrown,
    });
  }
}

/** A bare name such as `long` is a schema, too, and is no JSON. */
function schemaOf(text: string): unknown {
  return /^[a-z]+$/.test(text.trim()) ? text.trim() : parseSchema(text);
}

function resolved(reader: Compiled, writer: Compiled): Resolver {
  try {
    return reader.type.createResolver(writer.type);
  } catch (thrown) {
    throw new TributaryError(
      'INVALID_CONFIG',
      `What the Avro schema writes cannot be read by the reader’s schema: ${messageOf(thrown)}.`,
      { cause: thrown },
    );
  }
}

function explained<R>(prefix: string, work: () => R): R {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof TributaryError) throw thrown;
    throw new TributaryError('INVALID_RECORD', `${prefix}${messageOf(thrown)}`, { cause: thrown });
  }
}

const messageOf = (thrown: unknown): string => {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return (text.length > 300 ? `${text.slice(0, 300)}…` : text).replace(/\.$/, '');
};
