/** Calls as the generated service definitions describe them, with the codecs that were generated for their messages. */
import { BinaryReader, type BinaryWriter } from '@bufbuild/protobuf/wire';
import { limits, TributaryError } from '@tributary/model';
import type { Codec, StreamMethod, UnaryMethod } from '@tributary/ports';

/** What ts-proto generates for a message. */
interface GeneratedMessage<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array, length?: number): T;
}

interface ServiceDefinition {
  readonly fullName: string;
}

interface UnaryDefinition<Request, Response> {
  readonly name: string;
  readonly requestType: GeneratedMessage<Request>;
  readonly requestStream: false;
  readonly responseType: GeneratedMessage<Response>;
  readonly responseStream: false;
}

interface StreamDefinition<Request, Response> {
  readonly name: string;
  readonly requestType: GeneratedMessage<Request>;
  /** false: the client sends one message and ends its side. */
  readonly requestStream: boolean;
  readonly responseType: GeneratedMessage<Response>;
  readonly responseStream: true;
}

/** What is no UTF-8 is refused: replaced, it would be another name than was sent, and two names could become one. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
function decodeUtf8(bytes: Uint8Array): string {
  try {
    return strictUtf8.decode(bytes);
  } catch (cause) {
    throw new Error('a string is not UTF-8', { cause });
  }
}

/** The codec that ts-proto generated. Decoding @throws TributaryError INVALID_REQUEST when the bytes are no such message. */
function generated<T>(type: GeneratedMessage<T>): Codec<T> {
  return {
    encode: (message) => type.encode(message).finish(),
    decode: (bytes) => {
      try {
        return type.decode(new BinaryReader(bytes, decodeUtf8));
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new TributaryError('INVALID_REQUEST', `The message is not valid protobuf: ${why}.`, { cause });
      }
    },
  };
}

export function unary<Request, Response>(
  service: ServiceDefinition,
  method: UnaryDefinition<Request, Response>,
): UnaryMethod<Request, Response> {
  return {
    kind: 'unary',
    path: `/${service.fullName}/${method.name}`,
    request: generated(method.requestType),
    response: generated(method.responseType),
    requestBytesMax: limits.unaryRequest,
  };
}

export function stream<Request, Response>(
  service: ServiceDefinition,
  method: StreamDefinition<Request, Response>,
): StreamMethod<Request, Response> {
  return {
    kind: 'stream',
    path: `/${service.fullName}/${method.name}`,
    request: generated(method.requestType),
    response: generated(method.responseType),
  };
}
