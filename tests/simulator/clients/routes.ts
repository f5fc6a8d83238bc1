import { TributaryError } from '@tributary/model';
import type { Clock, Peer, Random } from '@tributary/ports';
import { methods, type RequestContext } from '@tributary/wire';

/** Where a partition is led, as a client's metadata has it. */
export interface Route {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly address: string;
}

/** `topic-partition` */
export type PartitionKey = string;

export const keyOf = (topic: string, partition: number): PartitionKey => `${topic}-${partition}`;

export function contextOf(clientId: string): RequestContext {
  return { clusterId: '', clientId, principal: '', originalPrincipal: '', host: '', hops: 0, minRevision: 0n };
}

const METADATA_DEADLINE_MS = 5_000;

/** Asks one broker who leads what. @param isWanted the others may be without a leader. @throws TributaryError also when one of the topics has no leader yet. */
export async function findRoutes(
  bootstrap: Peer,
  clientId: string,
  topics: readonly string[],
  isWanted: (topic: string, partition: number) => boolean = () => true,
): Promise<Map<PartitionKey, Route>> {
  const request = { context: contextOf(clientId), topics: [...topics], allTopics: false, topicIds: [] };
  const answer = await bootstrap.unary(methods.getMetadata, request, { deadlineMs: METADATA_DEADLINE_MS });
  const addresses = new Map(answer.brokers.map(({ nodeId, address }) => [nodeId, address]));
  const routes = new Map<PartitionKey, Route>();
  for (const topic of answer.topics) {
    if (topic.errorCode !== 0) throw TributaryError.fromAnswer(topic.errorCode, topic.errorMessage);
    for (const { partition, leaderId, leaderEpoch, errorCode, errorMessage } of topic.partitions) {
      if (!isWanted(topic.name, partition)) continue;
      if (errorCode !== 0) throw TributaryError.fromAnswer(errorCode, errorMessage);
      const address = addresses.get(leaderId);
      if (address === undefined)
        throw new TributaryError('LEADER_NOT_AVAILABLE', `${topic.name}-${partition}: broker ${leaderId} is not up`);
      routes.set(keyOf(topic.name, partition), {
        topic: topic.name,
        topicId: topic.topicId,
        partition,
        leaderEpoch,
        address,
      });
    }
  }
  return routes;
}

/** Repeats `attempt` until it succeeds; only errors that a caller can mend by waiting are waited for. */
export async function untilDone<T>(
  ports: { clock: Clock; random: Random },
  stop: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  for (;;) {
    stop.throwIfAborted();
    try {
      return await attempt();
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      if (!error.retriable) throw error;
    }
    await ports.clock.sleep(10 + (ports.random.nextU32() % 200), stop);
  }
}
