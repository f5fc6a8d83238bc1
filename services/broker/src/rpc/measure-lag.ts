/**
 * LogService.MeasureLag (G7): how far readers at given offsets are behind, from each partition's leader, one hop away at most (F1). It changes nothing, and
 * reads little: see lag-meter. An offset below the log start counts from there; one at or beyond the high watermark is not behind.
 *
 * Errors travel per partition: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, BROKER_NOT_AVAILABLE, OFFSET_NOT_AVAILABLE (R8: try
 * again), CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR. The whole call fails with INVALID_REQUEST above limits.lagOffsets, or INCONSISTENT_CLUSTER_ID.
 */
import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import type { CallContext, Clock } from '@tributary/ports';
import {
  type LagQuestion,
  type MeasureLagRequest,
  type MeasureLagResponse,
  methods,
  type PartitionLag,
} from '@tributary/wire';
import type { LagBudget, ReaderLag } from '../log/lag-meter.ts';
import type { Replicas } from '../replicas.ts';
import { eachByLeader } from './by-leader.ts';
import { checkCluster } from './context.ts';
import { currentEpoch } from './named-topic.ts';
import { isForwarded, type Neighbours } from './neighbours.ts';
import { failure } from './partition-errors.ts';

export function measureLagHandler(replicas: Replicas, neighbours: Neighbours, clock: Clock) {
  return async (request: MeasureLagRequest, call: CallContext): Promise<MeasureLagResponse> => {
    checkCluster(request.context, replicas.clusterId);
    checkCount(request.partitions);
    const here = async (some: readonly LagQuestion[]): Promise<PartitionLag[]> => {
      const budget = new Budget(clock, call.signal);
      const answers: PartitionLag[] = [];
      // Reads of several files at once are faster; all at once would take every thread.
      for (let from = 0; from < some.length; from += limits.partitionsOpenedAtOnce) {
        const next = some.slice(from, from + limits.partitionsOpenedAtOnce);
        answers.push(...(await Promise.all(next.map((question) => answer(replicas, question, clock, budget)))));
      }
      return answers;
    };
    if (isForwarded(request.context)) return { throttleMs: 0, partitions: await here(request.partitions) };
    const partitions = await eachByLeader(neighbours, request.partitions, {
      here,
      there: async (to, some) =>
        (await neighbours.forward(to, methods.measureLag, { ...request, partitions: [...some] }, call)).partitions,
      failed: unmeasured,
    });
    return { throttleMs: 0, partitions };
  };
}

function checkCount(questions: readonly LagQuestion[]): void {
  const count = questions.reduce((sum, { offsets }) => sum + offsets.length + 1, 0);
  if (count <= limits.lagOffsets) return;
  throw new TributaryError(
    'INVALID_REQUEST',
    `A question about the lag at ${count} offsets and partitions is too much at once: ask about ${limits.lagOffsets} at most.`,
  );
}

/** Of one request, over all its partitions. */
class Budget implements LagBudget {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #reads: number = limits.lagReads;
  #offsets = 0;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  mayRead(): boolean {
    return this.#reads-- > 0;
  }

  breathe(): Promise<void> | undefined {
    return ++this.#offsets % limits.lagOffsetsAtOnce === 0 ? this.#clock.sleep(0, this.#signal) : undefined;
  }
}

function unmeasured({ topicId, partition }: LagQuestion, thrown: unknown): PartitionLag {
  const unknown = { logStartOffset: -1n, highWatermark: -1n, nowMs: -1n, readers: [] };
  return { topicId, partition, ...failure(thrown), ...unknown };
}

async function answer(replicas: Replicas, question: LagQuestion, clock: Clock, budget: Budget): Promise<PartitionLag> {
  const { topicId, partition: index, offsets } = question;
  try {
    const partition = replicas.find(topicId, index);
    const notLeader = partition.state.checkLeader(currentEpoch(partition));
    if (notLeader !== undefined) throw notLeader;
    const upTo = partition.latest();
    const logStartOffset = partition.startOffset;
    const nowMs = clock.wallMs();
    const readers = await partition.log.lag.measure({ offsets: offsets.map(asked), upTo, nowMs }, budget);
    return {
      topicId,
      partition: index,
      errorCode: 0,
      errorMessage: '',
      logStartOffset,
      highWatermark: upTo,
      nowMs: BigInt(nowMs),
      readers: readers.map(told),
    };
  } catch (thrown) {
    return unmeasured(question, thrown);
  }
}

/** A negative one lies below every log start. */
const asked = (given: bigint): Offset => offset(given < 0n ? 0n : given);

const told = ({ bytes, timestampMs, isEstimated, lostAtMs }: ReaderLag) => ({
  bytes: BigInt(bytes),
  timestampMs: BigInt(timestampMs),
  estimated: isEstimated,
  lostAtMs: BigInt(Math.round(lostAtMs ?? -1)),
});
