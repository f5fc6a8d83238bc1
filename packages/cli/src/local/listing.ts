/** The parts as `local ps` shows them. */
import type { ClusterFolder } from './cluster-folder.ts';
import { isAlive, type LocalCluster, type Part, stateOf } from './parts.ts';

export function listed(cluster: LocalCluster, folder: ClusterFolder) {
  return cluster.parts.map((part) => listedPart(part, folder));
}

function listedPart(part: Part, folder: ClusterFolder) {
  const { name, role, id, ports } = part;
  return {
    name,
    role,
    id,
    pid: isAlive(part) ? (part.process?.pid ?? null) : null,
    ports,
    dataDir: folder.dataOf(part),
    state: stateOf(part),
    log: folder.logOf(part),
  };
}
