/** What groups know of topics: the cluster image as their core reads it. */
import { isInternalTopic, type PartitionIndex, type TopicId } from '@tributary/model';
import type { ClusterImage, ImageSource, TopicInfo } from '@tributary/metadata';
import type { TopicFacts, TopicView } from './group/topic-view.ts';

export class ImageTopics implements TopicView {
  readonly #images: Pick<ImageSource, 'current'>;
  /** Of the newest change of topics that was heard of. */
  #version = 0n;

  constructor(images: Pick<ImageSource, 'current'>) {
    this.#images = images;
  }

  get version(): bigint {
    return this.#version;
  }

  /** Topics have come, grown or gone. */
  changed(revision: bigint): void {
    this.#version = revision;
  }

  topic(id: TopicId): TopicFacts | undefined {
    const image = this.#images.current;
    return factsOf(image, image.topic(id));
  }

  named(name: string): TopicFacts | undefined {
    const image = this.#images.current;
    return factsOf(image, image.topicNamed(name));
  }

  *names(): Generator<string> {
    const image = this.#images.current;
    for (const name of image.topicNames()) {
      if (!isInternalTopic(name) && image.topicNamed(name)?.phase === 'ready') yield name;
    }
  }
}

function factsOf(image: ClusterImage, topic: TopicInfo | undefined): TopicFacts | undefined {
  if (topic?.phase !== 'ready') return undefined;
  const { topicId, name } = topic;
  const known = image.partitionsOf(topicId);
  // While partitions are being added, those that are there.
  const missing = known.indexOf(undefined);
  const partitions = missing === -1 ? known.length : missing;
  return {
    topicId,
    name,
    partitions,
    racks: (partition: PartitionIndex) => {
      const racks = new Set<string>();
      for (const { nodeId } of image.partition(topicId, partition)?.replicas ?? []) {
        const rack = image.broker(nodeId)?.registration?.rack ?? '';
        if (rack !== '') racks.add(rack);
      }
      return [...racks];
    },
  };
}
