/** Facts that the shell reports as they happen; metrics.ts counts them. */
import type { TributaryError } from '@tributary/model';
import type { CleanerObserver } from './cleaner.ts';
import type { IsrObserver } from './replication/isr-keeper.ts';
import type { FetchObserver } from './rpc/fetch.ts';
import type { ProduceObserver } from './rpc/produce.ts';

export interface BrokerObserver {
  readonly produce: ProduceObserver;
  readonly fetch: FetchObserver;
  readonly cleaner: CleanerObserver;
  readonly isr: IsrObserver;
  /** A log file was flushed. */
  synced(ms: number): void;
}

const ignore = (): void => {};
const ignoreError = (_error: TributaryError): void => {};

/** Where nobody watches. */
export const silentObserver: BrokerObserver = {
  produce: { produced: ignore, refused: ignoreError, answered: ignore },
  fetch: { fetched: ignore, refused: ignoreError },
  cleaner: { compacted: ignore, stopped: ignore },
  isr: { isrChanged: ignore, isrRefused: ignore },
  synced: ignore,
};
