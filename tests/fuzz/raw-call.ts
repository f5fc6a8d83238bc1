/** Calls with bytes of one's own choosing: gRPC's frames over HTTP/2, and nothing that would keep them well-formed. */
import {
  type ClientHttp2Session,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';

export interface RawAnswer {
  /** gRPC's status; undefined: the stream ended without one. */
  readonly status: number | undefined;
  /** Kafka's number, from the typed detail. */
  readonly errorCode: number | undefined;
  readonly message: string;
  readonly messages: readonly Uint8Array[];
  /** HTTP/2's reset code, where the stream was reset. */
  readonly reset: number | undefined;
}

export interface RawCall {
  readonly path: string;
  /** Bytes of the request's body, frames included. */
  readonly body: readonly Uint8Array[];
  readonly headers?: OutgoingHttpHeaders;
  /** The client's side stays open for so long after the body, ms. */
  readonly lingerMs?: number;
}

export function frame(message: Uint8Array, flag = 0, length = message.length): Uint8Array {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt8(flag, 0);
  bytes.writeUInt32BE(length >>> 0, 1);
  bytes.set(message, 5);
  return bytes;
}

/** One HTTP/2 connection to a server. */
export class RawClient implements Disposable {
  readonly #session: ClientHttp2Session;
  #failure: Error | undefined;

  constructor(address: string) {
    this.#session = connect(`http://${address}`);
    this.#session.on('error', (thrown: Error) => (this.#failure = thrown));
  }

  /** Undefined: the connection lives. */
  get failure(): Error | undefined {
    return this.#session.destroyed || this.#session.closed ? (this.#failure ?? new Error('closed')) : undefined;
  }

  call({ path, body, headers = {}, lingerMs = 0 }: RawCall): Promise<RawAnswer> {
    const stream = this.#session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
      te: 'trailers',
      'grpc-timeout': '5S',
      ...headers,
    });
    const chunks: Buffer[] = [];
    let said: IncomingHttpHeaders = {};
    const hear = (more: IncomingHttpHeaders): void => {
      said = { ...said, ...more };
    };
    stream.on('response', hear);
    stream.on('trailers', hear);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => undefined);
    for (const part of body) stream.write(part);
    let timer: NodeJS.Timeout | undefined;
    if (lingerMs === 0) stream.end();
    else timer = setTimeout(() => stream.end(), lingerMs);
    return new Promise((resolve) => {
      stream.on('close', () => {
        clearTimeout(timer);
        resolve({
          status: numberOf(said['grpc-status']),
          errorCode: numberOf(said['tributary-error-code']),
          message: decodeURIComponent(String(said['grpc-message'] ?? '')),
          messages: unframed(Buffer.concat(chunks)),
          reset: stream.rstCode === constants.NGHTTP2_NO_ERROR ? undefined : stream.rstCode,
        });
      });
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

const numberOf = (header: string | readonly string[] | undefined): number | undefined =>
  header === undefined ? undefined : Number(header);

function unframed(bytes: Buffer): readonly Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return messages;
}
