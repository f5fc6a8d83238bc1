/** An error as gRPC's richer error model has it: a google.rpc.Status with one google.rpc.ErrorInfo, for clients that know nothing of us. */
import type { TributaryError } from '@tributary/model';
import { int32Size, lengthDelimitedSize, ProtobufWriter, stringSize } from './protobuf-writer.ts';

const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';
const domain = 'tributary';

/**
 * The value of the trailer `grpc-status-details-bin`: the reason is the error's name, `code` its number, and `retriable` and `refresh_metadata`
 * say what to do about it. @param status gRPC's number. @param sentence as it stands in `grpc-message`.
 */
export function errorDetails(error: TributaryError, status: number, sentence: string): Uint8Array {
  const info = errorInfo(error.error, {
    code: String(error.code),
    retriable: String(error.retriable),
    refresh_metadata: String(error.refreshMetadata),
  });
  const anySize = stringSize(errorInfoType) + lengthDelimitedSize(info.length);
  const size = int32Size(status) + stringSize(sentence) + lengthDelimitedSize(anySize);
  const bytes = Buffer.allocUnsafe(size);
  const to = new ProtobufWriter(bytes);
  to.int32(8, status);
  to.string(18, sentence);
  to.lengthPrefix(26, anySize);
  to.string(10, errorInfoType);
  to.bytes(18, info);
  return bytes;
}

/** ErrorInfo: reason 1, domain 2, metadata 3, a map: entries of key 1 and value 2. */
function errorInfo(reason: string, metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries = Object.entries(metadata);
  let size = stringSize(reason) + stringSize(domain);
  for (const [key, value] of entries) size += lengthDelimitedSize(stringSize(key) + stringSize(value));
  const bytes = Buffer.allocUnsafe(size);
  const to = new ProtobufWriter(bytes);
  to.string(10, reason);
  to.string(18, domain);
  for (const [key, value] of entries) {
    to.lengthPrefix(26, stringSize(key) + stringSize(value));
    to.string(10, key);
    to.string(18, value);
  }
  return bytes;
}
