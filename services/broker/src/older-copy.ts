/** A data directory may be put back from a backup: it then lacks what it has acknowledged since, which only metadata can tell (M6, R6). */
import { type NodeId, TributaryError } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';
import type { Logger, Random } from '@tributary/ports';
import { wentBack } from './log/identity.ts';
import type { DataDirectory } from './log/data-directory.ts';
import { incarnationsIn } from './registration.ts';
import type { Replicas } from './replicas.ts';

/**
 * An older copy counts as a new directory: what it holds is put aside, as of replicas that it does not have, and comes back from the others.
 * @throws TributaryError DUPLICATE_BROKER_REGISTRATION while the broker that has gone on from there may be running.
 */
export async function settleOlderCopy(
  image: ClusterImage,
  me: NodeId,
  directory: Pick<DataDirectory, 'root' | 'identity'>,
  { random, logger }: { readonly random: Random; readonly logger: Logger },
): Promise<void> {
  const { identity } = directory;
  const { directoryId, incarnations } = identity;
  const unknown = incarnationsIn(image, me, directoryId).find((each) => !incarnations.includes(each));
  if (unknown === undefined) return;
  const running = image.broker(me)?.registration;
  if (running?.incarnationId === unknown) {
    throw new TributaryError(
      'DUPLICATE_BROKER_REGISTRATION',
      `Data directory ${directory.root} is an older copy of the one of the running broker ${me} at ${running.address}: stop that broker first, ` +
        `or give this one another node id and an empty directory.`,
    );
  }
  await identity.becomeAnother(random);
  logger.warn('older-copy-put-aside', {
    path: directory.root,
    directoryId,
    newDirectoryId: identity.directoryId,
    why:
      `The cluster knows data directory ${directoryId} from a later start than this copy of it: what was acknowledged since is not here. ` +
      'It counts as a new, empty one; what it holds is put aside in quarantine/, and is copied from the other replicas.',
  });
}

/** @throws TributaryError KAFKA_STORAGE_ERROR where a log has records of a leader that metadata has not elected yet (M6). */
export function refuseOlderEpochs(image: ClusterImage, replicas: Pick<Replicas, 'open'>): void {
  for (const { name, partition } of replicas.open()) {
    const { latestEpoch } = partition.log;
    const info = image.partition(name.topicId, name.partition);
    if (info === undefined || latestEpoch === undefined || latestEpoch <= info.leaderEpoch) continue;
    throw wentBack(
      `Partition ${partition.state.name} has records of leader epoch ${latestEpoch}, and metadata is at epoch ${info.leaderEpoch}`,
    );
  }
}
