/** An error as gRPC's richer error model has it: a google.rpc.Status with one google.rpc.ErrorInfo, for clients that know nothing of us. */
import type { TributaryError } from '@tributary/model';
import { ErrorInfo } from './gen/google/rpc/error_info.ts';
import { int32Size, lengthDelimitedSize, ProtobufWriter, stringSize } from './protobuf-writer.ts';

const errorInfoType = 'type.googleapis.com/google.rpc.ErrorInfo';
const domain = 'tributary';

/**
 * The value of the trailer `grpc-status-details-bin`: the reason is the error's name, `code` its number, and `retriable` and `refresh_metadata`
 * say what to do about it. @param status gRPC's number. @param sentence as it stands in `grpc-message`.
 */
export function errorDetails(error: TributaryError, status: number, sentence: string): Uint8Array {
  const metadata = {
    code: String(error.code),
    retriable: String(error.retriable),
    refresh_metadata: String(error.refreshMetadata),
  };
  const info = ErrorInfo.encode({ reason: error.error, domain, metadata }).finish();
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
