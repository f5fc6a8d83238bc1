// pure
import { TributaryError } from '@tributary/model';

/** Brokers keep no followers yet: a second replica would be placed, never filled, and hold up acks=all. Goes, with this file, when they do. */
export const replicationFactorServed = 1;

/** @throws TributaryError INVALID_REPLICATION_FACTOR. */
export function checkReplicationServed(name: string, replicationFactor: number, most: number): void {
  if (replicationFactor <= most) return;
  throw new TributaryError(
    'INVALID_REPLICATION_FACTOR',
    `Topic "${name}" cannot have replication factor ${replicationFactor}: brokers do not replicate yet, ${most} is all that is served. Ask for ${most} (default.replication.factor holds where none is named).`,
  );
}
