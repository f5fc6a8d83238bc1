// pure
import { type Offset, TributaryError } from '@tributary/model';
import type { RecordHeader, RecordView } from '@tributary/record';
import { type Deserializer, serializers } from './serializers.ts';

/** What the records of one partition share. */
export interface RecordSource<K, V> {
  readonly topic: string;
  readonly partition: number;
  readonly keyDeserializer: Deserializer<K>;
  readonly valueDeserializer: Deserializer<V>;
}

/** A key or value that has not been asked for yet. */
const unread = Symbol('unread');

/**
 * A record as it was read. Key and value are deserialised when first asked for: what nobody looks at costs nothing. Bytes are views onto the
 * fetched batch: copy them to keep them longer, or the whole batch stays in memory.
 */
export class ConsumerRecord<K = Uint8Array, V = Uint8Array> {
  readonly #source: RecordSource<K, V>;
  readonly #view: RecordView;
  #key: K | null | typeof unread = unread;
  #value: V | null | typeof unread = unread;

  /** Made by the consumer. */
  constructor(source: RecordSource<K, V>, view: RecordView) {
    this.#source = source;
    this.#view = view;
  }

  get topic(): string {
    return this.#source.topic;
  }

  get partition(): number {
    return this.#source.partition;
  }

  get offset(): Offset {
    return this.#view.offset;
  }

  /** Milliseconds since 1970: the producer's time, or the broker's with `message.timestamp.type=LogAppendTime`. */
  get timestamp(): number {
    return this.#view.timestamp;
  }

  /** @throws TributaryError INVALID_RECORD when the deserializer does not like it. */
  get key(): K | null {
    if (this.#key === unread)
      this.#key = this.#view.keyLength < 0 ? null : this.#deserialized('key', this.#source.keyDeserializer);
    return this.#key;
  }

  /** null: a tombstone. @throws TributaryError INVALID_RECORD when the deserializer does not like it. */
  get value(): V | null {
    if (this.#value === unread)
      this.#value = this.#view.valueLength < 0 ? null : this.#deserialized('value', this.#source.valueDeserializer);
    return this.#value;
  }

  /** Bytes of the key as serialised; 0 without one. */
  get keySize(): number {
    return Math.max(this.#view.keyLength, 0);
  }

  /** Bytes of the value as serialised; 0 for a tombstone. */
  get valueSize(): number {
    return Math.max(this.#view.valueLength, 0);
  }

  /** In the order in which they were written; keys may repeat. */
  get headers(): readonly RecordHeader[] {
    return this.#view.headers;
  }

  #deserialized<T>(what: 'key' | 'value', deserializer: Deserializer<T>): T | null {
    const view = this.#view;
    try {
      // Text is decoded where it lies, without a view in between.
      if ((deserializer as unknown) === serializers.string)
        return (what === 'key' ? view.keyText() : view.valueText()) as T;
      const bytes = what === 'key' ? view.key : view.value;
      return bytes === null ? null : deserializer.deserialize(bytes, this.topic);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      const where = `partition ${this.partition} of "${this.topic}" at offset ${this.offset}`;
      throw new TributaryError('INVALID_RECORD', `The ${what} in ${where} cannot be deserialised: ${why}.`, {
        cause: thrown,
      });
    }
  }

  /** What console.log shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): object {
    const { topic, partition, offset, timestamp, key, value, headers } = this;
    return { topic, partition, offset, timestamp, key, value, headers };
  }
}
