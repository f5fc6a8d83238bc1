import type { Http2Stream } from 'node:http2';
import { limits, type Share } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import { checkSize, writeFrame } from './frames.ts';

/** What is on its way out of one stream. Messages sent in one turn of the event loop go to the network together. */
export class Outbox {
  #stream: Http2Stream | undefined;
  /** Sent before there was a connection. */
  #early: (readonly Uint8Array[])[] = [];
  #bytes = 0;
  #corked = false;
  #state: 'open' | 'ended' | 'closed' = 'open';
  #waiters: (() => void)[] = [];
  readonly #share: Share | undefined;
  #movedMs = 0;

  /** @param share counts what is on its way. */
  constructor(share?: Share) {
    this.#share = share;
  }

  /** Bytes that the network has not yet taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When the network last took something, or the first of what waits for it was sent. */
  get movedMs(): number {
    return this.#movedMs;
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  attach(stream: Http2Stream): void {
    this.#stream = stream;
    const early = this.#early;
    this.#early = [];
    for (const pieces of early) this.#write(stream, pieces, total(pieces));
    if (this.#state === 'ended') stream.end();
  }

  /** @throws TributaryError MESSAGE_TOO_LARGE: nothing was sent, the stream goes on. */
  send<T>(codec: Codec<T>, message: T): void {
    if (this.#state !== 'open') return;
    const pieces = codec.pieces?.(message) ?? [codec.encode(message)];
    const length = total(pieces);
    checkSize(length);
    if (this.#bytes === 0) this.#movedMs = performance.now();
    this.#bytes += length;
    this.#share?.take(length);
    // There may have been no room for it.
    if (!this.open) return;
    if (this.#stream === undefined) this.#early.push(pieces);
    else this.#write(this.#stream, pieces, length);
  }

  /** Resolves when less than `limits.streamQueue` is on its way, or nothing will be any more. */
  writable(): Promise<void> {
    if (this.#bytes < limits.streamQueue || this.#state === 'closed') return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Takes nothing more; the stream stays open. */
  hold(): void {
    if (this.#state === 'open') this.#state = 'ended';
  }

  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    this.#stream?.end();
  }

  /** Drops what is still here. */
  close(): void {
    this.#state = 'closed';
    this.#early = [];
    this.#bytes = 0;
    this.#wake();
  }

  #write(stream: Http2Stream, pieces: readonly Uint8Array[], length: number): void {
    if (!this.#corked) {
      this.#corked = true;
      stream.cork();
      process.nextTick(() => {
        this.#corked = false;
        stream.uncork();
      });
    }
    writeFrame(stream, pieces, length, () => this.#written(length));
  }

  #written(bytes: number): void {
    if (this.#state === 'closed') return;
    this.#bytes -= bytes;
    this.#movedMs = performance.now();
    this.#share?.give(bytes);
    this.#share?.progressed();
    if (this.#bytes < limits.streamQueue) this.#wake();
  }

  #wake(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

function total(pieces: readonly Uint8Array[]): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}
