/**
 * AdminService: the cluster as a whole.
 * - DescribeCluster: brokers, coordinators, the active controller, and what is wrong with which partitions.
 * - ElectLeaders: each partition's failure travels in its own result: ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE (the first replica is not
 *   in sync, or not there), ELIGIBLE_LEADERS_NOT_AVAILABLE (unclean: no replica is there), UNKNOWN_TOPIC_OR_PARTITION. INVALID_REQUEST for no kind, or an
 *   unclean election of all.
 */
import type { ClusterImage, PartitionName } from '@tributary/metadata';
import { type ErrorName, TributaryError, errorTable, limits, partitionIndex } from '@tributary/model';
import type { CallContext } from '@tributary/ports';
import {
  type DescribeClusterRequest,
  type DescribeClusterResponse,
  type ElectLeadersRequest,
  type ElectLeadersResponse,
  type ElectionResult,
  type ErrorCode,
  ElectionType,
} from '@tributary/wire';
import { type Losses, candidatesIn, livePartitions } from './brokers.ts';
import { describeCluster } from './cluster-description.ts';
import { electionOf } from './elections.ts';
import { leaderlessReason } from './leaderless.ts';
import type { Office } from './office.ts';
import type { Reception } from './reception.ts';
import type { TopicDefaults } from './topic-defaults.ts';

interface Parts {
  readonly office: Office;
  readonly defaults: TopicDefaults;
}

/** A partition that was asked for, or why there is none. */
interface Asked {
  readonly topic: string;
  readonly partition: number;
  readonly name: PartitionName | undefined;
}

export class ClusterDesk {
  readonly #parts: Parts;
  readonly #reception: Reception;

  constructor(parts: Parts, reception: Reception) {
    this.#parts = parts;
    this.#reception = reception;
  }

  async describe(request: DescribeClusterRequest, { signal }: CallContext): Promise<DescribeClusterResponse> {
    const image = await this.#reception.imageFor(request.context, signal);
    const { silentCoordinators: silent, coordinatorLosses } = this.#parts.office;
    return describeCluster(image, { silent, leaving: coordinatorLosses.leaving });
  }

  async electLeaders(request: ElectLeadersRequest, { signal }: CallContext): Promise<ElectLeadersResponse> {
    const { office, defaults } = this.#parts;
    const image = await this.#reception.imageFor(request.context, signal);
    const election = electionNamed(request);
    const asked = askedFor(image, request);
    if (request.validateOnly) {
      const results = resultsOf(image, election, asked, office.losses, defaults);
      return { throttleMs: 0, revision: image.revision, results: worthSaying(request, results) };
    }
    return this.#reception.inTime('electing leaders', signal, async (limited) => {
      // As of the decision that counted.
      let results: ElectionResult[] = [];
      const names = asked.flatMap(({ name }) => (name === undefined ? [] : [name]));
      const { revision } = await this.#reception.order({
        event: (now, losses) => {
          const before = new Map(results.map((each) => [`${each.topic}/${each.partition}`, each]));
          // What an earlier attempt has done stays said.
          results = resultsOf(now, election, asked, losses, defaults).map((each) => {
            const earlier = before.get(`${each.topic}/${each.partition}`);
            return earlier?.errorCode === 0 && earlier.leader === each.leader ? earlier : each;
          });
          return { kind: 'elect-leaders', election, names, losses, defaults };
        },
        signal: limited,
      });
      return { throttleMs: 0, revision, results: worthSaying(request, results) };
    });
  }
}

function electionNamed({ electionType, topics }: ElectLeadersRequest): 'preferred' | 'unclean' {
  if (electionType === ElectionType.PREFERRED) return 'preferred';
  if (electionType !== ElectionType.UNCLEAN)
    throw new TributaryError('INVALID_REQUEST', `Election type ${Number(electionType)} is none of preferred, unclean.`);
  if (topics.length > 0) return 'unclean';
  throw new TributaryError(
    'INVALID_REQUEST',
    'An unclean election may lose records: name the partitions for which it is to be held.',
  );
}

function askedFor(image: ClusterImage, { topics }: ElectLeadersRequest): Asked[] {
  const asked: Asked[] = [];
  if (topics.length === 0) {
    for (const name of livePartitions(image))
      asked.push({ topic: image.topic(name.topicId)?.name ?? '', partition: name.partition, name });
    return asked;
  }
  for (const { topic, partitions } of topics) {
    const found = image.topicNamed(topic);
    const all = found === undefined ? [-1] : Array.from({ length: found.partitions }, (_, i) => i);
    for (const partition of new Set(partitions.length === 0 ? all : partitions)) {
      const known = found === undefined ? undefined : image.partition(found.topicId, partitionIndex(partition));
      asked.push({ topic, partition, name: known });
    }
  }
  if (asked.length > limits.electionsPerRequest)
    throw new TributaryError(
      'INVALID_REQUEST',
      `The request names ${asked.length} partitions; at most ${limits.electionsPerRequest} are allowed.`,
    );
  return asked;
}

function resultsOf(
  image: ClusterImage,
  election: 'preferred' | 'unclean',
  asked: readonly Asked[],
  losses: Losses,
  defaults: TopicDefaults,
): ElectionResult[] {
  const candidates = candidatesIn(image, losses, defaults);
  return asked.map(({ topic, partition, name }): ElectionResult => {
    const now = name === undefined ? undefined : image.partition(name.topicId, name.partition);
    const leaderBefore = now?.leader ?? -1;
    const failed = (error: ErrorName, errorMessage: string): ElectionResult => {
      const errorCode = errorTable[error].code as ErrorCode;
      return { topic, partition, errorCode, errorMessage, leaderBefore, leader: leaderBefore };
    };
    if (now === undefined)
      return failed('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${partition} of a topic "${topic}".`);
    const outcome = electionOf(election, now, candidates);
    const preferred = now.replicas[0]?.nodeId;
    if (outcome === 'not-needed') return failed('ELECTION_NOT_NEEDED', `Broker ${leaderBefore} leads already.`);
    if (outcome !== 'nobody-eligible') {
      const { leader = -1 } = outcome.after;
      return { topic, partition, errorCode: 0, errorMessage: '', leaderBefore, leader };
    }
    if (election === 'unclean')
      return failed('ELIGIBLE_LEADERS_NOT_AVAILABLE', `None of its replicas is there. ${leaderlessReason(image, now)}`);
    const why = preferred !== undefined && now.isr.includes(preferred) ? 'is not available' : 'is not in sync';
    return failed('PREFERRED_LEADER_NOT_AVAILABLE', `Broker ${preferred}, its first replica, ${why}.`);
  });
}

/** Where nothing was named, only what was done or could not be is of interest. */
function worthSaying({ topics }: ElectLeadersRequest, results: ElectionResult[]): ElectionResult[] {
  const notNeeded = errorTable.ELECTION_NOT_NEEDED.code;
  return topics.length > 0 ? results : results.filter((each) => Number(each.errorCode) !== notNeeded);
}
