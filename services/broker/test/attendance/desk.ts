/** A controller as attending brokers see it: what arrives on each stream is kept, what it says is up to the test. */
import { TributaryError } from '@tributary/model';
import type { Peer, Stream, Transport } from '@tributary/ports';
import { type AttendRequest, type AttendResponse, methods } from '@tributary/wire';

export class AttendedStream implements Stream<AttendRequest, AttendResponse> {
  readonly address: string;
  readonly received: AttendRequest[] = [];
  readonly queuedBytes = 0;
  /** Each message is answered by an empty one. */
  answers = true;
  isOver = false;
  readonly #said: AttendResponse[] = [];
  #failure: TributaryError | undefined;
  #wake: () => void = () => undefined;

  constructor(address: string) {
    this.address = address;
  }

  /** @throws where there was none. */
  get hello() {
    const hello = this.received[0]?.hello;
    if (hello === undefined) throw new Error('no hello on this stream');
    return hello;
  }

  get proposals() {
    return this.received.flatMap(({ proposals }) => proposals);
  }

  say(answer: Partial<AttendResponse>): void {
    this.#said.push({ decisions: [], leave: undefined, sessionTimeoutMs: 0, ...answer });
    this.#wake();
  }

  break(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#failure = new TributaryError('NETWORK_EXCEPTION', why);
    this.#wake();
  }

  send(message: AttendRequest): void {
    if (this.isOver) return;
    this.received.push(message);
    if (this.answers) this.say(message.hello === undefined ? {} : { sessionTimeoutMs: 1_000 });
  }

  writable(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {}

  cancel(): void {
    this.break('cancelled');
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<AttendResponse> {
    for (;;) {
      const next = this.#said.shift();
      if (next !== undefined) yield next;
      else if (this.#failure !== undefined) throw this.#failure;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** The controllers' side of every stream, in the order in which they were opened. */
export class Desk implements Pick<Transport, 'connect'> {
  readonly streams: AttendedStream[] = [];
  /** Of new streams. */
  answers = true;

  connect(address: string): Peer {
    return {
      address,
      unary: () => Promise.reject(new Error('no calls')),
      stream: (method, signal) => {
        if (method.path !== methods.attend.path) throw new Error(`not attended: ${method.path}`);
        const stream = new AttendedStream(address);
        stream.answers = this.answers;
        this.streams.push(stream);
        signal.addEventListener('abort', () => stream.cancel(), { once: true });
        // The path says which messages the method has.
        return stream as unknown as Stream<never, never>;
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  at(index: number): AttendedStream {
    const stream = this.streams.at(index);
    if (stream === undefined) throw new Error(`no stream ${index}`);
    return stream;
  }
}
