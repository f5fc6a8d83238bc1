import type { ElectionOutcome, ElectionRequest } from '@tributary/client';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';

interface ElectOptions extends ConnectionOptions {
  readonly all?: boolean;
  readonly unclean?: boolean;
  readonly dryRun?: boolean;
}

/** Exit code 1 when a partition that needed a leader got none. */
export async function partitionElect(
  topic: string | undefined,
  partitions: readonly number[],
  options: ElectOptions,
): Promise<void> {
  const request = requestOf(topic, partitions, options);
  await using cluster = await open(options);
  const outcomes = await cluster.admin.electLeaders(request, { validateOnly: options.dryRun ?? false });
  if (outcomes.some((outcome) => failed(outcome))) process.exitCode = 1;
  await print(options.output === 'json' ? json(outcomes) : text(outcomes, options.dryRun ?? false));
}

function requestOf(
  topic: string | undefined,
  partitions: readonly number[],
  { all = false, unclean = false }: ElectOptions,
): ElectionRequest {
  const see = 'See: tributary partition elect --help';
  if (all) {
    if (topic !== undefined) throw new UsageError(`Name a topic, or give --all: not both. ${see}`);
    if (unclean)
      throw new UsageError(`--unclean may lose acknowledged records: name the topic and its partitions. ${see}`);
    return { kind: 'preferred', of: 'all' };
  }
  if (topic === undefined) throw new UsageError(`Of which topic? Name it, or give --all. ${see}`);
  if (unclean && partitions.length === 0)
    throw new UsageError(`--unclean may lose acknowledged records: name the partitions of ${topic}. ${see}`);
  return { kind: unclean ? 'unclean' : 'preferred', of: [{ topic, partitions }] };
}

const isNeedless = ({ error }: ElectionOutcome): boolean => error?.error === 'ELECTION_NOT_NEEDED';
const failed = (outcome: ElectionOutcome): boolean => outcome.error !== undefined && !isNeedless(outcome);

function json(outcomes: readonly ElectionOutcome[]): string {
  return JSON.stringify(
    outcomes.map(({ topic, partition, leaderBefore, leader, error }) => ({
      topic,
      partition: partition ?? null,
      leaderBefore: leaderBefore ?? null,
      leader: leader ?? null,
      error: error === undefined ? null : { error: error.error, message: error.message },
    })),
  );
}

function text(outcomes: readonly ElectionOutcome[], isDry: boolean): string {
  if (outcomes.length === 0) return 'Nothing to elect: every partition is led by its preferred replica.';
  return outcomes.map((outcome) => `${isDry ? 'Dry run: ' : ''}${sentence(outcome, isDry)}`).join('\n');
}

function sentence(outcome: ElectionOutcome, isDry: boolean): string {
  const { topic, partition, leaderBefore, leader, error } = outcome;
  if (partition === undefined) return `There is no topic "${topic}".`;
  const where = `${topic}/${partition}`;
  if (isNeedless(outcome)) return `${where}: broker ${leader ?? leaderBefore ?? '?'} leads already.`;
  if (error !== undefined) return `${where}: ${error.message}`;
  const before = leaderBefore === undefined ? 'nobody' : `broker ${leaderBefore}`;
  return isDry
    ? `${where}: broker ${leader ?? '?'} would lead (now: ${before}).`
    : `${where}: broker ${leader ?? '?'} leads (before: ${before}).`;
}
