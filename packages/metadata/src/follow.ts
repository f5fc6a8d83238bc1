import { TributaryError, limits } from '@tributary/model';
import { type Clock, type MetadataStore, type WatchRevision, CompactedError } from '@tributary/ports';
import { type ImageChange, ClusterImage } from './image.ts';
import type { MetadataKeys } from './keys.ts';
import { changesSince } from './listing.ts';
import { decodeEntry, decodeRevision } from './values.ts';
import { LinkedAbort } from './waiting.ts';

/** The store shows an older state than it has shown before: it was restored from a backup (M6). Whoever sees it stops. */
export class StoreWentBackError extends Error {
  override readonly name = 'StoreWentBackError';
}

/**
 * Snapshot, then watch (M2): the first image once the store answers, then one per revision, whole revisions only. It resumes at the next
 * revision after a break, lists again when that is compacted, and takes a silent watch for dead. Ends only by throwing: the signal's reason,
 * {@link StoreWentBackError}, or a TributaryError that names a key it cannot read.
 */
export async function* follow(
  store: MetadataStore,
  keys: MetadataKeys,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<ImageChange, never> {
  let image = ClusterImage.empty;
  let listed = false;
  let retryMs: number = limits.storeRetryMsMin;
  for (;;) {
    signal.throwIfAborted();
    try {
      if (!listed) {
        const step = await list(store, keys, image);
        listed = true;
        image = step.image;
        yield step;
      }
      for await (const revision of watchUntilSilent(store, keys.prefix, image.revision + 1n, clock, signal)) {
        retryMs = limits.storeRetryMsMin;
        const step = next(image, keys, revision);
        if (step === undefined) continue;
        image = step.image;
        yield step;
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof StoreWentBackError || thrown instanceof TributaryError) throw thrown;
      if (thrown instanceof CompactedError) {
        listed = false;
        continue;
      }
    }
    // The watch broke, fell silent or could not begin: the store may be away.
    await clock.sleep(retryMs, signal);
    retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
  }
}

async function list(store: MetadataStore, keys: MetadataKeys, image: ClusterImage): Promise<ImageChange> {
  const { revision, entries } = await store.read(keys.prefix);
  refuseOlder(image, revision);
  const listing = entries.map((entry) => decodeEntry(keys, entry)).filter((put) => put !== undefined);
  return notOlder(image.apply(revision, changesSince(image, listing)));
}

/** undefined: nothing new. */
function next(image: ClusterImage, keys: MetadataKeys, revision: WatchRevision): ImageChange | undefined {
  refuseOlder(image, revision.revision);
  if (revision.revision === image.revision) return undefined;
  return notOlder(image.apply(revision.revision, decodeRevision(keys, revision)));
}

function refuseOlder(image: ClusterImage, revision: bigint): void {
  if (revision >= image.revision) return;
  throw new StoreWentBackError(
    `The metadata store is at revision ${revision}, but had shown ${image.revision}: it was restored from an older state. ` +
      'Restart the parts of this cluster after checking the restore.',
  );
}

/** A restored store that was written to since may be past every revision that we know; that a leader was elected it cannot know. */
function notOlder(step: ImageChange): ImageChange {
  for (const { topicId, partition, before, after } of step.delta.partitions.values()) {
    if (before === undefined || after === undefined || after.leaderEpoch >= before.leaderEpoch) continue;
    throw new StoreWentBackError(
      `The metadata store has partition ${partition} of topic ${topicId} at leader epoch ${after.leaderEpoch}, but had shown ${before.leaderEpoch}: ` +
        'it was restored from an older state. Restart the parts of this cluster after checking the restore.',
    );
  }
  return step;
}

/** Ends when nothing, not even progress, came for `limits.watchSilenceMs`. */
async function* watchUntilSilent(
  store: MetadataStore,
  prefix: string,
  from: bigint,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<WatchRevision> {
  using watching = new LinkedAbort(signal);
  let heardMs = clock.monotonicMs();
  const watchdog = async (): Promise<void> => {
    for (;;) {
      const silentMs = clock.monotonicMs() - heardMs;
      if (silentMs >= limits.watchSilenceMs) break;
      await clock.sleep(limits.watchSilenceMs - silentMs, watching.signal);
    }
    watching.abort(new Error('The watch fell silent.'));
  };
  const watched = watchdog().catch(() => undefined);
  try {
    for await (const revision of store.watch(prefix, from, watching.signal)) {
      heardMs = clock.monotonicMs();
      yield revision;
      // The time that the reader took is not the watch's silence.
      heardMs = clock.monotonicMs();
    }
  } finally {
    watching.abort(new Error('The watch ended.'));
    await watched;
  }
}
