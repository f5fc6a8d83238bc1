/**
 * ControllerService.EnsureOffsetsTopic: answers once `__consumer_offsets` can be used, and creates it where nobody has asked before.
 * COORDINATOR_NOT_AVAILABLE, naming what is missing, while fewer brokers are there than it gets copies.
 */
import { type ImageSource, offsetsTopic } from '@tributary/metadata';
import { TributaryError, isInternalTopic, limits, offsetsTopicName, randomId, topicId } from '@tributary/model';
import type { CallContext, Random } from '@tributary/ports';
import type { EnsureOffsetsTopicRequest, EnsureOffsetsTopicResponse } from '@tributary/wire';
import { internalConfigs } from './alter-configs.ts';
import type { Reception } from './reception.ts';
import type { TopicDefaults } from './topic-defaults.ts';
import { type NewTopic, checkNewTopic } from './topics.ts';

/** How `__consumer_offsets` is made, once and for all. */
export interface OffsetsTopicWish {
  readonly partitions: number;
  /** 0: as any topic. */
  readonly replicationFactor: number;
}

export const usualOffsetsTopic: OffsetsTopicWish = {
  partitions: limits.offsetsTopicPartitions,
  replicationFactor: 0,
};

interface Parts {
  readonly images: ImageSource;
  readonly random: Random;
  readonly defaults: TopicDefaults;
  readonly offsetsTopic: OffsetsTopicWish;
}

const configs = {
  ...Object.fromEntries(Object.entries(internalConfigs).map(([name, { value }]) => [name, value])),
  'segment.bytes': String(limits.offsetsTopicSegment),
  // A smaller one for the cluster would keep coordinators from writing.
  'max.message.bytes': String(limits.batchBytesDefault),
};

export class OffsetsDesk {
  readonly #parts: Parts;
  readonly #reception: Reception;

  constructor(parts: Parts, reception: Reception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  async ensure(request: EnsureOffsetsTopicRequest, { signal }: CallContext): Promise<EnsureOffsetsTopicResponse> {
    const { images, random, defaults, offsetsTopic: wish } = this.#parts;
    const before = await this.#reception.imageFor(request.context, signal);
    const there = offsetsTopic(before);
    if (there !== undefined) return { throttleMs: 0, topicId: there.topicId, revision: there.modRevision };
    const topic: NewTopic = {
      topicId: topicId(randomId(() => random.nextU32())),
      name: offsetsTopicName,
      ...wish,
      configs,
    };
    if (before.topicNamed(offsetsTopicName) === undefined) orNotAvailable(() => checkNewTopic(before, topic, defaults));
    return this.#reception.inTime(`creating topic "${offsetsTopicName}"`, signal, async (limited) => {
      await this.#reception.order({
        event: (image) => {
          // Others ask at the same time.
          if (image.topicNamed(offsetsTopicName) !== undefined) return { kind: 'settle' };
          orNotAvailable(() => checkNewTopic(image, topic, defaults));
          return { kind: 'create-topic', topic, defaults };
        },
        signal: limited,
      });
      const created = offsetsTopic(await images.until((image) => offsetsTopic(image) !== undefined, limited));
      if (created === undefined)
        throw new TributaryError('COORDINATOR_NOT_AVAILABLE', 'The topic was deleted meanwhile.');
      return { throttleMs: 0, topicId: created.topicId, revision: created.modRevision };
    });
  }
}

/** More brokers may come: whoever asks tries again. */
function orNotAvailable(check: () => void): void {
  try {
    check();
  } catch (thrown) {
    if (!(thrown instanceof TributaryError) || thrown.error !== 'INVALID_REPLICATION_FACTOR') throw thrown;
    throw new TributaryError('COORDINATOR_NOT_AVAILABLE', `Groups cannot be kept yet. ${thrown.message}`);
  }
}

/** @throws TributaryError INVALID_TOPIC_EXCEPTION: users do not `what` internal topics. */
export function refuseInternal(name: string, what: string): void {
  if (!isInternalTopic(name)) return;
  throw new TributaryError(
    'INVALID_TOPIC_EXCEPTION',
    `Topic "${name}" is the cluster's own: the controller makes it on first use, and nobody can ${what}.`,
  );
}
