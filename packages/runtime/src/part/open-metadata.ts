/** From the settings to the cluster's metadata in etcd. */
import { type ImageSource, type MetadataKeys, metadataKeys, openImageSource } from '@tributary/metadata';
import { limits } from '@tributary/model';
import { type Logger, type MetadataStore, MetadataStoreError } from '@tributary/ports';
import { EtcdMetadataStore } from '../etcd/etcd-store.ts';
import { nodeClock } from '../node-clock.ts';
import { etcdOptions, type PartSettings } from './part-settings.ts';

export interface Metadata {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly images: ImageSource;
}

/**
 * Waits for an etcd that does not answer, and says so: parts and etcd may be started in any order.
 * @throws MetadataStoreError `refused` for one that cannot be used however long one waits; the signal's reason.
 */
export async function openMetadata(
  settings: PartSettings,
  logger: Logger,
  stop: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<Metadata> {
  const store = stack.use(new EtcdMetadataStore(etcdOptions(settings)));
  await untilItAnswers(store, logger, stop);
  const keys = metadataKeys(settings.cluster);
  const images = stack.use(await openImageSource(store, keys, nodeClock, stop));
  const { writable } = await store.status().catch(() => ({ writable: true }));
  if (!writable)
    logger.warn('metadata-store-is-read-only', { why: 'etcd has raised an alarm: see etcdctl alarm list' });
  return { store, keys, images };
}

async function untilItAnswers(store: EtcdMetadataStore, logger: Logger, stop: AbortSignal): Promise<void> {
  let saidMs = Number.NEGATIVE_INFINITY;
  let retryMs: number = limits.storeRetryMsMin;
  for (;;) {
    stop.throwIfAborted();
    try {
      await store.check();
      return;
    } catch (thrown) {
      if (!(thrown instanceof MetadataStoreError) || thrown.failure !== 'unreachable') throw thrown;
      const nowMs = nodeClock.monotonicMs();
      if (nowMs - saidMs >= limits.storeWaitSaidMs) {
        logger.warn('waiting-for-the-metadata-store', { why: thrown.message });
        saidMs = nowMs;
      }
    }
    await nodeClock.sleep(retryMs, stop);
    retryMs = Math.min(retryMs * 2, limits.storeRetryMsMax);
  }
}
