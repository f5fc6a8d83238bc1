import type { Stream } from '@tributary/ports';
import { methods, type SubscribeRequest, type SubscribeResponse } from '@tributary/wire';

/** A client that takes nothing from the network until it is told to. */
export class HeldReader implements Stream<SubscribeResponse, SubscribeRequest> {
  queuedBytes = 0;
  queuedMost = 0;
  records = 0;
  readonly answers: SubscribeResponse[] = [];
  #writable: (() => void) | undefined;

  send(message: SubscribeResponse): void {
    this.queuedBytes += methods.subscribe.response.encode(message).length;
    this.queuedMost = Math.max(this.queuedMost, this.queuedBytes);
    this.answers.push(message);
    for (const { records } of message.partitions) this.records += records.length;
  }

  writable(): Promise<void> {
    return new Promise((resolve) => {
      this.#writable = resolve;
    });
  }

  takeAll(): void {
    this.queuedBytes = 0;
    this.#writable?.();
  }

  end(): void {}
  cancel(): void {}
  async *[Symbol.asyncIterator](): AsyncGenerator<SubscribeRequest> {}
}
