/** `tributary topic …`. */
import type { Command } from 'commander';
import { keyValue, wholeNumber } from '../option-values.ts';
import { examples, withConnection } from './options.ts';

export function addTopic(program: Command): void {
  const topic = program.command('topic').description('Create, list, describe and delete topics');
  const create = topic
    .command('create <name>')
    .description('Create a topic')
    .option('--partitions <number>', 'how many partitions (default: the cluster’s)', wholeNumber(1))
    .option('--replication-factor <number>', 'copies of each partition (default: the cluster’s)', wholeNumber(1))
    .option('--config <key=value>', 'a setting by Kafka’s name; may be repeated', keyValue)
    .addHelpText('after', examples('topic create events --partitions 6 --config retention.ms=3600000'));
  withConnection(create).action(async (name, options) =>
    (await import('../commands/topic-create.ts')).topicCreate(name, options),
  );
  const list = topic
    .command('list')
    .description('List the topics')
    .addHelpText('after', examples('topic list', 'topic list --output json'));
  withConnection(list).action(async (options) => (await import('../commands/topic-list.ts')).topicList(options));
  const describe = topic
    .command('describe <name>')
    .description('Show a topic’s partitions and settings')
    .addHelpText('after', examples('topic describe events'));
  withConnection(describe).action(async (name, options) =>
    (await import('../commands/topic-describe.ts')).topicDescribe(name, options),
  );
  const remove = topic
    .command('delete <name>')
    .description('Delete a topic and all its records')
    .addHelpText('after', examples('topic delete events'));
  withConnection(remove).action(async (name, options) =>
    (await import('../commands/topic-delete.ts')).topicDelete(name, options),
  );
}
