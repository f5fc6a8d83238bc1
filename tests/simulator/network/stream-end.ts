import { limits, TributaryError } from '@tributary/model';
import type { Codec, Stream } from '@tributary/ports';
import type { Frame } from './lane.ts';
import { Shipment } from './shipment.ts';

/** How one end of a stream speaks to the other. */
export interface StreamLink {
  send(frame: Frame): void;
  readonly queuedBytes: number;
  /** So many bytes of what arrived were read. */
  consumed(bytes: number): void;
  /** Breaks both directions; the other end learns it later. */
  cancel(): void;
}

type Ending = { readonly how: 'ended' } | { readonly how: 'broken'; readonly error: TributaryError };

/**
 * One end of a bidirectional stream. Messages are encoded when sent and decoded when read; the two sides share no byte. What had arrived
 * before the stream broke stays readable. Iterating again goes on where the last iteration stopped.
 */
export class StreamEnd<Out, In> implements Stream<Out, In> {
  readonly #out: Codec<Out>;
  readonly #in: Codec<In>;
  readonly #link: StreamLink;
  readonly #inbox: Uint8Array[] = [];
  readonly #readers: PromiseWithResolvers<IteratorResult<In, undefined>>[] = [];
  #writers: (() => void)[] = [];
  #ending: Ending | undefined;
  #outgoingIsOver = false;

  constructor(out: Codec<Out>, into: Codec<In>, link: StreamLink) {
    this.#out = out;
    this.#in = into;
    this.#link = link;
  }

  send(message: Out): void {
    if (this.#outgoingIsOver) return;
    this.#link.send({ kind: 'message', message: Shipment.of(this.#out, message) });
  }

  get queuedBytes(): number {
    return this.#outgoingIsOver ? 0 : this.#link.queuedBytes;
  }

  writable(): Promise<void> {
    if (this.#isWritable()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#writers.push(resolve);
    });
  }

  end(): void {
    if (this.#outgoingIsOver) return;
    this.#outgoingIsOver = true;
    this.#link.send({ kind: 'end' });
    this.taken();
  }

  cancel(): void {
    if (this.#outgoingIsOver && this.#ending !== undefined) return;
    this.#link.cancel();
    this.broken(new TributaryError('NETWORK_EXCEPTION', 'the call was cancelled here'));
  }

  [Symbol.asyncIterator](): AsyncIterator<In, undefined> {
    return { next: () => this.#next() };
  }

  /** For the network: the other end's next message. */
  arrived(bytes: Uint8Array): void {
    if (this.#ending !== undefined) return;
    this.#inbox.push(bytes);
    this.#wake();
  }

  /** For the network: the other end will send no more. @param both also this end may not. */
  ended(both: boolean): void {
    this.#ending ??= { how: 'ended' };
    if (both) this.#outgoingIsOver = true;
    this.#wake();
    this.taken();
  }

  /** For the network: nothing goes either way any more. */
  broken(error: TributaryError): void {
    this.#outgoingIsOver = true;
    this.#ending ??= { how: 'broken', error };
    this.#wake();
    this.taken();
  }

  /** For the network: some of what was queued has left. */
  taken(): void {
    if (this.#writers.length === 0 || !this.#isWritable()) return;
    const writers = this.#writers;
    this.#writers = [];
    for (const wake of writers) wake();
  }

  #isWritable(): boolean {
    return this.#outgoingIsOver || this.#link.queuedBytes < limits.streamQueue;
  }

  #next(): Promise<IteratorResult<In, undefined>> {
    const reader = Promise.withResolvers<IteratorResult<In, undefined>>();
    this.#readers.push(reader);
    this.#wake();
    return reader.promise;
  }

  #wake(): void {
    while (this.#readers.length > 0) {
      const bytes = this.#inbox.shift();
      if (bytes === undefined && this.#ending === undefined) return;
      const reader = this.#readers.shift();
      if (reader === undefined) return;
      if (bytes !== undefined) this.#decoded(bytes, reader);
      else if (this.#ending?.how === 'broken') reader.reject(this.#ending.error);
      else reader.resolve({ done: true, value: undefined });
    }
  }

  #decoded(bytes: Uint8Array, reader: PromiseWithResolvers<IteratorResult<In, undefined>>): void {
    this.#link.consumed(bytes.length);
    try {
      reader.resolve({ done: false, value: this.#in.decode(bytes) });
    } catch (thrown) {
      reader.reject(thrown);
    }
  }
}
