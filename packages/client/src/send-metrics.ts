// pure
/** What a producer has sent, counted. */
import type { ProducerBatch } from './batch.ts';
import type { EndedBatch } from './partition-queue.ts';

/** Counts since the producer was made. */
export interface ProducerMetrics {
  /** Sendings of batches, repeated ones included. */
  readonly attempts: number;
  /** Of them, those of a batch that had been sent before. */
  readonly retries: number;
  readonly recordsAcknowledged: number;
  readonly recordsFailed: number;
}

export class SendMetrics {
  #attempts = 0;
  #retries = 0;
  #acknowledged = 0;
  #failed = 0;

  attempted(batch: ProducerBatch): void {
    this.#attempts++;
    if (batch.attempts++ > 0) this.#retries++;
  }

  ended({ batch, outcome }: EndedBatch): void {
    if (outcome.kind === 'acknowledged') this.#acknowledged += batch.count;
    else this.#failed += batch.count;
  }

  get current(): ProducerMetrics {
    return {
      attempts: this.#attempts,
      retries: this.#retries,
      recordsAcknowledged: this.#acknowledged,
      recordsFailed: this.#failed,
    };
  }
}
