/** The memory of messages that carry records: one allocation for what is written, and none for the records of a large one. */
import { ProtobufWriter } from './protobuf-writer.ts';

/** Smaller messages come from Node's shared pool; a larger one has memory of its own, which goes back as soon as it is sent. */
const pooledMax = 4096;

/** Records of so many bytes are sent from where they are: a copy would cost more than one more piece to write. */
const insetMin = 4096;

export function pieces(length: number, records: number, write: (to: ProtobufWriter) => void): readonly Uint8Array[] {
  const to = new ProtobufWriter(Buffer.allocUnsafe(length - records), insetMin);
  write(to);
  return to.pieces;
}

/** Bytes of records that {@link pieces} does not copy. */
export function insetBytes(entries: readonly { readonly records: Uint8Array }[]): number {
  let bytes = 0;
  for (const { records } of entries) if (records.length >= insetMin) bytes += records.length;
  return bytes;
}

export function encoded(length: number, write: (to: ProtobufWriter) => void): Uint8Array {
  const into = length <= pooledMax ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length);
  write(new ProtobufWriter(into));
  return into;
}
