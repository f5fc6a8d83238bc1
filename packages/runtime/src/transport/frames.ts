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

  /** Memory of a message that has not all arrived. */
  get allocated(): number {
    return this.#partial?.allocated ?? 0;
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

/**
 * A message that comes in several chunks. A short one is put together as they come; of a longer one they are kept until it is whole: a claimed
 * length alone takes no memory.
 */
class PartialMessage {
  readonly #length: number;
  readonly #buffer: Buffer | undefined;
  readonly #chunks: Buffer[] = [];
  #filled = 0;

  constructor(length: number) {
    this.#length = length;
    if (length <= limits.messageAllocated) this.#buffer = Buffer.allocUnsafeSlow(length);
  }

  /** Bytes that have arrived, and what keeping them in pieces costs. */
  get allocated(): number {
    return this.#filled + this.#chunks.length * limits.chunkOverhead;
  }

  get complete(): boolean {
    return this.#filled === this.#length;
  }

  get bytes(): Buffer {
    if (this.#buffer !== undefined) return this.#buffer;
    const whole = Buffer.allocUnsafeSlow(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) at += chunk.copy(whole, at);
    return whole;
  }

  /** @returns where in the chunk the next message begins. */
  fill(chunk: Buffer, at: number): number {
    const bytes = Math.min(this.#length - this.#filled, chunk.length - at);
    if (this.#buffer === undefined) this.#chunks.push(chunk.subarray(at, at + bytes));
    else chunk.copy(this.#buffer, this.#filled, at, at + bytes);
    this.#filled += bytes;
    return at + bytes;
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
