// pure
import type { MemoryBudget } from '@tributary/model';
/** gRPC's shapes without gRPC: unary calls and bidirectional streams of typed messages. */
export interface Codec<T> {
  encode(message: T): Uint8Array;
  /**
   * The same bytes in pieces; large ones are the message's own memory, which must not change until the other side has them. Absent where no message is
   * large enough to gain from it.
   */
  pieces?(message: T): readonly Uint8Array[];
  /** What comes back may alias `bytes`, which the receiver then owns. */
  decode(bytes: Uint8Array): T;
}

export interface UnaryMethod<Request, Response> {
  readonly kind: 'unary';
  /** `/package.Service/Method` */
  readonly path: string;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
  /** Bytes of a request; a larger one is refused before it is read. Default: limits.messageBytesMax. */
  readonly requestBytesMax?: number;
}

export interface StreamMethod<Request, Response> {
  readonly kind: 'stream';
  readonly path: string;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

/** One end of a bidirectional stream. Iterating ends when the other side ended; it throws a TributaryError when the stream broke. */
export interface Stream<Out, In> extends AsyncIterable<In> {
  /** Queues; never waits. After the end or a break it is dropped. */
  send(message: Out): void;
  /** Bytes that `send` queued and the network has not yet taken. */
  readonly queuedBytes: number;
  /** Resolves when `queuedBytes` is below limits.streamQueue or the stream is over. */
  writable(): Promise<void>;
  /** Nothing more will be sent; the other side may go on. */
  end(): void;
  /** Breaks both directions. */
  cancel(): void;
}

export interface CallContext {
  /** Address of the other end, for logs. */
  readonly peer: string;
  /** Aborted when the call is over for any reason, the deadline included. */
  readonly signal: AbortSignal;
  /** For what outlives the message that brought it; absent where nobody counts. */
  readonly memory?: CallMemory | undefined;
}

/** What a connection may hold of the server's memory. */
export interface CallMemory {
  /** @returns false: there is no room; the request is refused with THROTTLING_QUOTA_EXCEEDED. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** The bounds of a server, read anew at each use, and what it met of them. */
export interface ServerLimits {
  /** What is received and not yet taken, or sent and not yet on its way. */
  readonly memory: MemoryBudget;
  readonly connectionsMax: number;
  /** A connection without a call for so long is closed, ms. */
  readonly connectionIdleMs: number;
  /** Counts, kept by the server. */
  readonly use: ServerUse;
}

export interface ServerUse {
  connections: number;
  connectionsRefused: number;
  calls: number;
  callsRefused: number;
}

export interface Handlers {
  unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    handler: (request: Request, context: CallContext) => Promise<Response>,
  ): void;
  /** The stream ends when the handler's promise settles; a rejection becomes the call's status. */
  stream<Request, Response>(
    method: StreamMethod<Request, Response>,
    handler: (stream: Stream<Response, Request>, context: CallContext) => Promise<void>,
  ): void;
}

/** Registers what a part serves. Several parts may register at one address; a method registered twice belongs to the last. */
export type Service = (handlers: Handlers) => void;

export interface Peer extends AsyncDisposable {
  readonly address: string;
  /** @throws TributaryError: the other side's, or NETWORK_EXCEPTION, or REQUEST_TIMED_OUT past the deadline. */
  unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<Response>;
  stream<Request, Response>(method: StreamMethod<Request, Response>, signal: AbortSignal): Stream<Request, Response>;
}

export interface Transport {
  /** Does not wait for the connection. @param address host:port */
  connect(address: string): Peer;
  /** @throws TributaryError naming the address when it is taken. @returns the address with the port that was given for port 0. */
  serve(address: string, service: Service, bounds?: ServerLimits): Promise<Server>;
}

export interface Server extends AsyncDisposable {
  readonly address: string;
}
