// What the clients have on the wire: a transport that counts, so that a fault can wait for a request to hit and a run can say how often
// something was sent again.

import { errorName } from '@tributary/model';
import type { Peer, Stream, Transport } from '@tributary/ports';
import { methods, type ProduceRequest, type ProduceResponse } from '@tributary/wire';

/** A batch that was sent, or an admin call. */
export interface Flight {
  /** undefined: of an admin call, which any broker passes on. */
  readonly address: string | undefined;
  readonly sentAt: number;
  /** When its answer came, with success or not; absent while it is on its way, and for good once its stream has broken. */
  answeredAt?: number;
}

export class Traffic {
  /** Batches sent, the same one again included. */
  attempts = 0;
  /** Batches that were answered with success. */
  accepted = 0;
  /** Batches whose stream broke before they were answered. */
  lost = 0;
  /** Refusals by the names of their errors. */
  readonly refusals = new Map<string, number>();
  readonly #flights = new Set<Flight>();
  readonly #calls = new Set<Flight>();
  #listeners: (() => void)[] = [];

  /** Batches that were sent more than once, as far as is known while some are on their way. */
  get retries(): number {
    return this.attempts - this.accepted - this.#flights.size;
  }

  /** For people. */
  get told(): string {
    const refused = [...this.refusals].map(([name, count]) => `${name} ${count}`).join(', ');
    return `${this.attempts} batches sent, ${this.retries} of them again, ${this.lost} lost with a connection; refused: ${refused || 'none'}`;
  }

  /** Produce requests that wait for an answer, of this broker or of all. */
  inFlight(address?: string): readonly Flight[] {
    return [...this.#flights].filter((flight) => address === undefined || flight.address === address);
  }

  /** Changes of settings that wait for an answer. */
  get changesInFlight(): readonly Flight[] {
    return [...this.#calls];
  }

  /** Looks a turn after each sending, when it is on the wire. @returns whether the condition came to hold in time. */
  async comesToHold(condition: () => boolean, withinMs: number): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    while (performance.now() < deadline) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, withinMs);
        this.#listeners.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
      await new Promise((resolve) => setImmediate(resolve));
      if (condition()) return true;
    }
    return false;
  }

  /** The same transport, counted. */
  counted(transport: Transport): Transport {
    return {
      connect: (address) => this.#counted(transport.connect(address)),
      serve: (address, service, bounds) => transport.serve(address, service, bounds),
    };
  }

  #counted(peer: Peer): Peer {
    return {
      address: peer.address,
      unary: async (method, request, options) => {
        if (method.path !== methods.alterConfigs.path) return await peer.unary(method, request, options);
        const call: Flight = { address: undefined, sentAt: performance.now() };
        this.#calls.add(call);
        this.#sent();
        try {
          const answer = await peer.unary(method, request, options);
          call.answeredAt = performance.now();
          return answer;
        } finally {
          this.#calls.delete(call);
        }
      },
      stream: (method, signal) => {
        const stream = peer.stream(method, signal);
        if (method.path !== methods.produce.path) return stream;
        const produce = stream as unknown as Stream<ProduceRequest, ProduceResponse>;
        return this.#countedProduce(produce, peer.address) as unknown as typeof stream;
      },
      [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
    };
  }

  #countedProduce(
    stream: Stream<ProduceRequest, ProduceResponse>,
    address: string,
  ): Stream<ProduceRequest, ProduceResponse> {
    const own = new Map<number, Flight>();
    const over = (): void => {
      for (const flight of own.values()) this.#flights.delete(flight);
      this.lost += own.size;
      own.clear();
    };
    const answers = this.#answers(stream, own, over);
    return {
      send: (message) => {
        for (const { correlationId } of message.batches) {
          const flight: Flight = { address, sentAt: performance.now() };
          own.set(correlationId, flight);
          this.#flights.add(flight);
          this.attempts++;
        }
        stream.send(message);
        this.#sent();
      },
      get queuedBytes() {
        return stream.queuedBytes;
      },
      writable: () => stream.writable(),
      end: () => stream.end(),
      cancel: () => {
        over();
        stream.cancel();
      },
      [Symbol.asyncIterator]: () => answers,
    };
  }

  async *#answers(
    stream: Stream<ProduceRequest, ProduceResponse>,
    own: Map<number, Flight>,
    over: () => void,
  ): AsyncGenerator<ProduceResponse> {
    try {
      for await (const message of stream) {
        for (const { correlationId, errorCode } of message.results) {
          const flight = own.get(correlationId);
          if (flight === undefined) continue;
          flight.answeredAt = performance.now();
          own.delete(correlationId);
          this.#flights.delete(flight);
          if (errorCode === 0) this.accepted++;
          else {
            const name = errorName(errorCode) ?? String(errorCode);
            this.refusals.set(name, (this.refusals.get(name) ?? 0) + 1);
          }
        }
        yield message;
      }
    } finally {
      over();
    }
  }

  #sent(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }
}
