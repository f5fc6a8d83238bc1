/** What a controller tells Prometheus. All of it is read at each scrape. */
import type { ImageSource } from '@tributary/metadata';
import type { Metrics } from '@tributary/runtime';
import type { Controller } from './controller.ts';

export function registerControllerMetrics(
  metrics: Metrics,
  controller: Pick<Controller, 'isActive'>,
  images: Pick<ImageSource, 'current'>,
): void {
  const gauge = (name: string, help: string, value: () => number): void => {
    metrics.gauge<never>({
      name,
      help,
      collect() {
        this.set(value());
      },
    });
  };
  gauge('tributary_controller_active', '1 where this controller is the one that decides.', () =>
    controller.isActive ? 1 : 0,
  );
  gauge('tributary_metadata_revision', 'Revision of the metadata that this process has reached.', () =>
    Number(images.current.revision),
  );
  gauge('tributary_topics', 'Topics, those in creation or deletion included.', () => images.current.topicCount);
  gauge('tributary_partitions', 'Partitions of all topics.', () => images.current.partitionCount);
  gauge('tributary_partitions_without_leader', 'Partitions that nobody leads.', () => leaderless(images.current));
}

function leaderless(image: ImageSource['current']): number {
  let count = 0;
  for (const { leader } of image.partitions()) if (leader === undefined) count++;
  return count;
}
