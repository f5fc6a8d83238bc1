/** What several faults of a cluster are made of. */
import { DATA_DIRECTORY } from '../cluster.ts';
import type { DiskCopy } from '../disk.ts';
import type { Member } from './member.ts';
import type { Stage } from './stage.ts';

export const ms = (stage: Stage, milliseconds: number): Promise<void> =>
  stage.world.scheduler.pause(milliseconds * 1_000);

/** @param whose the ones that cannot be blamed for what others make of it. @returns when they hear each other again. */
export async function cut(
  stage: Stage,
  pairs: readonly (readonly [string, string])[],
  forMs: number,
  whose: readonly string[] = pairs.flat(),
): Promise<void> {
  const { network } = stage.world;
  const touched = stage.members.filter(({ name }) => whose.includes(name));
  for (const [from, to] of pairs) network.silence(from, to);
  for (const member of touched) member.troubled();
  await ms(stage, forMs);
  for (const [from, to] of pairs) network.hear(from, to);
  for (const member of touched) member.troubled();
}

export function putDisk(member: Member, copy: DiskCopy): void {
  member.isHeld = true;
  member.kill();
  member.machine.disk.replaceContents(DATA_DIRECTORY, copy);
  member.lostAll();
}

/** Whatever it has been counted on for, somebody else has too, and nobody else's disk is in doubt. */
export function isSpare(stage: Stage, member: Member): boolean {
  if (stage.brokers.some((each) => each !== member && each.lacks !== 'nothing')) return false;
  for (const partition of stage.truth.image.partitions()) {
    const { isr, eligibleLeaderReplicas, lastMembers, effectiveMinIsr, replicas } = partition;
    // Where one is enough, a proposal that is under way may make it the only one.
    if (effectiveMinIsr < 2 && replicas.some(({ nodeId }) => nodeId === member.nodeId)) return false;
    const counted = [...isr, ...eligibleLeaderReplicas, ...lastMembers].some((node) => node === member.nodeId);
    if (counted && !isr.some((node) => node !== member.nodeId)) return false;
  }
  return true;
}
