/** Preferred leaders lead again by themselves, in small steps: a broker that was away gets back its share of the work. */
import type { ImageSource } from '@tributary/metadata';
import { limits } from '@tributary/model';
import type { Clock, Logger } from '@tributary/ports';
import { imbalanced } from './elections.ts';
import type { Office } from './office.ts';
import type { TopicDefaults } from './topic-defaults.ts';

interface Ports {
  readonly images: Pick<ImageSource, 'current'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Looks every `everyMs` until the signal aborts; never rejects. */
export async function keepBalance(
  ports: Ports,
  office: Office,
  defaults: TopicDefaults,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { clock, images, logger } = ports;
  let pauseMs = everyMs;
  while (!signal.aborted) {
    try {
      await clock.sleep(pauseMs, signal);
      const names = imbalanced(images.current, office.losses, defaults, limits.preferredElections);
      pauseMs = names.length === 0 ? everyMs : Math.min(everyMs, limits.preferredElectionsMs);
      if (names.length === 0) continue;
      await office.place({
        event: (_, losses) => ({ kind: 'elect-leaders', election: 'preferred', names, losses, defaults }),
        signal,
      });
    } catch (thrown) {
      pauseMs = everyMs;
      if (!signal.aborted)
        logger.warn('leaders-not-balanced', { why: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }
}
