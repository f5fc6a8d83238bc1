import { AssertionFailure, TributaryError, type Unreachable } from '@tributary/model';
import type { CallContext } from '@tributary/ports';
import { into } from '../gate.ts';
import type { SeededRandom } from '../seeded-random.ts';
import type { Endpoint, Listener } from './endpoint.ts';
import { type Direction, type Frame, Lane, type Wire } from './lane.ts';
import { Shipment } from './shipment.ts';
import { StreamEnd } from './stream-end.ts';

/** What a connection needs of the network around it. */
export interface Surroundings {
  wire(connection: Connection, direction: Direction): Wire;
  /** Asked when a frame has arrived: true breaks the connection at this very moment instead, and the frame is lost. */
  loses(connection: Connection, direction: Direction, path: string, frame: Frame): boolean;
  /** A client's message has reached its server. */
  asked(call: Call, bytes: Uint8Array): void;
  /** A server's message leaves for its client. */
  answered(call: Call, message: Shipment): void;
  /** What a call or message was, for the trace. */
  delivered(connection: Connection, direction: Direction, path: string, frame: Frame): void;
  /** A handler's invariant broke: a bug of the code under test. */
  defect(thrown: unknown, path: string): void;
  after(delayMicros: number, action: () => void): { cancel(): void };
  readonly nowMicros: number;
  readonly random: SeededRandom;
  count(name: string): void;
}

/** The client's side of one call. */
export interface CallObserver {
  frame(frame: Frame): void;
  broken(error: TributaryError): void;
  taken(): void;
}

/** One connection of two processes, with the calls on it. */
export class Connection {
  readonly client: Endpoint;
  readonly address: string;
  readonly #around: Surroundings;
  readonly calls = new Set<Call>();
  listener: Listener | undefined;
  state: 'connecting' | 'open' | 'broken' = 'connecting';
  readonly #changes: (() => void)[] = [];
  #isStalled = false;
  /** Why it broke, which the server has not been told: what came before is still on its way. */
  #untold: string | undefined;

  constructor(client: Endpoint, address: string, around: Surroundings) {
    this.client = client;
    this.address = address;
    this.#around = around;
  }

  call(path: string, observer: CallObserver): Call {
    const call = new Call(this, path, observer, this.#around);
    this.calls.add(call);
    if (this.#isStalled) call.up.hold();
    return call;
  }

  /** What the client has said, and says from now on, stays on its way; the server hears of nothing, not even that the connection breaks, until {@link goOn}. */
  stall(): void {
    this.#isStalled = true;
    for (const call of this.calls) call.up.hold();
  }

  goOn(): void {
    if (!this.#isStalled) return;
    this.#isStalled = false;
    for (const call of this.calls) call.up.goOn();
    const why = this.#untold;
    if (why !== undefined) this.#tellServer(why, this.#around.random.between(5_000, 400_000));
  }

  /** The other side took it. */
  opened(listener: Listener): void {
    if (this.state !== 'connecting') return;
    this.state = 'open';
    this.listener = listener;
    this.changed();
  }

  /** There is no way to the other side, or nobody there. */
  refused(why: string, unreachable?: Unreachable): void {
    if (this.state !== 'connecting') return;
    this.state = 'broken';
    for (const call of [...this.calls])
      call.failClient(
        new TributaryError(
          'NETWORK_EXCEPTION',
          `${this.address}: ${why}`,
          unreachable === undefined ? {} : { unreachable },
        ),
      );
    this.changed();
  }

  /**
   * It broke. Each side learns it by itself: what the client had sent may still have been heard, and what the server answered is lost.
   * @param silently the side that is still there notices only by silence: `clientAfter` says when.
   */
  break(why: string, clientAfterMicros: number, serverAfterMicros: number): void {
    if (this.state === 'broken') return;
    this.state = 'broken';
    const requestsArrive = this.#isStalled || this.#around.random.chance(0.5);
    for (const call of [...this.calls]) call.cut(requestsArrive);
    this.#around.after(clientAfterMicros, () => {
      for (const call of [...this.calls])
        call.failClient(new TributaryError('NETWORK_EXCEPTION', `${this.address}: ${why}`));
    });
    if (this.#isStalled) this.#untold = why;
    else this.#tellServer(why, serverAfterMicros);
    this.changed();
  }

  #tellServer(why: string, afterMicros: number): void {
    this.#around.after(afterMicros, () => {
      for (const call of [...this.calls]) call.failServer(why);
    });
  }

  whenChanged(action: () => void): void {
    this.#changes.push(action);
  }

  changed(): void {
    for (const action of this.#changes.splice(0)) action();
  }
}

/** One call: two lanes, and what stands at their ends. */
export class Call {
  readonly path: string;
  readonly #connection: Connection;
  readonly #observer: CallObserver;
  readonly #around: Surroundings;
  readonly up: Lane;
  readonly down: Lane;
  readonly #serverGone = new AbortController();
  #serverStream: StreamEnd<unknown, unknown> | undefined;
  #serverIsOver = false;
  #clientIsOver = false;

  constructor(connection: Connection, path: string, observer: CallObserver, around: Surroundings) {
    this.#connection = connection;
    this.path = path;
    this.#observer = observer;
    this.#around = around;
    this.up = new Lane(around.wire(connection, 'up'), (frame) => this.#arrived('up', frame));
    this.down = new Lane(around.wire(connection, 'down'), (frame) => this.#arrived('down', frame));
    this.up.onTaken = () => {
      if (connection.client.alive) into(connection.client, 'outside', () => observer.taken());
    };
    this.down.onTaken = () => this.#intoServer(() => this.#serverStream?.taken());
  }

  /** The machine that called. */
  get client(): string {
    return this.#connection.client.machine;
  }

  /** The machine that serves it. */
  get server(): string {
    return this.#connection.address.split(':')[0] ?? '';
  }

  /** The client is through with it; nothing of it reaches the client any more. */
  forget(): void {
    this.#clientIsOver = true;
    if (this.#serverIsOver) this.#connection.calls.delete(this);
  }

  /** The connection is gone. @param requestsArrive what is under way to the server still arrives. */
  cut(requestsArrive: boolean): void {
    const asked = this.up.messageIsUnderWay;
    if (!this.#clientIsOver && (this.down.messageIsUnderWay || (requestsArrive && asked)))
      this.#around.count('network: reply lost');
    if (!requestsArrive && asked) this.#around.count('network: request lost');
    this.up.cut(!requestsArrive);
    this.down.cut(true);
  }

  failClient(error: TributaryError): void {
    if (this.#clientIsOver) return;
    if (this.#serverIsOver || this.#connection.listener === undefined) this.#connection.calls.delete(this);
    const { client } = this.#connection;
    const tell = (): void => {
      if (this.#clientIsOver) return;
      this.#clientIsOver = true;
      if (client.alive) this.#observer.broken(error);
    };
    if (client.alive) into(client, 'outside', tell);
    else tell();
  }

  failServer(why: string): void {
    const { machine } = this.#connection.client;
    const error = new TributaryError('NETWORK_EXCEPTION', `the connection from ${machine} is gone: ${why}`);
    if (this.#serverAlive()) this.#intoServer(() => this.#finishServer(error));
    else this.#finishServer(error);
    if (this.#clientIsOver) this.#connection.calls.delete(this);
  }

  #serverAlive(): boolean {
    return this.#connection.listener?.endpoint.alive === true;
  }

  #arrived(direction: Direction, frame: Frame): void {
    if (this.#around.loses(this.#connection, direction, this.path, frame)) {
      this.#around.count(direction === 'up' ? 'network: request lost' : 'network: reply lost');
      this.#connection.break(
        'connection reset by the network',
        1 + this.#around.random.below(500),
        1 + this.#around.random.below(500),
      );
      return;
    }
    this.#around.delivered(this.#connection, direction, this.path, frame);
    if (direction === 'up') {
      this.#intoServer(() => this.#atServer(frame));
    } else if (!this.#clientIsOver && this.#connection.client.alive) {
      into(this.#connection.client, 'outside', () => !this.#clientIsOver && this.#observer.frame(frame));
    }
  }

  #intoServer(action: () => void): void {
    const endpoint = this.#connection.listener?.endpoint;
    if (endpoint?.alive === true) into(endpoint, 'outside', action);
  }

  #atServer(frame: Frame): void {
    switch (frame.kind) {
      case 'call':
        this.#serveUnary(frame.message.bytes(), frame.deadlineMicros);
        return;
      case 'open':
        this.#serveStream();
        return;
      case 'message':
        this.#arrivedMessage(frame.message.bytes());
        return;
      case 'end':
        this.#serverStream?.ended(false);
        return;
      case 'cancel':
      case 'failure':
        this.#finishServer(new TributaryError('NETWORK_EXCEPTION', 'the client cancelled the call'));
        return;
    }
  }

  #arrivedMessage(bytes: Uint8Array): void {
    this.#around.asked(this, bytes);
    this.#serverStream?.arrived(bytes);
  }

  #context(): CallContext {
    return { peer: this.#connection.client.machine, signal: this.#serverGone.signal };
  }

  #serveUnary(bytes: Uint8Array, deadlineMicros: number): void {
    this.up.consumed(bytes.length);
    const served = this.#connection.listener?.unaries.get(this.path);
    if (served === undefined) {
      this.#reply({ kind: 'failure', code: 35, message: `${this.path} is not served here` });
      return;
    }
    const past = new TributaryError('REQUEST_TIMED_OUT', `${this.path}: the caller's deadline has passed`);
    const deadline = this.#around.after(Math.max(1, deadlineMicros - this.#around.nowMicros), () =>
      this.#intoServer(() => this.#finishServer(past)),
    );
    const answer = async (): Promise<unknown> => served.handler(served.method.request.decode(bytes), this.#context());
    answer().then(
      (response) => {
        deadline.cancel();
        this.#reply({ kind: 'message', message: Shipment.of(served.method.response, response) });
      },
      (thrown: unknown) => {
        deadline.cancel();
        this.#reply(this.#failure(thrown));
      },
    );
  }

  #serveStream(): void {
    const served = this.#connection.listener?.streams.get(this.path);
    if (served === undefined) {
      this.#reply({ kind: 'failure', code: 35, message: `${this.path} is not served here` });
      return;
    }
    const stream = new StreamEnd<unknown, unknown>(served.method.response, served.method.request, {
      // In gRPC the server's end is the end of the call: it is told when the handler settles.
      send: (frame) => {
        if (!this.#serverAlive() || frame.kind === 'end') return;
        if (frame.kind === 'message') this.#around.answered(this, frame.message);
        this.down.send(frame);
      },
      get queuedBytes() {
        return down.queuedBytes;
      },
      consumed: (bytes) => this.up.consumed(bytes),
      cancel: () => this.#reply({ kind: 'failure', code: 13, message: 'the server broke the stream' }),
    });
    const down = this.down;
    this.#serverStream = stream;
    const handled = async (): Promise<void> => served.handler(stream, this.#context());
    handled().then(
      () => this.#reply({ kind: 'end' }),
      (thrown: unknown) => this.#reply(this.#failure(thrown)),
    );
  }

  /** The server leaves: a stream is told at once, a unary call has a moment to finish. @returns whether the call is still on. */
  serverLeaves(): boolean {
    if (this.#serverIsOver) return false;
    if (this.#serverStream === undefined) return true;
    this.#reply({ kind: 'failure', code: 8, message: 'the server is shutting down' });
    return false;
  }

  #failure(thrown: unknown): Frame {
    if (thrown instanceof AssertionFailure) this.#around.defect(thrown, this.path);
    const { code, message } = TributaryError.from(thrown);
    return { kind: 'failure', code, message };
  }

  /** The last frame to the client. */
  #reply(frame: Frame): void {
    if (this.#serverIsOver || !this.#serverAlive()) return;
    this.down.send(frame);
    this.#finishServer(new TributaryError('NETWORK_EXCEPTION', 'the call is over'));
  }

  /** Tells the handler, if it still runs, that nobody listens any more. */
  #finishServer(error: TributaryError): void {
    if (this.#serverIsOver) return;
    if (this.#serverAlive()) this.#serverStream?.broken(error);
    this.#serverOver();
  }

  #serverOver(): void {
    if (this.#serverIsOver) return;
    this.#serverIsOver = true;
    if (this.#clientIsOver) this.#connection.calls.delete(this);
    if (this.#serverAlive())
      this.#serverGone.abort(new TributaryError('NETWORK_EXCEPTION', `${this.path}: the call is over`));
  }
}
