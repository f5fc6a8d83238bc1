/** gRPC's framing: one byte of flags (1: compressed), four of length, the message. */
import type { Writable } from 'node:stream';
import { limits, TributaryError } from '@tributary/model';

const headerLength = 5;
const compressedFlag = 1;

/**
 * Writes one message. Small pieces are copied behind its header; large ones follow as they stand, without a copy.
 * @param pieces of the message, in order.
 * @param length of them all, at most `limits.messageBytesMax`: see {@link checkSize}.
 * @param written called once the network took it, or never will.
 */
export function writeFrame(to: Writable, pieces: readonly Uint8Array[], length: number, written: () => void): void {
  const [first] = pieces;
  const copied = first !== undefined && first.length <= limits.frameCopied ? first.length : 0;
  const head = Buffer.allocUnsafe(headerLength + copied);
  writeHeader(head, length);
  if (first !== undefined && copied > 0) head.set(first, headerLength);
  const rest = copied > 0 ? pieces.slice(1) : pieces;
  const last = rest.length - 1;
  if (last < 0 || length === 0) {
    to.write(head, written);
    return;
  }
  to.write(head);
  for (const [index, piece] of rest.entries()) {
    if (index === last) to.write(piece, written);
    else to.write(piece);
  }
}

function writeHeader(into: Buffer, length: number): void {
  into[0] = 0;
  into.writeUInt32BE(length, 1);
}

/** @throws TributaryError MESSAGE_TOO_LARGE. */
export function checkSize(length: number, most: number = limits.messageBytesMax): void {
  if (length <= most) return;
  throw new TributaryError('MESSAGE_TOO_LARGE', `A message of ${length} bytes is larger than the ${most} allowed.`);
}

/** Cuts what the network delivers into messages. A message within one chunk is a view of it; others are put together, copied once. */
export class FrameReader {
  readonly #deliver: (message: Uint8Array) => void;
  readonly #bytesMax: number;
  /** A header that a chunk's end cut off. */
  #head: Buffer | undefined;
  /** A message that a chunk's end cut off. */
  #partial: PartialMessage | undefined;

  /** @param bytesMax of one message. */
  constructor(deliver: (message: Uint8Array) => void, bytesMax: number = limits.messageBytesMax) {
    this.#deliver = deliver;
    this.#bytesMax = bytesMax;
  }

  /** What is here of a message is of no use any more. */
  drop(): void {
    this.#head = undefined;
    this.#partial = undefined;
  }

  /** True between messages: ending here is not a cut. */
  get whole(): boolean {
    return this.#head === undefined && this.#partial === undefined;
  }

  /** @throws TributaryError MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE; the reader is of no use afterwards. */
  read(received: Buffer): void {
    let chunk = received;
    if (this.#head !== undefined) {
      chunk = Buffer.concat([this.#head, received]);
      this.#head = undefined;
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.#partial !== undefined) {
        at = this.#partial.fill(chunk, at);
        if (!this.#partial.complete) return;
        const message = this.#partial.bytes;
        this.#partial = undefined;
        this.#deliver(message);
      } else if (chunk.length - at < headerLength) {
        this.#head = chunk.subarray(at);
        return;
      } else {
        const length = messageLength(chunk, at, this.#bytesMax);
        at += headerLength;
        if (chunk.length - at >= length) {
          this.#deliver(chunk.subarray(at, at + length));
          at += length;
        } else {
          this.#partial = new PartialMessage(length);
        }
      }
    }
  }
}

/** Grows with what has arrived: a claimed length alone allocates no more than an ordinary message takes. */
class PartialMessage {
  readonly #length: number;
  #buffer: Buffer;
  #filled = 0;

  constructor(length: number) {
    this.#length = length;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(length, limits.messageAllocated));
  }

  get complete(): boolean {
    return this.#filled === this.#length;
  }

  get bytes(): Buffer {
    return this.#buffer;
  }

  /** @returns where in the chunk the next message begins. */
  fill(chunk: Buffer, at: number): number {
    const bytes = Math.min(this.#length - this.#filled, chunk.length - at);
    if (this.#filled + bytes > this.#buffer.length) this.#grow(this.#filled + bytes);
    chunk.copy(this.#buffer, this.#filled, at, at + bytes);
    this.#filled += bytes;
    return at + bytes;
  }

  #grow(least: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#length, Math.max(least, 2 * this.#buffer.length)));
    this.#buffer.copy(larger, 0, 0, this.#filled);
    this.#buffer = larger;
  }
}

function messageLength(chunk: Buffer, at: number, most: number): number {
  if (chunk[at] === compressedFlag) {
    throw new TributaryError(
      'UNSUPPORTED_COMPRESSION_TYPE',
      'The message is compressed by gRPC; send it uncompressed: batches carry their own compression.',
    );
  }
  const length = chunk.readUInt32BE(at + 1);
  checkSize(length, most);
  return length;
}
