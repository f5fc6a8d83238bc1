/** What has changed between two looks at a group, a line for each: what `--watch` prints where it cannot redraw. */
import type { GroupDescription, GroupPartitionLag } from '@tributary/client';
import { orNone } from './description.ts';

export function changesBetween(before: GroupDescription, after: GroupDescription): readonly string[] {
  return [
    ...groupChanges(before, after),
    ...memberChanges(before, after),
    ...after.partitions.flatMap((partition) => {
      const old = before.partitions.find((each) => isSame(each, partition));
      return partitionChange(old, partition);
    }),
    ...before.partitions
      .filter((old) => !after.partitions.some((each) => isSame(each, old)))
      .map(({ topic, partition }) => `${topic}/${partition}: no longer of the group`),
  ];
}

const isSame = (a: GroupPartitionLag, b: GroupPartitionLag): boolean =>
  a.topicId === b.topicId && a.partition === b.partition;

function groupChanges(before: GroupDescription, after: GroupDescription): readonly string[] {
  const lines: string[] = [];
  if (before.phase !== after.phase) lines.push(`group: ${before.phase} → ${after.phase}`);
  if (before.coordinator !== after.coordinator)
    lines.push(`group: coordinator ${before.coordinator} → ${after.coordinator}`);
  return lines;
}

function memberChanges(before: GroupDescription, after: GroupDescription): readonly string[] {
  const had = new Map(before.members.map((member) => [member.memberId, member]));
  const has = new Set(after.members.map(({ memberId }) => memberId));
  const who = ({ clientId, host }: { readonly clientId: string; readonly host: string }): string =>
    `client ${clientId} at ${host}`;
  return [
    ...before.members.flatMap((old) =>
      has.has(old.memberId) ? [] : [`member ${old.memberId} (${who(old)}) has gone`],
    ),
    ...after.members.flatMap((member) => {
      const old = had.get(member.memberId);
      if (old === undefined) return [`member ${member.memberId} (${who(member)}) has joined`];
      if (old.stalled === member.stalled) return [];
      return [`member ${member.memberId}: ${member.stalled ? 'stalled' : 'polls again'}`];
    }),
  ];
}

function partitionChange(old: GroupPartitionLag | undefined, now: GroupPartitionLag): readonly string[] {
  const where = `${now.topic}/${now.partition}`;
  const values = (each: GroupPartitionLag) =>
    [
      ['current-offset', orNone(each.committedOffset)],
      ['log-end-offset', orNone(each.highWatermark)],
      ['lag', orNone(each.lag)],
      ['state', each.state],
      ['consumer-id', orNone(each.memberId)],
    ] as const;
  const before = old === undefined ? undefined : new Map<string, string>(values(old));
  const changed = values(now).flatMap(([name, value]) => {
    const was = before?.get(name);
    if (was === value) return [];
    return [was === undefined ? `${name} ${value}` : `${name} ${was} → ${value}`];
  });
  return changed.length === 0 ? [] : [`${where}: ${changed.join(', ')}`];
}
