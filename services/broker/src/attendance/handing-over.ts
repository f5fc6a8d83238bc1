/** A controlled shutdown: the broker asks the controller to move what it leads, and serves until that is done or has taken too long. */
import { limits, type NodeId } from '@tributary/model';
import { heardWithin, Bell, type ClusterImage, type ImageSource, isUnfenced, LinkedAbort } from '@tributary/metadata';
import type { Clock, Logger } from '@tributary/ports';
import type { LeaveProgress } from '@tributary/wire';
import type { Attendance } from './attendance.ts';

interface HandingOverPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly images: ImageSource;
}

/** Resolves once the broker may stop: nobody waits for it then, or waiting longer would be of no use, which is logged. */
export async function handOver(
  attendance: Pick<Attendance, 'sayLeaving' | 'failure'>,
  me: NodeId,
  { clock, logger, images }: HandingOverPorts,
  signal: AbortSignal,
): Promise<void> {
  if (!hasSuccessors(images.current, me)) return;
  const bell = new Bell();
  const begunMs = clock.monotonicMs();
  let progress: LeaveProgress | undefined;
  let heardMs = begunMs;
  attendance.sayLeaving((said) => {
    if (said.toMove !== progress?.toMove)
      logger.info('leaving', { toMove: said.toMove, withoutSuccessor: said.withoutSuccessor });
    progress = said;
    heardMs = clock.monotonicMs();
    bell.ring();
  });
  let electedMs = begunMs;
  while (progress?.toMove !== 0) {
    const nowMs = clock.monotonicMs();
    if (images.current.controller !== undefined) electedMs = nowMs;
    const untilMs = Math.min(
      begunMs + limits.leaveMsMax,
      heardMs + limits.leaveUnansweredMs,
      electedMs + limits.leaveUnledMs,
    );
    const leftMs = untilMs - nowMs;
    if (leftMs <= 0) {
      logger.warn('leaves-at-once', { why: whyNoLonger(progress, attendance.failure) });
      return;
    }
    await heardWithin(bell, Math.min(leftMs, limits.leaveRepeatMs), clock, signal);
  }
  // Clients that ask this broker from here on are told who leads now.
  using seeing = new LinkedAbort(signal);
  const seen = images.reached(progress.revision, seeing.signal).catch(() => undefined);
  await Promise.race([seen, clock.sleep(limits.leaveUnansweredMs, seeing.signal).catch(() => undefined)]);
  seeing.abort(new Error('Seen, or waited for long enough.'));
  if (progress.withoutSuccessor > 0) {
    const why = `Of ${progress.withoutSuccessor} partitions no other replica is in sync: they are unavailable until this broker is back.`;
    logger.warn('leaves-partitions-unavailable', { why });
  }
}

/** Others run, and this broker leads something or is in sync for somebody. */
function hasSuccessors(image: ClusterImage, me: NodeId): boolean {
  const isOther = Iterator.from(image.brokers()).some((broker) => broker.nodeId !== me && isUnfenced(broker));
  return isOther && image.partitions().some(({ leader, isr }) => leader === me || isr.includes(me));
}

function whyNoLonger(progress: LeaveProgress | undefined, failure: string | undefined): string {
  if (progress !== undefined && failure === undefined)
    return `After ${limits.leaveMsMax} ms ${progress.toMove} partitions that others could lead have not moved; they move when this broker has gone.`;
  const what = 'No controller answers: what this broker leads moves once one finds it gone.';
  return failure === undefined ? what : `${what} ${failure}`;
}
