import type { Http2Server, ServerHttp2Session, Settings } from 'node:http2';
import {
  type sendUnaryData,
  Server as GrpcServer,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { AssertionFailure, limits, TributaryError } from '@tributary/model';
import type {
  CallContext,
  Codec,
  Handlers,
  Server,
  Service,
  Stream,
  StreamMethod,
  UnaryMethod,
} from '@tributary/ports';
import { formatAddress, listenError, parseAddress } from '../transport/addresses.ts';
import { Inbox } from '../transport/inbox.ts';
import { asBuffer, GrpcJsOutbox } from './grpc-js-outbox.ts';
import { serverOptions } from './grpc-js-options.ts';
import { statusFromError } from './grpc-js-status.ts';

type OpenStreams = Set<{ finish(error: TributaryError): void }>;

const asItIs = (bytes: Buffer): Buffer => bytes;

/** @throws TributaryError INVALID_REQUEST for a bad address, INVALID_CONFIG naming an address that cannot be had. */
export async function serveGrpcJs(address: string, service: Service): Promise<Server> {
  const { host, port } = parseAddress(address);
  const server = new GrpcServer(serverOptions);
  const streams: OpenStreams = new Set();
  service(registering(server, streams));
  announceWindows(server);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(formatAddress({ host, port }), ServerCredentials.createInsecure(), (failure, boundPort) => {
      if (failure === null) resolve(boundPort);
      else reject(listenError(address, withCode(failure)));
    });
  });
  widenSessions(server);
  return { address: formatAddress({ host, port: bound }), [Symbol.asyncDispose]: () => close(server, streams) };
}

/** grpc-js gives its server no way to set them, so this reaches into it. */
function announceWindows(server: GrpcServer): void {
  const options = Reflect.get(server, 'commonServerOptions') as { settings?: Settings };
  options.settings = { ...options.settings, initialWindowSize: limits.transportWindow };
}

function widenSessions(server: GrpcServer): void {
  const http2Servers = Reflect.get(server, 'http2Servers') as Map<Http2Server, unknown>;
  for (const http2 of http2Servers.keys())
    http2.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(limits.transportWindow));
}

/** grpc-js keeps the code of a failed bind in its sentence only. */
function withCode(failure: Error): Error {
  return Object.assign(failure, { code: /\bE[A-Z]{4,}\b/.exec(failure.message)?.[0] ?? '' });
}

async function close(server: GrpcServer, streams: OpenStreams): Promise<void> {
  const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  for (const stream of streams)
    stream.finish(new TributaryError('BROKER_NOT_AVAILABLE', 'The server is shutting down.'));
  const timer = setTimeout(() => server.forceShutdown(), limits.closeGraceMs);
  await closed;
  clearTimeout(timer);
}

function registering(server: GrpcServer, streams: OpenStreams): Handlers {
  return {
    unary: (method, handler) => {
      server.unregister(method.path);
      server.register(method.path, answering(method, handler), asItIs, asItIs, 'unary');
    },
    stream: (method, handler) => {
      server.unregister(method.path);
      server.register(method.path, talking(method, handler, streams), asItIs, asItIs, 'bidi');
    },
  };
}

function answering<Request, Response>(
  method: UnaryMethod<Request, Response>,
  handler: (request: Request, context: CallContext) => Promise<Response>,
): (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void {
  return (call, answer) => {
    const over = new AbortController();
    call.on('cancelled', () => over.abort());
    const answered = async (): Promise<Buffer> => {
      const request = method.request.decode(call.request);
      return asBuffer(method.response.encode(await handler(request, { peer: call.getPeer(), signal: over.signal })));
    };
    answered().then(
      (response) => answer(null, response),
      (thrown: unknown) => {
        answer(statusFromError(TributaryError.from(thrown)));
        crashOn(thrown);
      },
    );
  };
}

function talking<Request, Response>(
  method: StreamMethod<Request, Response>,
  handler: (stream: Stream<Response, Request>, context: CallContext) => Promise<void>,
  streams: OpenStreams,
): (call: ServerDuplexStream<Buffer, Buffer>) => void {
  return (http2) => {
    const call = new ServerStream(http2, method.request, method.response, () => streams.delete(call));
    streams.add(call);
    handler(call, call).then(
      () => call.finish(),
      (thrown: unknown) => {
        call.finish(TributaryError.from(thrown));
        crashOn(thrown);
      },
    );
  };
}

/** A broken invariant is not the caller's to deal with: it ends the process. */
function crashOn(thrown: unknown): void {
  if (!(thrown instanceof AssertionFailure)) return;
  process.nextTick(() => {
    throw thrown;
  });
}

class ServerStream<Out, In> implements Stream<Out, In>, CallContext {
  readonly peer: string;
  readonly #http2: ServerDuplexStream<Buffer, Buffer>;
  readonly #response: Codec<Out>;
  readonly #inbox: Inbox<In>;
  readonly #outbox: GrpcJsOutbox;
  readonly #controller = new AbortController();
  readonly #onOver: () => void;
  #over = false;

  constructor(http2: ServerDuplexStream<Buffer, Buffer>, request: Codec<In>, response: Codec<Out>, onOver: () => void) {
    this.peer = http2.getPeer();
    this.#http2 = http2;
    this.#response = response;
    this.#onOver = onOver;
    this.#outbox = new GrpcJsOutbox(http2);
    this.#inbox = new Inbox(request.decode, {
      bytes: limits.receiveQueue,
      messages: limits.receiveQueueMessages,
      drained: () => http2.resume(),
    });
    http2.on('data', (message: Buffer) => {
      if (!this.#inbox.put(message)) http2.pause();
    });
    // grpc-js takes a broken connection for an orderly end and says otherwise a little later.
    http2.on('end', () => setImmediate(() => this.#inbox.end()));
    http2.on('cancelled', () => {
      this.#finish(new TributaryError('NETWORK_EXCEPTION', `${this.peer} cancelled the call or is gone.`));
      this.#outbox.close();
    });
    http2.on('error', () => undefined);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  send(message: Out): void {
    if (!this.#over && this.#outbox.open) this.#outbox.send(this.#response.encode(message));
  }

  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  writable(): Promise<void> {
    return this.#outbox.writable();
  }

  /** In gRPC the server's end is the end of the call: it is told when the handler settles. */
  end(): void {
    this.#outbox.hold();
  }

  cancel(): void {
    this.finish(new TributaryError('NETWORK_EXCEPTION', `The call from ${this.peer} was cancelled here.`));
  }

  /** Ends the call with this status, after all that was sent. */
  finish(error?: TributaryError): void {
    if (this.#over) return;
    if (error === undefined) this.#http2.end();
    else this.#http2.emit('error', statusFromError(error));
    this.#finish(error ?? new TributaryError('NETWORK_EXCEPTION', 'The call is over.'));
  }

  [Symbol.asyncIterator](): AsyncIterator<In, undefined> {
    return { next: () => this.#inbox.next() };
  }

  #finish(error: TributaryError): void {
    if (this.#over) return;
    this.#over = true;
    this.#inbox.break(error);
    this.#controller.abort(error);
    this.#onOver();
  }
}
