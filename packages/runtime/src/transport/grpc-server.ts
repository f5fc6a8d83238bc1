import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { AssertionFailure, limits, TributaryError } from '@tributary/model';
import type { CallContext, Handlers, Server, ServerLimits, Service, UnaryMethod } from '@tributary/ports';
import { formatAddress, listenError, parseAddress } from './addresses.ts';
import { type Incoming, responseHeaders, ServerCall } from './server-call.ts';
import { Pace } from './pace.ts';
import { narrowSettings, sessionMemoryMax } from './session.ts';
import { defaultBounds, Visitor } from './visitor.ts';
import { errorTrailers, single, timeoutFromHeader } from './status.ts';

/** A call as the server keeps it, whatever its messages are. */
interface RunningCall {
  readonly kind: 'unary' | 'stream';
  finish(error?: TributaryError): void;
  isStalled(sinceMs: number): boolean;
  shed(error: TributaryError): void;
}

type Start = (incoming: Incoming) => RunningCall;

/** @throws TributaryError INVALID_REQUEST for a bad address, INVALID_CONFIG naming an address that cannot be had. */
export async function serveGrpc(
  address: string,
  service: Service,
  bounds: ServerLimits = defaultBounds(),
): Promise<Server> {
  const { host, port } = parseAddress(address);
  const server = new GrpcServer(registered(service), bounds);
  const bound = await server.listen(host, port);
  return { address: formatAddress({ host, port: bound }), [Symbol.asyncDispose]: () => server.close() };
}

class GrpcServer {
  readonly #methods: ReadonlyMap<string, Start>;
  readonly #bounds: ServerLimits;
  readonly #http2: Http2Server;
  readonly #visitors = new Set<Visitor>();
  readonly #sockets = new Set<Socket>();
  readonly #calls = new Map<ServerHttp2Stream, RunningCall>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #pace = new Pace(limits.narrowIntake);
  #closing = false;

  constructor(methods: ReadonlyMap<string, Start>, bounds: ServerLimits) {
    this.#methods = methods;
    this.#bounds = bounds;
    this.#http2 = createServer({ settings: narrowSettings, maxSessionMemory: sessionMemoryMax });
    this.#http2.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    this.#http2.on('session', (session) => this.#welcome(session));
    // A client that speaks no HTTP/2, or breaks off, ends its own session; the server goes on.
    this.#http2.on('sessionError', () => undefined);
    this.#http2.maxConnections = bounds.connectionsMax;
    this.#http2.on('drop', () => bounds.use.connectionsRefused++);
    this.#sweeper = setInterval(() => this.#sweep(), limits.serverSweepMs);
    this.#sweeper.unref();
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
    clearInterval(this.#sweeper);
    const closed = new Promise<void>((resolve) => this.#http2.close(() => resolve()));
    for (const call of this.#calls.values()) if (call.kind === 'stream') call.finish(shuttingDown());
    for (const { session } of this.#visitors) session.close();
    const timer = setTimeout(() => {
      // A session that is destroyed would wait for the other side's goodbye, for good where that side stands still.
      for (const socket of this.#sockets) socket.resetAndDestroy();
    }, limits.closeGraceMs);
    await closed;
    clearTimeout(timer);
  }

  #welcome(session: ServerHttp2Session): void {
    if (this.#closing) {
      session.destroy();
      return;
    }
    const visitor = new Visitor(session, this.#bounds.memory.connection());
    this.#visitors.add(visitor);
    this.#bounds.use.connections++;
    session.on('stream', (http2, headers) => this.#start(visitor, http2, headers));
    session.once('close', () => {
      this.#visitors.delete(visitor);
      this.#bounds.use.connections--;
    });
  }

  /** The bounds that only time can break. */
  #sweep(): void {
    this.#http2.maxConnections = this.#bounds.connectionsMax;
    const now = performance.now();
    for (const visitor of this.#visitors) visitor.check(now, this.#bounds.connectionIdleMs);
    for (const call of this.#calls.values()) if (call.isStalled(now - limits.stalledMs)) call.shed(stalled());
  }

  /** Wide windows are as many as fit into half of the memory; one that has been of less use since the last look gives its own up. */
  #widen(visitor: Visitor): void {
    const wide = [...this.#visitors].filter(({ isWide }) => isWide);
    const most = Math.max(1, Math.floor(this.#bounds.memory.total / 2 / limits.transportWindow));
    if (wide.length >= most) {
      const least = wide.reduce((a, b) => (b.useful < a.useful ? b : a));
      if (least.useful >= visitor.useful) return;
      least.isWide = false;
    }
    visitor.isWide = true;
  }

  #start(visitor: Visitor, http2: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    visitor.opened(http2);
    const path = single(headers[constants.HTTP2_HEADER_PATH]) ?? '';
    const start = this.#methods.get(path);
    if (!isGrpc(headers))
      refuse(http2, { [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE });
    else if (this.#closing) refuseCall(http2, shuttingDown());
    else if (start === undefined)
      refuseCall(http2, new TributaryError('UNSUPPORTED_VERSION', `This server has no method ${path}.`));
    else if (timeoutFromHeader(headers['grpc-timeout']) === 0)
      refuseCall(
        http2,
        new TributaryError('REQUEST_TIMED_OUT', 'The deadline of the call had passed before it arrived.'),
      );
    else if (visitor.shutFor(path) > 0) refuseCall(http2, evictedBefore(visitor.shutFor(path)));
    else if (this.#bounds.use.calls >= limits.calls) {
      this.#bounds.use.callsRefused++;
      refuseCall(http2, tooManyCalls());
    } else {
      const timeoutMs = timeoutFromHeader(headers['grpc-timeout']);
      const took = (bytes: number): void => {
        if (visitor.took(bytes)) this.#widen(visitor);
      };
      const intakeDelayMs = (bytes: number): number => (visitor.isWide ? 0 : this.#pace.delayMs(bytes));
      const call = start({
        http2,
        peer: peerOf(http2),
        timeoutMs,
        memory: visitor.memory,
        took,
        intakeDelayMs,
        evicted: () => visitor.evicted(path),
      });
      this.#calls.set(http2, call);
      this.#bounds.use.calls++;
      http2.once('close', () => {
        this.#calls.delete(http2);
        this.#bounds.use.calls--;
      });
    }
  }
}

function registered(service: Service): ReadonlyMap<string, Start> {
  const methods = new Map<string, Start>();
  const handlers: Handlers = {
    unary: (method, handler) => {
      methods.set(method.path, (incoming) => {
        const call = new ServerCall(incoming, method);
        void settle(call, () => answer(call, method, handler));
        return running('unary', call);
      });
    },
    stream: (method, handler) => {
      methods.set(method.path, (incoming) => {
        const call = new ServerCall(incoming, method);
        void settle(call, () => handler(call, call));
        return running('stream', call);
      });
    },
  };
  service(handlers);
  return methods;
}

const running = (kind: RunningCall['kind'], call: Omit<RunningCall, 'kind'>): RunningCall => ({
  kind,
  finish: (error) => call.finish(error),
  isStalled: (sinceMs) => call.isStalled(sinceMs),
  shed: (error) => call.shed(error),
});

async function answer<Request, Response>(
  call: ServerCall<Response, Request>,
  method: UnaryMethod<Request, Response>,
  handler: (request: Request, context: CallContext) => Promise<Response>,
): Promise<void> {
  const request = await call.next();
  if (request.done) throw new TributaryError('INVALID_REQUEST', `${method.path} was called without a request.`);
  if (!(await call.next()).done)
    throw new TributaryError('INVALID_REQUEST', `${method.path} was called with more than one request.`);
  call.accept();
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

function stalled(): TributaryError {
  return new TributaryError(
    'REQUEST_TIMED_OUT',
    `The client neither read its answer nor went on with its request for ${limits.stalledMs} ms: the call was ended.`,
  );
}

function evictedBefore(ms: number): TributaryError {
  return new TributaryError(
    'THROTTLING_QUOTA_EXCEEDED',
    `The server had no room for an earlier call of this connection: wait ${Math.ceil(ms)} ms before the next.`,
  );
}

function tooManyCalls(): TributaryError {
  return new TributaryError(
    'THROTTLING_QUOTA_EXCEEDED',
    `The server has ${limits.calls} calls open, as many as it allows: try again later.`,
  );
}

function refuseCall(http2: ServerHttp2Stream, error: TributaryError): void {
  refuse(http2, { ...responseHeaders, ...errorTrailers(error) });
}

function refuse(http2: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  http2.on('error', () => undefined);
  if (http2.closed || http2.destroyed) return;
  http2.respond(headers, { endStream: true });
  http2.resume();
  // Or the client could go on sending for ever.
  setImmediate(() => {
    if (!http2.destroyed && !http2.readableEnded) http2.close(constants.NGHTTP2_NO_ERROR);
  });
}

function peerOf(http2: ServerHttp2Stream): string {
  const socket = http2.session?.socket;
  return socket?.remoteAddress === undefined
    ? 'a client'
    : formatAddress({ host: socket.remoteAddress, port: socket.remotePort ?? 0 });
}
