// pure
import { type NodeId, assert } from '@tributary/model';

/** A broker that may get replicas. */
export interface Site {
  readonly nodeId: NodeId;
  readonly host: string;
  /** '': not configured; such brokers count as one rack. */
  readonly rack: string;
}

/** What a broker has already. */
export interface Load {
  readonly replicas: number;
  /** Partitions of which it is the first replica, whoever leads now. */
  readonly preferred: number;
}

interface Tally {
  readonly site: Site;
  replicas: number;
  preferred: number;
}

/**
 * Replicas of new partitions, the preferred leader first. Spreads over hosts first, then over racks; then whoever has least, so that
 * leaders and replicas stay balanced. Deterministic.
 * @param sites at least `replicationFactor` of them.
 */
export function place(
  sites: readonly Site[],
  load: ReadonlyMap<NodeId, Load>,
  partitions: number,
  replicationFactor: number,
): (readonly NodeId[])[] {
  assert(
    replicationFactor >= 1 && sites.length >= replicationFactor,
    `${replicationFactor} replicas have a broker each`,
  );
  const tallies = sites
    .map(
      (site): Tally => ({
        site,
        replicas: load.get(site.nodeId)?.replicas ?? 0,
        preferred: load.get(site.nodeId)?.preferred ?? 0,
      }),
    )
    .sort((a, b) => a.site.nodeId - b.site.nodeId);
  return Array.from({ length: partitions }, () => placeOne(tallies, replicationFactor));
}

function placeOne(tallies: readonly Tally[], replicationFactor: number): NodeId[] {
  const chosen: Tally[] = [];
  while (chosen.length < replicationFactor) {
    const free = tallies.filter((tally) => !chosen.includes(tally));
    const next = free.reduce((best, each) => (precedes(each, best, chosen) ? each : best));
    next.replicas++;
    if (chosen.length === 0) next.preferred++;
    chosen.push(next);
  }
  return chosen.map((tally) => tally.site.nodeId);
}

/** Strictly better; among equals the lower node id, which comes first, stays. */
function precedes(a: Tally, b: Tally, chosen: readonly Tally[]): boolean {
  const [keysOfA, keysOfB] = [rank(a, chosen), rank(b, chosen)];
  for (const [i, key] of keysOfA.entries()) {
    const other = keysOfB[i] ?? 0;
    if (key !== other) return key < other;
  }
  return false;
}

function rank(tally: Tally, chosen: readonly Tally[]): readonly number[] {
  if (chosen.length === 0) return [tally.preferred, tally.replicas];
  const sharing = (what: 'host' | 'rack'): number =>
    chosen.filter((each) => each.site[what] === tally.site[what]).length;
  return [sharing('host'), sharing('rack'), tally.replicas, tally.preferred];
}
