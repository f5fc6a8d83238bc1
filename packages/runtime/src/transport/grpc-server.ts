import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { AssertionFailure, limits, TributaryError } from '@tributary/model';
import type { CallContext, Handlers, Server, Service, UnaryMethod } from '@tributary/ports';
import { formatAddress, listenError, parseAddress } from './addresses.ts';
import { responseHeaders, ServerCall } from './server-call.ts';
import { keepAlive, sessionMemoryMax, sessionSettings } from './session.ts';
import { errorTrailers, single, timeoutFromHeader } from './status.ts';

/** A call as the server keeps it, whatever its messages are. */
interface RunningCall {
  readonly kind: 'unary' | 'stream';
  finish(error?: TributaryError): void;
}

type Start = (http2: ServerHttp2Stream, peer: string, timeoutMs: number | undefined) => RunningCall;

/** @throws TributaryError INVALID_REQUEST for a bad address, INVALID_CONFIG naming an address that cannot be had. */
export async function serveGrpc(address: string, service: Service): Promise<Server> {
  const { host, port } = parseAddress(address);
  const server = new GrpcServer(registered(service));
  const bound = await server.listen(host, port);
  return { address: formatAddress({ host, port: bound }), [Symbol.asyncDispose]: () => server.close() };
}

class GrpcServer {
  readonly #methods: ReadonlyMap<string, Start>;
  readonly #http2: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new Map<ServerHttp2Stream, RunningCall>();
  #closing = false;

  constructor(methods: ReadonlyMap<string, Start>) {
    this.#methods = methods;
    this.#http2 = createServer({ settings: sessionSettings, maxSessionMemory: sessionMemoryMax });
    this.#http2.on('session', (session) => this.#welcome(session));
    this.#http2.on('stream', (stream: ServerHttp2Stream, headers) => this.#start(stream, headers));
    // A client that speaks no HTTP/2, or breaks off, ends its own session; the server goes on.
    this.#http2.on('sessionError', () => undefined);
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const failed = (thrown: Error): void => reject(listenError(formatAddress({ host, port }), thrown));
      this.#http2.once('error', failed);
      this.#http2.listen({ host, port }, () => {
        this.#http2.off('error', failed);
        const bound = this.#http2.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  /** Unary calls in flight get `limits.closeGraceMs` to finish; streams, which have no end of their own, are told at once. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#http2.close(() => resolve()));
    for (const call of this.#calls.values()) if (call.kind === 'stream') call.finish(shuttingDown());
    for (const session of this.#sessions) session.close();
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
    }, limits.closeGraceMs);
    await closed;
    clearTimeout(timer);
  }

  #welcome(session: ServerHttp2Session): void {
    if (this.#closing) {
      session.destroy();
      return;
    }
    this.#sessions.add(session);
    session.setLocalWindowSize(limits.transportWindow);
    let open = 0;
    session.on('stream', (stream) => {
      open++;
      stream.once('close', () => open--);
    });
    keepAlive(session, () => open > 0);
    session.once('close', () => this.#sessions.delete(session));
  }

  #start(http2: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = single(headers[constants.HTTP2_HEADER_PATH]) ?? '';
    const start = this.#methods.get(path);
    if (!isGrpc(headers))
      refuse(http2, { [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE });
    else if (this.#closing) refuseCall(http2, shuttingDown());
    else if (start === undefined)
      refuseCall(http2, new TributaryError('UNSUPPORTED_VERSION', `This server has no method ${path}.`));
    else {
      const call = start(http2, peerOf(http2), timeoutFromHeader(headers['grpc-timeout']));
      this.#calls.set(http2, call);
      http2.once('close', () => this.#calls.delete(http2));
    }
  }
}

function registered(service: Service): ReadonlyMap<string, Start> {
  const methods = new Map<string, Start>();
  const handlers: Handlers = {
    unary: (method, handler) => {
      methods.set(method.path, (http2, peer, timeoutMs) => {
        const call = new ServerCall(http2, peer, method.request, method.response, timeoutMs);
        void settle(call, () => answer(call, method, handler));
        return { kind: 'unary', finish: (error) => call.finish(error) };
      });
    },
    stream: (method, handler) => {
      methods.set(method.path, (http2, peer, timeoutMs) => {
        const call = new ServerCall(http2, peer, method.request, method.response, timeoutMs);
        void settle(call, () => handler(call, call));
        return { kind: 'stream', finish: (error) => call.finish(error) };
      });
    },
  };
  service(handlers);
  return methods;
}

async function answer<Request, Response>(
  call: ServerCall<Response, Request>,
  method: UnaryMethod<Request, Response>,
  handler: (request: Request, context: CallContext) => Promise<Response>,
): Promise<void> {
  const request = await call.next();
  if (request.done) throw new TributaryError('INVALID_REQUEST', `${method.path} was called without a request.`);
  if (!(await call.next()).done)
    throw new TributaryError('INVALID_REQUEST', `${method.path} was called with more than one request.`);
  call.send(await handler(request.value, call));
}

/** Never rejects: however the handler ends is how the call ends. */
async function settle(call: { finish(error?: TributaryError): void }, handle: () => Promise<void>): Promise<void> {
  try {
    await handle();
    call.finish();
  } catch (thrown) {
    call.finish(TributaryError.from(thrown));
    // A broken invariant is not the caller's to deal with: it ends the process.
    if (thrown instanceof AssertionFailure) {
      process.nextTick(() => {
        throw thrown;
      });
    }
  }
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  return single(headers[constants.HTTP2_HEADER_CONTENT_TYPE])?.startsWith('application/grpc') === true;
}

function shuttingDown(): TributaryError {
  return new TributaryError('BROKER_NOT_AVAILABLE', 'The server is shutting down.');
}

function refuseCall(http2: ServerHttp2Stream, error: TributaryError): void {
  refuse(http2, { ...responseHeaders, ...errorTrailers(error) });
}

function refuse(http2: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  http2.on('error', () => undefined);
  http2.respond(headers, { endStream: true });
  http2.resume();
}

function peerOf(http2: ServerHttp2Stream): string {
  const socket = http2.session?.socket;
  return socket?.remoteAddress === undefined
    ? 'a client'
    : formatAddress({ host: socket.remoteAddress, port: socket.remotePort ?? 0 });
}
