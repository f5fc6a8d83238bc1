import type { Writable } from 'node:stream';
import { limits } from '@tributary/model';
import { checkSize } from '../transport/frames.ts';

/** Counts what one grpc-js stream has been given and has not yet passed on. */
export class GrpcJsOutbox {
  readonly #stream: Writable;
  #bytes = 0;
  #state: 'open' | 'held' | 'closed' = 'open';
  #waiters: (() => void)[] = [];

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  /** @throws TributaryError MESSAGE_TOO_LARGE: nothing was sent, the stream goes on. */
  send(message: Uint8Array): void {
    if (this.#state !== 'open') return;
    checkSize(message.length);
    this.#bytes += message.length;
    // One by one and corked by grpc-js as it sees fit; it copies each message behind its header.
    this.#stream.write(asBuffer(message), () => {
      this.#bytes -= message.length;
      if (this.#bytes < limits.streamQueue) this.#wake();
    });
  }

  writable(): Promise<void> {
    if (this.#bytes < limits.streamQueue || this.#state === 'closed') return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Takes nothing more; what it has still goes out. */
  hold(): void {
    if (this.#state === 'open') this.#state = 'held';
  }

  close(): void {
    this.#state = 'closed';
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

/** grpc-js calls Buffer's methods on what it is given. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
