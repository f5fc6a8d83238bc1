/** Which partitions `--topic` means: `orders`, or `orders:0,2`. */
import { InvalidArgumentError } from 'commander';

export interface TopicSelection {
  readonly topic: string;
  /** undefined: all of them. */
  readonly partitions: readonly number[] | undefined;
}

/** Collects them, each topic once. */
export function topicSelections(text: string, before: readonly TopicSelection[] = []): readonly TopicSelection[] {
  const [, topic = '', list] = /^([^:]+)(?::(.*))?$/s.exec(text) ?? [];
  if (topic === '' || (list !== undefined && !/^\d{1,9}(,\d{1,9})*$/.test(list)))
    throw new InvalidArgumentError('Allowed is a topic, or a topic with some of its partitions: events:0,2.');
  if (before.some((each) => each.topic === topic)) throw new InvalidArgumentError(`Topic ${topic} is given twice.`);
  const partitions = list === undefined ? undefined : [...new Set(list.split(',').map(Number))];
  return [...before, { topic, partitions }];
}
