/** Where a group stands, as its coordinator says: asked for by the member that is to read on from there. */
import { limits, TributaryError } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import { type GroupPartition, methods } from '@tributary/wire';
import type { Coordinators } from './coordinators.ts';
import { keyOf } from './member-commits.ts';
import type { MemberSession } from './member-session.ts';

/**
 * Asks until it is answered: what cannot be asked now goes on being assigned.
 * @returns by `keyOf`; without those that have none. Rejects when aborted. @throws TributaryError what no further attempt would mend.
 */
export async function committedOffsets(
  coordinators: Coordinators,
  clock: Clock,
  session: MemberSession,
  places: readonly GroupPartition[],
  signal: AbortSignal,
): Promise<Map<string, bigint>> {
  const { groupId, memberId, context, host } = session.membership;
  const partitions = places.map(({ topicId, partition }) => ({ topicId, partition }));
  for (;;) {
    try {
      const request = { context, groupId, partitions, memberId, memberEpoch: session.epoch };
      const asking = { signal, peer: host };
      const { offsets } = await coordinators.call(groupId, methods.fetchOffsets, request, asking, () => 0);
      return new Map(offsets.filter(({ offset }) => offset >= 0n).map((each) => [keyOf(each), each.offset]));
    } catch (thrown) {
      signal.throwIfAborted();
      const error = TributaryError.from(thrown);
      // A newer epoch is on its way to this member.
      if (!error.retriable && error.error !== 'STALE_MEMBER_EPOCH') throw error;
      await clock.sleep(limits.retryBackoffMs, signal);
    }
  }
}
