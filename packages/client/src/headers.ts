// pure
import { TributaryError } from '@tributary/model';
import type { RecordHeader } from '@tributary/record';

/** A header's value as users give it: text is written as UTF-8. */
export type HeaderValue = Uint8Array | string | null;

/** An object where keys are distinct; a list where they repeat or order counts across them. */
export type HeadersInput =
  | Readonly<Record<string, HeaderValue>>
  | readonly { readonly key: string; readonly value: HeaderValue }[];

/** As the record format has them. @throws TributaryError INVALID_RECORD. */
export function headerList(input: HeadersInput): readonly RecordHeader[] {
  if (isList(input)) return input.map(({ key, value }) => ({ key, value: headerBytes(key, value) }));
  return Object.entries(input).map(([key, value]) => ({ key, value: headerBytes(key, value) }));
}

const isList = (input: HeadersInput): input is readonly { readonly key: string; readonly value: HeaderValue }[] =>
  Array.isArray(input);

function headerBytes(key: unknown, value: unknown): Uint8Array | null {
  if (typeof key !== 'string')
    throw new TributaryError('INVALID_RECORD', `A header's key must be a string, not ${typeof key}.`);
  if (value === null || value instanceof Uint8Array) return value;
  if (typeof value === 'string') return Buffer.from(value);
  throw new TributaryError('INVALID_RECORD', `Header "${key}" must be a string, bytes or null, not ${typeof value}.`);
}
