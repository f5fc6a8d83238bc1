/** A network in memory: real codecs, virtual time, and connections that break when told to. */
import { TributaryError } from '@tributary/model';
import type { Codec, Peer, Stream, StreamMethod, Transport, UnaryMethod } from '@tributary/ports';
import type { VirtualClock } from './virtual-clock.ts';

export interface FakeServer {
  unary(path: string, request: unknown): unknown;
  /** @returns what to do with each message, and when the stream is over. */
  stream(
    path: string,
    send: (message: unknown) => void,
    fail: (error: TributaryError) => void,
  ): { message(message: unknown): void; over(): void };
}

/** Copies through bytes, as a network does. */
function carried<T>(codec: Codec<T>, message: T): Uint8Array {
  return codec.encode(message).slice();
}

export class FakeNetwork implements Transport {
  readonly clock: VirtualClock;
  readonly latencyMs: number;
  /** Streams make bytes of a message only when it leaves, as a transport with a queue may. */
  encodesLate = false;
  readonly servers = new Map<string, FakeServer>();
  readonly #streams = new Set<FakeStream<unknown, unknown>>();
  /** Decides for each unary answer whether it is lost after the server did its work. */
  losesAnswer: (path: string) => boolean = () => false;
  /** Decides for each message on its way when its stream breaks whether the server still gets it, and how much later, ms. */
  late: () => number | undefined = () => undefined;
  connects = 0;
  /** Addresses where processes are stopped: they take what comes, and say nothing until they go on. */
  readonly stopped = new Map<string, PromiseWithResolvers<void>>();

  constructor(clock: VirtualClock, latencyMs = 1) {
    this.clock = clock;
    this.latencyMs = latencyMs;
  }

  connect(address: string): Peer {
    this.connects++;
    return {
      address,
      unary: async (method, request, options) => await this.#within(address, method, request, options),
      stream: (method, signal) => this.#stream(address, method, signal),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  serve(): Promise<never> {
    throw new Error('the fake network has fixed servers');
  }

  /** Breaks every stream to the address: messages on their way are lost. */
  breakStreams(address?: string): void {
    for (const stream of [...this.#streams])
      if (address === undefined || stream.address === address) stream.break(lost(stream.address));
  }

  /** Streams that are open now go silent for good: the machine at the other end has vanished. */
  forgetStreams(): void {
    for (const stream of this.#streams) stream.vanished = true;
  }

  stop(address: string): void {
    this.stopped.set(address, Promise.withResolvers());
  }

  resume(address: string): void {
    this.stopped.get(address)?.resolve();
    this.stopped.delete(address);
  }

  async #within<Request, Response>(
    address: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal?: AbortSignal },
  ): Promise<Response> {
    const over = new AbortController();
    const cancelled = (): void => over.abort(lost(address));
    signal?.addEventListener('abort', cancelled, { once: true });
    const timedOut = this.clock.after(deadlineMs, () => {
      over.abort(new TributaryError('REQUEST_TIMED_OUT', `${address} did not answer within ${deadlineMs} ms`));
    });
    const ended = Promise.withResolvers<never>();
    over.signal.addEventListener('abort', () => ended.reject(over.signal.reason), { once: true });
    try {
      return await Promise.race([this.#unary(address, method, request, over.signal), ended.promise]);
    } finally {
      timedOut();
      signal?.removeEventListener('abort', cancelled);
    }
  }

  async #unary<Request, Response>(
    address: string,
    method: UnaryMethod<Request, Response>,
    request: Request,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const server = this.servers.get(address);
    const bytes = carried(method.request, request);
    await this.#travel(signal);
    await this.stopped.get(address)?.promise;
    if (server === undefined || this.servers.get(address) !== server) throw lost(address);
    const answer = carried(method.response, server.unary(method.path, method.request.decode(bytes)) as Response);
    await this.#travel(signal);
    if (this.losesAnswer(method.path)) throw lost(address);
    return method.response.decode(answer);
  }

  async #travel(signal: AbortSignal | undefined): Promise<void> {
    await this.clock.sleep(this.latencyMs, signal ?? new AbortController().signal);
  }

  #stream<Request, Response>(
    address: string,
    method: StreamMethod<Request, Response>,
    signal: AbortSignal,
  ): Stream<Request, Response> {
    const stream = new FakeStream<Request, Response>(this, address, method);
    const any = stream as unknown as FakeStream<unknown, unknown>;
    this.#streams.add(any);
    stream.onOver = () => this.#streams.delete(any);
    signal.addEventListener('abort', () => stream.cancel(), { once: true });
    if (!this.servers.has(address)) this.clock.after(this.latencyMs, () => stream.break(lost(address)));
    return stream;
  }
}

const lost = (address: string): TributaryError =>
  new TributaryError('NETWORK_EXCEPTION', `the connection to ${address} broke`);

class FakeStream<Out, In> implements Stream<Out, In> {
  readonly address: string;
  readonly queuedBytes = 0;
  vanished = false;
  onOver: () => void = () => undefined;
  readonly #network: FakeNetwork;
  readonly #method: StreamMethod<Out, In>;
  readonly #server: { message(message: unknown): void; over(): void } | undefined;
  readonly #inbox: In[] = [];
  #wake: (() => void) | undefined;
  #state: 'open' | 'ended' | { readonly error: TributaryError } = 'open';

  constructor(network: FakeNetwork, address: string, method: StreamMethod<Out, In>) {
    this.#network = network;
    this.address = address;
    this.#method = method;
    this.#server = network.servers.get(address)?.stream(
      method.path,
      (message) => this.#answer(message as In),
      (error) => this.break(error),
    );
  }

  send(message: Out): void {
    if (this.#state !== 'open') return;
    const early = this.#network.encodesLate ? undefined : carried(this.#method.request, message);
    this.#network.clock.after(this.#network.latencyMs, () => {
      const bytes = early ?? carried(this.#method.request, message);
      const deliver = (): void => {
        const stopped = this.#network.stopped.get(this.address);
        if (stopped === undefined) this.#server?.message(this.#method.request.decode(bytes));
        else void stopped.promise.then(deliver);
      };
      if (this.#state === 'open') {
        deliver();
        return;
      }
      const late = this.#network.late();
      if (late !== undefined) this.#network.clock.after(late, deliver);
    });
  }

  async writable(): Promise<void> {}

  end(): void {
    this.#network.clock.after(this.#network.latencyMs, () => this.#finish('ended'));
  }

  cancel(): void {
    this.break(lost(this.address));
  }

  break(error: TributaryError): void {
    this.#finish({ error });
  }

  async *[Symbol.asyncIterator](): AsyncIterator<In> {
    for (;;) {
      const message = this.#inbox.shift();
      if (message !== undefined) {
        yield message;
        continue;
      }
      if (this.#state === 'ended') return;
      if (typeof this.#state === 'object') throw this.#state.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #answer(message: In): void {
    const bytes = carried(this.#method.response, message);
    this.#network.clock.after(this.#network.latencyMs, () => {
      if (this.#state !== 'open' || this.vanished) return;
      if (this.#network.stopped.has(this.address)) return;
      this.#inbox.push(this.#method.response.decode(bytes));
      this.#wake?.();
    });
  }

  #finish(state: 'ended' | { readonly error: TributaryError }): void {
    if (this.#state !== 'open') return;
    this.#state = state;
    this.onOver();
    this.#server?.over();
    this.#wake?.();
  }
}
