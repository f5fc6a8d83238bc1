/** Values in another form than bytes: JSON lines on the command line, Avro in the log. */
import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import { type AvroSerde, avro } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import { UsageError } from './failure.ts';
import { byteSize, count } from './figures.ts';

export interface ValueFormatOptions {
  readonly valueFormat: 'text' | 'avro';
  readonly valueSchema?: string;
  readonly readerSchema?: string;
}

export interface ValueFormat {
  /** @param place of the line, for the sentence. @throws TributaryError INVALID_RECORD. */
  toBytes(line: Uint8Array, place: string): Uint8Array;
  /** @returns JSON on one line. @throws TributaryError INVALID_RECORD naming the record. */
  toJson(
    value: Uint8Array,
    record: { readonly topic: string; readonly partition: number; readonly offset: bigint },
  ): string;
}

/** Larger schemas than this are something else than a schema. */
const schemaBytesMost = 16 * 1024 * 1024;

/** @returns undefined: values are bytes. @throws UsageError, or Error saying what is wrong with a file. */
export async function valueFormat(options: ValueFormatOptions): Promise<ValueFormat | undefined> {
  const { valueSchema, readerSchema } = options;
  if (options.valueFormat === 'text') {
    if (valueSchema !== undefined) throw new UsageError('--value-schema needs --value-format avro.');
    if (readerSchema !== undefined) throw new UsageError('--reader-schema needs --value-format avro.');
    return undefined;
  }
  if (valueSchema === undefined)
    throw new UsageError('--value-format avro needs --value-schema, the file with the schema.');
  const serde = await madeOf(valueSchema, readerSchema);
  return {
    toBytes: (line, place) => toBytes(serde, line, place),
    toJson: (value, record) => toJson(serde, value, record),
  };
}

async function madeOf(file: string, reader: string | undefined): Promise<AvroSerde<unknown>> {
  const schema = await readSchema(file);
  const options = reader === undefined ? {} : { readerSchema: await readSchema(reader) };
  try {
    return await avro(schema, options);
  } catch (thrown) {
    const error = TributaryError.from(thrown);
    const files = reader === undefined ? `"${file}"` : `"${file}", read by "${reader}"`;
    throw new TributaryError(error.error, `${files}: ${error.message}`, { cause: thrown });
  }
}

async function readSchema(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    if (size > schemaBytesMost) throw new Error(`Schema file "${file}" has ${byteSize(size)}: that is no schema.`);
    const bytes = await handle.readFile();
    if (!isUtf8(bytes)) throw new Error(`Schema file "${file}" is no text: it has bytes that are not UTF-8.`);
    return bytes.toString();
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === undefined) throw thrown;
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'is not there',
      EACCES: 'may not be read by this user',
      EISDIR: 'is a folder',
    };
    throw new Error(`Schema file "${file}" ${why[code] ?? `cannot be read (${code})`}.`, { cause: thrown });
  }
}

function toBytes(serde: AvroSerde<unknown>, line: Uint8Array, place: string): Uint8Array {
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.length);
  if (!isUtf8(bytes))
    throw new TributaryError('INVALID_RECORD', `${place} is no JSON: it has bytes that are not UTF-8.`);
  try {
    return serde.serialize(serde.fromJson(bytes.toString(), ''), '');
  } catch (thrown) {
    const error = TributaryError.from(thrown);
    throw new TributaryError(error.error, `${place} does not follow the schema: ${error.message}.`, { cause: thrown });
  }
}

function toJson(
  serde: AvroSerde<unknown>,
  value: Uint8Array,
  { topic, partition, offset }: { readonly topic: string; readonly partition: number; readonly offset: bigint },
): string {
  try {
    return serde.toJson(serde.deserialize(value, topic), topic);
  } catch (thrown) {
    const error = TributaryError.from(thrown);
    const place = `partition ${partition} of "${topic}" at offset ${offset}`;
    throw new TributaryError(
      error.error,
      `The value of ${count(value.length)} bytes in ${place} cannot be read: ${error.message}.`,
      { cause: thrown },
    );
  }
}
