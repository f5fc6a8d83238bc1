/** What a producer has accepted and not yet brought to an end, and the failures that nobody has been told of. */
import { TributaryError } from '@tributary/model';
import { BatchFate } from './delivery.ts';
import type { DeliveryFailure } from './producer-options.ts';
import { Bell } from './waiting.ts';

export class Outstanding {
  readonly #onError: ((failure: DeliveryFailure) => void) | undefined;
  readonly #live = new Set<BatchFate>();
  readonly #progress = new Bell();
  #unreported: { records: number; readonly first: TributaryError } | undefined;

  constructor(onError: ((failure: DeliveryFailure) => void) | undefined) {
    this.#onError = onError;
  }

  /** The fate of a new batch. */
  begin(topic: string, partition: number, baseTimestamp: number): BatchFate {
    const fate = new BatchFate(topic, partition, this.#over);
    fate.baseTimestamp = baseTimestamp;
    this.#live.add(fate);
    return fate;
  }

  readonly #over = (fate: BatchFate): void => {
    this.#live.delete(fate);
    this.#progress.ring();
  };

  /** Something else than a batch has come to an end. */
  progressed(): void {
    this.#progress.ring();
  }

  /** Call before the fate is settled: who awaits it hears of the failure, the others' share is for `report`. */
  failed(fate: BatchFate, records: number, error: TributaryError): void {
    const unseen = records - fate.awaited;
    if (unseen > 0) {
      this.#unreported ??= { records: 0, first: error };
      this.#unreported.records += unseen;
    }
    this.#onError?.({ topic: fate.topic, partition: fate.partition, records, error });
  }

  /** Waits until the condition holds. @throws the signal's reason. */
  async until(condition: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    while (!condition()) {
      signal?.throwIfAborted();
      await this.#progress.nextUnless(signal);
    }
  }

  /** Waits until every batch that is live now is over. @throws the signal's reason. */
  async settled(signal: AbortSignal | undefined): Promise<void> {
    for (const fate of this.#live.values().toArray()) await this.until(() => !this.#live.has(fate), signal);
  }

  /** @throws TributaryError, the first, if records have failed since the last report that nobody awaited. */
  report(): void {
    const failures = this.#unreported;
    this.#unreported = undefined;
    if (failures === undefined) return;
    const { first, records } = failures;
    const message =
      records === 1 ? first.message : `${records} records were not acknowledged. The first: ${first.message}`;
    throw new TributaryError(first.error, message, { cause: first });
  }
}
