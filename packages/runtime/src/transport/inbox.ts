import type { TributaryError } from '@tributary/model';

type Ending = { readonly kind: 'ended' } | { readonly kind: 'broken'; readonly error: TributaryError };

/** What has been received and not yet read: waits for the reader, and for the sender where the reader is slow. */
export class Inbox<In> implements AsyncIterator<In, undefined> {
  readonly #decode: (bytes: Uint8Array) => In;
  /** Called when the reader has caught up to half of what `full` allows. */
  readonly #drained: () => void;
  readonly #bytesMax: number;
  readonly #messagesMax: number;
  /** Those before #first are read, and undefined so that their memory can go. */
  #messages: (Uint8Array | undefined)[] = [];
  #first = 0;
  #bytes = 0;
  #held = false;
  #ending: Ending | undefined;
  #readers: PromiseWithResolvers<IteratorResult<In, undefined>>[] = [];

  constructor(
    decode: (bytes: Uint8Array) => In,
    bound: { readonly bytes: number; readonly messages: number; readonly drained: () => void },
  ) {
    this.#decode = decode;
    this.#bytesMax = bound.bytes;
    this.#messagesMax = bound.messages;
    this.#drained = bound.drained;
  }

  /** The sender is held back. */
  get isFull(): boolean {
    return this.#held;
  }

  /** @returns false when the sender must be held back until `drained`. */
  put(message: Uint8Array): boolean {
    if (this.#ending !== undefined) return true;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      this.#hand(message, reader);
      return true;
    }
    this.#messages.push(message);
    this.#bytes += message.length;
    if (this.#bytes > this.#bytesMax || this.#waiting > this.#messagesMax) this.#held = true;
    return !this.#held;
  }

  /** What was received before stays readable. Only the first ending counts. */
  end(): void {
    this.#finish({ kind: 'ended' });
  }

  break(error: TributaryError): void {
    this.#finish({ kind: 'broken', error });
  }

  /** As {@link break}, and what was received is lost. */
  drop(error: TributaryError): void {
    this.#messages = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#finish({ kind: 'broken', error });
  }

  next(): Promise<IteratorResult<In, undefined>> {
    const message = this.#messages[this.#first];
    if (message !== undefined) return this.#take(message);
    if (this.#ending !== undefined) return result(this.#ending);
    const reader = Promise.withResolvers<IteratorResult<In, undefined>>();
    this.#readers.push(reader);
    return reader.promise;
  }

  get #waiting(): number {
    return this.#messages.length - this.#first;
  }

  #take(message: Uint8Array): Promise<IteratorResult<In, undefined>> {
    this.#messages[this.#first++] = undefined;
    this.#bytes -= message.length;
    if (this.#first === this.#messages.length) {
      this.#messages = [];
      this.#first = 0;
    } else if (this.#first >= 1024) {
      this.#messages = this.#messages.slice(this.#first);
      this.#first = 0;
    }
    if (this.#held && this.#bytes <= this.#bytesMax / 2 && this.#waiting <= this.#messagesMax / 2) {
      this.#held = false;
      this.#drained();
    }
    try {
      return Promise.resolve({ done: false, value: this.#decode(message) });
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  #hand(message: Uint8Array, reader: PromiseWithResolvers<IteratorResult<In, undefined>>): void {
    try {
      reader.resolve({ done: false, value: this.#decode(message) });
    } catch (thrown) {
      reader.reject(thrown);
    }
  }

  #finish(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    for (const reader of this.#readers) reader.resolve(result<In>(ending));
    this.#readers = [];
  }
}

function result<In>(ending: Ending): Promise<IteratorResult<In, undefined>> {
  switch (ending.kind) {
    case 'ended':
      return Promise.resolve({ done: true, value: undefined });
    case 'broken':
      return Promise.reject(ending.error);
  }
}
