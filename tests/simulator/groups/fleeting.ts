/**
 * Somebody who commits from outside, for a group without members, while the topic is deleted and created again under its name: what names the older
 * one is refused by whoever has heard of the newer one, and the newer one begins without a commit (G6).
 */
import { TributaryError } from '@tributary/model';
import type { Peer } from '@tributary/ports';
import { methods, type RequestContext } from '@tributary/wire';
import { Peers } from '../clients/peers.ts';
import { contextOf, untilDone } from '../clients/routes.ts';
import type { Stage } from '../cluster/stage.ts';
import type { ProcessMain } from '../process.ts';
import type { SeededRandom } from '../seeded-random.ts';

const name = 'fleeting';
const groupId = 'passers-by';
const deadline = { deadlineMs: 5_000 };

const since = (minRevision: bigint): RequestContext => ({ ...contextOf(groupId), minRevision });

/** As often as it comes to it, until all is calm. */
export function fleetingProgram(stage: Stage, random: SeededRandom): ProcessMain {
  return async (ports, stop) => {
    await using peers = new Peers(ports.transport);
    const broken = (what: string): void => stage.world.broken('G6', what);
    const again = <T>(ask: (peer: Peer) => Promise<T>): Promise<T> =>
      untilDone(ports, stop, () => ask(peers.to(random.pick(stage.bootstrap))));
    let older: string | undefined;
    while (!stage.isCalm) {
      const { topicId, revision } = await again(create);
      if (older !== undefined) {
        const refused = await again((peer) => commit(peer, older ?? '', revision));
        if (refused !== 'UNKNOWN_TOPIC_ID') broken(`a commit for topic ${older}, which is now ${topicId}: ${refused}`);
        const found = await again((peer) => committed(peer, topicId, revision));
        if (found >= 0n) broken(`${topicId} has just been created, and its commit is ${found}`);
        stage.world.coverage.count('group: commit for a topic that was created again');
      }
      const done = await again((peer) => commit(peer, topicId, revision));
      if (done !== 'accepted') broken(`a commit for topic ${topicId} is refused: ${done}`);
      await ports.clock.sleep(random.between(50, 3_000), stop);
      await again(remove);
      older = topicId;
    }
  };
}

async function create(peer: Peer): Promise<{ readonly topicId: string; readonly revision: bigint }> {
  const request = { context: contextOf(groupId), name, partitions: 1, replicationFactor: 3, configs: {} };
  try {
    return await peer.unary(methods.createTopic, { ...request, validateOnly: false }, deadline);
  } catch (thrown) {
    const { error, message } = TributaryError.from(thrown);
    // It was done, and the answer was lost: it is deleted, and made once more, so that its revision is known.
    if (error === 'TOPIC_ALREADY_EXISTS') await remove(peer);
    if (error === 'TOPIC_ALREADY_EXISTS' || error === 'INVALID_REPLICATION_FACTOR')
      throw new TributaryError('BROKER_NOT_AVAILABLE', message);
    throw thrown;
  }
}

async function remove(peer: Peer): Promise<void> {
  try {
    await peer.unary(methods.deleteTopic, { context: contextOf(groupId), name }, deadline);
  } catch (thrown) {
    if (TributaryError.from(thrown).error !== 'UNKNOWN_TOPIC_OR_PARTITION') throw thrown;
  }
}

/** @returns the error; 'accepted' without one. */
async function commit(peer: Peer, topicId: string, revision: bigint): Promise<string> {
  const offsets = [{ topicId, partition: 0, offset: 0n, leaderEpoch: -1, metadata: '' }];
  const request = { context: since(revision), groupId, memberId: '', memberEpoch: 0, offsets, sequence: 0n };
  const answer = await peer.unary(methods.commitOffsets, { ...request, validateOnly: false }, deadline);
  const [result] = answer.results;
  if (result === undefined || result.errorCode === 0) return 'accepted';
  const failed = TributaryError.fromAnswer(result.errorCode, result.errorMessage);
  // Whoever knows the topic by its id says so at once; others are asked again.
  if (failed.retriable && failed.error !== 'UNKNOWN_TOPIC_ID') throw failed;
  return failed.error;
}

async function committed(peer: Peer, topicId: string, revision: bigint): Promise<bigint> {
  const partitions = [{ topicId, partition: 0 }];
  const request = { context: since(revision), groupId, partitions, memberId: '', memberEpoch: 0 };
  const { offsets } = await peer.unary(methods.fetchOffsets, request, deadline);
  return offsets[0]?.offset ?? -1n;
}
