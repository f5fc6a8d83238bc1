import { limits, TributaryError } from '@tributary/model';
import type { Codec } from '@tributary/ports';

/** Marks bytes that the other side must never see. */
const POISON = 0xdb;

/**
 * The bytes of one message. Until the network takes them (until they no longer count as queued) they lie where the sender has them, so that a
 * sender that changes them too early is found out; then they are the network's own, and the receiver's in the end. Where a codec gives no
 * pieces, its buffer is copied at once and then spoilt: nobody may go on living on it.
 */
export class Shipment {
  readonly size: number;
  #pieces: readonly Uint8Array[];

  private constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
    this.size = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  /** @throws TributaryError MESSAGE_TOO_LARGE: nothing was sent. */
  static of<T>(codec: Codec<T>, message: T): Shipment {
    const shipment = new Shipment(codec.pieces === undefined ? [copied(codec.encode(message))] : codec.pieces(message));
    if (shipment.size > limits.messageBytesMax) {
      throw new TributaryError(
        'MESSAGE_TOO_LARGE',
        `A message of ${shipment.size} bytes is larger than the ${limits.messageBytesMax} allowed.`,
      );
    }
    return shipment;
  }

  /** The network takes them: the sender may use its memory again. */
  depart(): void {
    this.#pieces = [this.bytes()];
  }

  /** As they are now; the caller's own. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }
}

function copied(encoded: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(encoded);
  encoded.fill(POISON);
  return copy;
}
