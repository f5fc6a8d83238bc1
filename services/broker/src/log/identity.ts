/** meta.json as it is kept while the directory is open: whose directory this is, and what it has seen of the cluster (L1, M6, R6). */
import {
  type ClusterId,
  type DirectoryId,
  directoryId,
  type IncarnationId,
  type NodeId,
  randomId,
  TributaryError,
} from '@tributary/model';
import type { Random } from '@tributary/ports';
import type { Disk } from './disk.ts';
import { encodeMeta, type Meta } from './meta.ts';
import { Mutex } from './mutex.ts';

export const metaName = 'meta.json';

/** What to do about metadata that is older than what it describes. */
const afterRestore =
  'Nothing was changed here. Put back the newest metadata that there is, or see "Metadata restored from a backup" in docs/OPERATING.md.';

export class Identity {
  readonly #disk: Disk;
  readonly #writes = new Mutex();
  #meta: Meta;
  #writtenRevision: bigint;

  constructor(disk: Disk, meta: Meta) {
    this.#disk = disk;
    this.#meta = meta;
    this.#writtenRevision = meta.highestRevision;
  }

  get meta(): Meta {
    return this.#meta;
  }

  get directoryId(): DirectoryId {
    return this.#meta.directoryId;
  }

  /** Remembers whose directory it is. @throws TributaryError INCONSISTENT_CLUSTER_ID or INVALID_CONFIG when it is somebody else's. */
  async bind(clusterId: ClusterId, brokerId: NodeId): Promise<void> {
    const { clusterId: boundCluster, brokerId: boundBroker } = this.#meta;
    const { root } = this.#disk;
    if (boundCluster !== undefined && boundCluster !== clusterId) {
      throw new TributaryError(
        'INCONSISTENT_CLUSTER_ID',
        `Data directory ${root} belongs to cluster ${boundCluster}, this broker to cluster ${clusterId}: give it the right directory, or an empty one.`,
      );
    }
    if (boundBroker !== undefined && boundBroker !== brokerId) {
      throw new TributaryError(
        'INVALID_CONFIG',
        `Data directory ${root} belongs to broker ${boundBroker}, this is broker ${brokerId}: start it as broker ${boundBroker}, or give it an empty directory.`,
      );
    }
    if (boundCluster === undefined || boundBroker === undefined) await this.update({ clusterId, brokerId });
  }

  /** Those by which metadata may know this directory. Where it knows it by another one, this is an older copy (R6). */
  get incarnations(): readonly IncarnationId[] {
    const { lastRegisteredIncarnation: last, pendingIncarnation: pending, earlierIncarnations: earlier } = this.#meta;
    return [...earlier, ...(last === undefined ? [] : [last]), ...(pending === undefined ? [] : [pending])];
  }

  /**
   * On the disk before it resolves (R6).
   * @param inMetadata by which metadata knows this directory now; what it knows neither now nor will ever hear of is forgotten.
   */
  async recordPending(id: IncarnationId, inMetadata: readonly IncarnationId[]): Promise<void> {
    const { lastRegisteredIncarnation: last, pendingIncarnation: pending } = this.#meta;
    // One whose registration was never answered may have been written all the same.
    const earlier = new Set([...inMetadata, ...(pending === undefined ? [] : [pending])]);
    if (last !== undefined) earlier.delete(last);
    await this.update({ pendingIncarnation: id, earlierIncarnations: [...earlier] });
  }

  /** @param inMetadata as for {@link recordPending}: until the new one is admitted, the one before is what metadata has. */
  async recordRegistered(id: IncarnationId, inMetadata: readonly IncarnationId[]): Promise<void> {
    const { lastRegisteredIncarnation: last } = this.#meta;
    const earlier = new Set([...inMetadata, ...(last === undefined ? [] : [last])]);
    earlier.delete(id);
    await this.update({
      lastRegisteredIncarnation: id,
      pendingIncarnation: undefined,
      earlierIncarnations: [...earlier],
    });
  }

  /** The controller has admitted a registration that told of a lossy stop, and acted on it. */
  async recordHeard(): Promise<void> {
    if (this.#meta.lossy) await this.update({ lossy: false });
  }

  /** From now on this is another directory than the one that it is an older copy of, which the folders in it belong to (R6). */
  async becomeAnother(random: Random): Promise<void> {
    await this.update({
      directoryId: directoryId(randomId(() => random.nextU32())),
      lastRegisteredIncarnation: undefined,
      pendingIncarnation: undefined,
      earlierIncarnations: [],
    });
  }

  /**
   * In memory; written with the next checkpoint.
   * @param generation how often an operator has restored the metadata; a greater one than before excuses a smaller revision.
   * @throws TributaryError KAFKA_STORAGE_ERROR when either is below one seen before (M6).
   */
  noteRevision(revision: bigint, generation: number): void {
    const { highestRevision: seen, restoreGeneration: seenGeneration } = this.#meta;
    const { root } = this.#disk;
    if (generation < seenGeneration)
      throw wentBack(
        `The metadata is of restore generation ${generation}, data directory ${root} has seen ${seenGeneration}`,
      );
    if (generation === seenGeneration && revision < seen)
      throw wentBack(`The metadata is at revision ${revision}, data directory ${root} has seen ${seen}`);
    if (generation === seenGeneration && revision === seen) return;
    this.#meta = { ...this.#meta, highestRevision: revision, restoreGeneration: generation };
  }

  /** What was noted in memory. */
  async persist(): Promise<void> {
    if (this.#meta.highestRevision !== this.#writtenRevision) await this.update({});
  }

  /** On the disk before it resolves. */
  async update(changes: Partial<Meta>): Promise<void> {
    await this.#writes.run(async () => {
      const meta = { ...this.#meta, ...changes };
      this.#meta = meta;
      await this.#disk.replace(this.#disk.root, metaName, encodeMeta(meta));
      this.#writtenRevision = meta.highestRevision;
    });
  }
}

/** M6. @param what how one can tell. */
export function wentBack(what: string): TributaryError {
  return new TributaryError(
    'KAFKA_STORAGE_ERROR',
    `${what}: the metadata store was restored from a backup. ${afterRestore}`,
  );
}
