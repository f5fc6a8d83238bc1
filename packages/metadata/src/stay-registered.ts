import type { BrokerEpoch } from '@tributary/model';
import type { Logger } from '@tributary/ports';
import type { ClusterImage } from './image.ts';
import type { ImageSource } from './image-source.ts';
import type { HeldRegistration } from './own-registration.ts';
import { LinkedAbort } from './waiting.ts';

/** What a part does about its registration, and what of it the cluster shows. */
export interface Registering<H extends HeldRegistration> {
  /** Resolves once it is registered, in a new epoch. */
  register(signal: AbortSignal): Promise<H>;
  /** The lease was lost. undefined: the registration is gone with it. */
  renew(held: H, signal: AbortSignal): Promise<H | undefined>;
  epochIn(image: ClusterImage): BrokerEpoch | undefined;
  /** A registration that is gone stays so: the part is about to stop. */
  readonly isOver: boolean;
}

interface Ports {
  readonly images: Pick<ImageSource, 'until'>;
  readonly logger: Logger;
}

/**
 * Registers. When the lease is lost the registration is put under another if it is still there, which no one notices: the store was away. Else,
 * and when the image shows that it is gone, because the controller took the part for dead (R10), it registers anew. Ends with the signal, or once it
 * is over. @throws whatever registering does.
 */
export async function stayRegistered<H extends HeldRegistration>(
  part: Registering<H>,
  { images, logger }: Ports,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    let held: H | undefined = await part.register(signal);
    while (held !== undefined) {
      const what = await end(part, held, images, signal);
      if (signal.aborted || part.isOver) return;
      if (what === 'lease lost') {
        logger.warn('registration-lost', { why: held.lost.reason instanceof Error ? held.lost.reason.message : '' });
        held = await part.renew(held, signal);
        if (held !== undefined) logger.info('registration-kept', { epoch: held.epoch.toString() });
      } else {
        const why = 'the controller took this part for dead: it registers anew';
        logger.warn('registration-gone', { epoch: held.epoch.toString(), why });
        await held.revoke().catch(() => undefined);
        held = undefined;
      }
    }
  }
}

/** Waits for the end of a registration. */
async function end<H extends HeldRegistration>(
  part: Registering<H>,
  { epoch, lost }: H,
  images: Pick<ImageSource, 'until'>,
  signal: AbortSignal,
): Promise<'lease lost' | 'gone'> {
  using waiting = new LinkedAbort(signal);
  const gone = images.until((image) => image.revision >= epoch && part.epochIn(image) !== epoch, waiting.signal);
  // When following the store is over, others end the part.
  const what = await Promise.race([
    until(lost, signal).then(() => 'lease lost' as const),
    gone.then(() => 'gone' as const).catch(() => until(lost, signal).then(() => 'lease lost' as const)),
  ]);
  waiting.abort(new Error('The registration is over.'));
  return what;
}

function until(...signals: readonly AbortSignal[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of signals) {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  }
  return promise;
}
