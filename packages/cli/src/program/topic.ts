/** `tributary topic …`. */
import type { Command } from 'commander';
import { int32Most, keyValue, wholeNumber } from '../option-values.ts';
import { examples, withConnection, withSettings } from './options.ts';

export function addTopic(program: Command): void {
  const topic = program
    .command('topic')
    .description('Create, list, describe, change and delete topics')
    .addHelpText('after', examples('topic create events --partitions 6', 'topic list', 'topic describe events'));
  const create = topic
    .command('create <name>')
    .description('Create a topic')
    .option('--partitions <number>', 'how many partitions (default: the cluster’s)', wholeNumber(1, int32Most))
    .option(
      '--replication-factor <number>',
      'copies of each partition (default: the cluster’s)',
      wholeNumber(1, int32Most),
    )
    .option('--config <key=value>', 'a setting by Kafka’s name; may be repeated', keyValue)
    .option('--dry-run', 'check everything and create nothing')
    .addHelpText('after', examples('topic create events --partitions 6 --config retention.ms=3600000'));
  withConnection(create).action(async (name, options) =>
    (await import('../commands/topic-create.ts')).topicCreate(name, options),
  );
  const list = topic
    .command('list')
    .description('List the topics')
    .option('--include-internal', 'those of the cluster itself, too: __consumer_offsets')
    .addHelpText('after', examples('topic list', 'topic list --include-internal --output json'));
  withConnection(list).action(async (options) => (await import('../commands/topic-list.ts')).topicList(options));
  const describe = topic
    .command('describe <name>')
    .description('Show a topic’s partitions, their offsets and sizes, and its settings')
    .addHelpText('after', examples('topic describe events'));
  withConnection(describe).action(async (name, options) =>
    (await import('../commands/topic-describe.ts')).topicDescribe(name, options),
  );
  const alter = topic
    .command('alter <name>')
    .description('Change a topic’s settings, or add partitions')
    .option('--partitions <number>', 'how many partitions there are to be in all', wholeNumber(1, int32Most))
    .addHelpText(
      'after',
      examples(
        'topic alter events --set retention.ms=3600000 --dry-run',
        'topic alter events --append cleanup.policy=compact --delete segment.bytes',
        'topic alter events --partitions 12',
      ),
    );
  withConnection(withSettings(alter)).action(async (name, options) =>
    (await import('../commands/topic-alter.ts')).topicAlter(name, options),
  );
  const remove = topic
    .command('delete <name>')
    .description('Delete a topic and all its records')
    .option('--dry-run', 'say what would go, and delete nothing')
    .addHelpText('after', examples('topic delete events --dry-run', 'topic delete events'));
  withConnection(remove).action(async (name, options) =>
    (await import('../commands/topic-delete.ts')).topicDelete(name, options),
  );
}
