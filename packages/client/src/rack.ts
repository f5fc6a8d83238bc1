/** Which broker a partition is read from: its leader, or a follower that is nearer. */
import type { PartitionView } from './cluster-view.ts';
import type { Route, Routing } from './routing.ts';

export interface Source extends Route {
  readonly fromFollower: boolean;
}

/**
 * A follower in sync that is in the rack, unless the leader is too; else the leader. undefined while there is no leader: nobody vouches for a follower then.
 * @param rack '': the leader.
 */
export function sourceOf(
  routing: Routing,
  topicId: string,
  partition: PartitionView,
  rack: string,
): Source | undefined {
  const route = routing.route(topicId, partition);
  if (route === undefined) return undefined;
  const { view } = routing;
  const leader = partition.leaderId === undefined ? undefined : view.broker(partition.leaderId);
  if (rack === '' || leader?.rack === rack) return { ...route, fromFollower: false };
  const near = partition.isr.map((id) => view.broker(id)).filter((broker) => broker?.rack === rack);
  // Spread over those there are: partitions have them in different orders.
  const follower = near[partition.partition % Math.max(near.length, 1)];
  if (follower === undefined) return { ...route, fromFollower: false };
  return { ...route, address: routing.connections.wayTo(follower.address), fromFollower: true };
}
