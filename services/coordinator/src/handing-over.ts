/** A controlled stop: the coordinator asks the controller to give what it owns to others, and serves until that is done or has taken too long. */
import { limits, type NodeId } from '@tributary/model';
import { heardWithin, Bell, type ClusterImage, type ImageSource } from '@tributary/metadata';
import type { Clock, Logger } from '@tributary/ports';
import type { LeaveProgress } from '@tributary/wire';
import type { Attendance } from './attendance.ts';

interface HandingOverPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly images: ImageSource;
}

/** Resolves once the image shows that it owns nothing, or waiting longer would be of no use, which is logged. */
export async function handOver(
  attendance: Pick<Attendance, 'sayLeaving'>,
  me: NodeId,
  { clock, logger, images }: HandingOverPorts,
  signal: AbortSignal,
): Promise<void> {
  if (!owns(images.current, me) || !hasSuccessor(images.current, me)) return;
  const bell = new Bell();
  const begunMs = clock.monotonicMs();
  let heardMs = begunMs;
  let progress: LeaveProgress | undefined;
  attendance.sayLeaving((said) => {
    if (said.toMove !== progress?.toMove) logger.info('leaving', { toMove: said.toMove });
    progress = said;
    heardMs = clock.monotonicMs();
    bell.ring();
  });
  const gone = images
    .until((image) => !owns(image, me), signal)
    .then(
      () => bell.ring(),
      () => undefined,
    );
  while (owns(images.current, me)) {
    signal.throwIfAborted();
    const leftMs = Math.min(begunMs + limits.leaveMsMax, heardMs + limits.leaveUnansweredMs) - clock.monotonicMs();
    if (leftMs <= 0) {
      const why =
        'What this coordinator owns moves once the controller finds it gone: no controller answers, or there is nobody to take it.';
      logger.warn('leaves-at-once', { why });
      return;
    }
    await heardWithin(bell, Math.min(leftMs, limits.leaveRepeatMs), clock, signal);
  }
  await gone;
}

function owns(image: ClusterImage, me: NodeId): boolean {
  return Iterator.from(image.groupPartitions()).some(({ coordinator }) => coordinator === me);
}

function hasSuccessor(image: ClusterImage, me: NodeId): boolean {
  return Iterator.from(image.coordinators()).some(({ nodeId }) => nodeId !== me);
}
