/**
 * Consumer groups on a cluster: two or three coordinators beside brokers and controllers, groups of the library's consumers that come, die, fall
 * silent and come back, while everything else goes wrong too. Each run ends healed: every partition has one owner, and all is read.
 */
import { keyOf } from '../clients/routes.ts';
import { LibraryProducer } from '../clients/library-producer.ts';
import type { Coverage } from '../coverage.ts';
import { batchesOn } from '../cluster/on-disk.ts';
import { endIn, notEven, notSettled, within } from '../cluster/convergence.ts';
import { expectFaults, heal, strikeAll } from '../cluster/faults.ts';
import { createTopics, runClient } from '../cluster/preparation.ts';
import { Stage } from '../cluster/stage.ts';
import { type RunResult, runIn } from '../run-result.ts';
import { World, type WorldOptions } from '../world.ts';
import { fleetingProgram } from './fleeting.ts';
import { expectGroupFaults, groupFaults } from './faults.ts';
import { FreshnessRule } from './freshness-rule.ts';
import { GroupJudge } from './group-judge.ts';
import { judgeJournal } from './journal-judge.ts';
import { type GroupPlan, groupPlans, topics } from './plan.ts';
import { Seat } from './seat.ts';

const BATCHES = 60;
const FLEETING_CHANCE = 0.4;

/** @throws RunFailure. */
export function groupsStory(seed: number, options: WorldOptions = {}): Promise<RunResult> {
  const world = new World(seed, options);
  expectEverything(world.coverage);
  const stage = new Stage(world, { coordinators: world.random.stream('coordinators').pick([2, 2, 3]), topics });
  return runIn(world, () => tell(stage), stage);
}

/** What a run of many seeds must have met. */
export function expectEverything(coverage: Coverage): void {
  expectFaults(coverage);
  expectGroupFaults(coverage);
  coverage.expect(
    'library: record acknowledged',
    'group: partition assigned',
    'group: partition revoked',
    'group: partition lost',
    'group: records handed out',
    'group: commit acknowledged',
    'group: two at work on one partition',
    'group: late copy of a commit',
    'group: member killed',
    'group: member closed',
    'group: member paused',
    'group: commit for a topic that was created again',
    'group: journal shown in part',
    'group: journal read for long',
    'group: assigned by a member, well',
    'group: assigned by a member, twice',
    'group: assigned by a member, throws',
    'checked: journal of a partition',
    'checked: end of a member that the owner has not heard',
    'checked: sign of life answered on a renewed fence',
  );
}

async function tell(stage: Stage): Promise<void> {
  const { world } = stage;
  stage.start();
  await runClient(stage, 'admin', (ports, stop) => createTopics(stage, ports, stop));
  const producing = startProducers(stage);
  const passing = startFleeting(stage);
  const plans = groupPlans(stage.random.stream('groups'));
  new FreshnessRule(stage, plans).begin();
  const groups = plans.map((plan) => startGroup(stage, plan));
  await strikeAll(stage, groupFaults);
  heal(stage);
  world.trace.add('world', 'calm');
  stage.isCalm = true;
  await within(stage, 'the producers are done', () =>
    producing.size === 0 ? undefined : `${[...producing].join(', ')} still wait\n${notSettled(stage) ?? ''}`,
  );
  await within(stage, 'whoever passes by is done', () => (passing.done ? undefined : 'it still waits'));
  await within(stage, 'every partition is led and all its replicas are in sync', () => notSettled(stage));
  await within(stage, 'all replicas end at the same offset', () => notEven(stage));
  for (const { judge, seats } of groups) {
    await within(stage, `each partition of ${judge.promise.groupId} has one owner`, () =>
      notOwned(stage, judge, seats),
    );
    await within(stage, `${judge.promise.groupId} has read everything`, () => notRead(stage, judge));
  }
  for (const { judge, seats } of groups) {
    judge.end();
    for (const seat of seats) seat.finish();
  }
  judgeJournals(stage);
  world.trace.add('world', 'converged');
}

/** In some runs. */
function startFleeting(stage: Stage): { readonly done: boolean } {
  const passing = { done: false };
  const random = stage.random.stream('fleeting');
  if (!random.chance(FLEETING_CHANCE)) return { done: true };
  runClient(stage, 'passer-by', fleetingProgram(stage, random)).then(
    () => {
      passing.done = true;
    },
    (thrown: unknown) => stage.world.scheduler.fail(thrown),
  );
  return passing;
}

/** @returns those that are not done. */
function startProducers(stage: Stage): ReadonlySet<string> {
  const left = new Set<string>();
  for (const { name: topic, partitions } of stage.topics) {
    const name = `writer of ${topic}`;
    const own = stage.random.stream(`producer ${name}`);
    const rest = { acks: 'all', idempotent: true, batches: BATCHES, keys: undefined } as const;
    const plan = { name, topic, partitions, bootstrap: stage.bootstrap, pauseMsMax: own.pick([200, 500]), ...rest };
    left.add(name);
    runClient(stage, name, (ports, stop) =>
      new LibraryProducer(plan, ports, own, stage.observers()).run(stop, () => stage.isCalm),
    ).then(
      () => left.delete(name),
      (thrown: unknown) => stage.world.scheduler.fail(thrown),
    );
  }
  return left;
}

interface RunningGroup {
  readonly judge: GroupJudge;
  readonly seats: readonly Seat[];
}

function startGroup(stage: Stage, plan: GroupPlan): RunningGroup {
  const { broken, count } = stage.observers();
  const judge = new GroupJudge(plan, broken, count);
  const seats = plan.seats.map((seat) => new Seat(stage, plan, seat, judge));
  for (const seat of seats) seat.keepRunning();
  return { judge, seats };
}

function notOwned(stage: Stage, judge: GroupJudge, seats: readonly Seat[]): string | undefined {
  for (const seat of seats) if (!seat.runs) return `${seat.name} does not run`;
  for (const { topic, partition } of stage.partitions) {
    const owners = judge.owners(keyOf(topic, partition));
    if (owners.length !== 1) return `${keyOf(topic, partition)} is owned by ${owners.join(', ') || 'nobody'}`;
  }
  return undefined;
}

function notRead(stage: Stage, judge: GroupJudge): string | undefined {
  for (const known of stage.partitions) {
    const key = keyOf(known.topic, known.partition);
    const end = endIn(stage, known);
    if (judge.readUpTo(key) < end) return `${key} ends at ${end}; all was handed out up to ${judge.readUpTo(key)}`;
  }
  return undefined;
}

/** What coordinators wrote, on the disk of each partition's leader. */
function judgeJournals(stage: Stage): void {
  const { truth, world } = stage;
  const journal = truth.image.topicNamed('__consumer_offsets');
  if (journal === undefined) {
    world.broken('G1', 'there are groups, and no topic of committed offsets');
    return;
  }
  for (const partition of truth.image.partitionsOf(journal.topicId)) {
    if (partition === undefined) continue;
    const leader = stage.broker(partition.leader ?? -1);
    if (leader === undefined) continue;
    const folder = `${journal.topicId}-${partition.partition}`;
    const batches = batchesOn(leader.machine.disk, folder, 'cache');
    judgeJournal(`__consumer_offsets-${partition.partition}`, batches, (rule, what) => world.broken(rule, what));
    world.coverage.count('checked: journal of a partition');
  }
}
