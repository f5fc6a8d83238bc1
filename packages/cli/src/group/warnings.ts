/** What whoever looks at a group should not overlook. */
import type { GroupDescription, GroupPartitionLag } from '@tributary/client';

/** Partitions that a sentence names. */
const namedMax = 3;

/** @param nowMs milliseconds since 1970. @returns sentences, the worst first. */
export function warningsOf(group: GroupDescription, nowMs: number): readonly string[] {
  const { partitions, members, assignorError, expiresMs } = group;
  const warnings: string[] = [];
  const lost = partitions.filter(isLost);
  if (lost.length > 0)
    warnings.push(
      `Retention has deleted records that the group had not read, in ${named(lost, (each) => `${(each.logStartOffset ?? 0n) - (each.committedOffset ?? 0n)} offsets`)}.`,
    );
  const threatened = partitions
    .filter(isThreatened)
    .toSorted((a, b) => (a.secondsToLoss ?? 0) - (b.secondsToLoss ?? 0));
  if (threatened.length > 0)
    warnings.push(
      `Retention will delete records that the group has not read: ${named(threatened, (each) => `in ${span(each.secondsToLoss ?? 0)}`)}. Read faster, or raise retention.ms or retention.bytes.`,
    );
  const unreachable = partitions.filter(({ state }) => state === 'unreachable_data');
  if (unreachable.length > 0)
    warnings.push(
      `No leader answers for ${named(unreachable, ({ error }) => (error === undefined ? '' : error.message.replace(/\.$/, '')))}.`,
    );
  for (const { memberId, clientId, host } of members.filter(({ stalled }) => stalled))
    warnings.push(
      `Member ${memberId} (client ${clientId} at ${host}) does not poll: its partitions go to others once max.poll.interval.ms is over.`,
    );
  if (assignorError !== undefined)
    warnings.push(`The last assignment of a client-side assignor was refused: ${assignorError}`);
  if (expiresMs !== undefined && partitions.some(({ state }) => state === 'expiring'))
    warnings.push(
      `The group has no members, and its committed offsets expire in ${span((expiresMs - nowMs) / 1000)} although it has not read everything.`,
    );
  return warnings;
}

function isLost({ committedOffset, logStartOffset }: GroupPartitionLag): boolean {
  return committedOffset !== undefined && logStartOffset !== undefined && committedOffset < logStartOffset;
}

/** The first record that has not been read has had more time than it has left. */
function isThreatened({ lag, lagSeconds, secondsToLoss }: GroupPartitionLag): boolean {
  return secondsToLoss !== undefined && (lag ?? 0n) > 0n && secondsToLoss < (lagSeconds ?? Number.POSITIVE_INFINITY);
}

function named(partitions: readonly GroupPartitionLag[], about: (partition: GroupPartitionLag) => string): string {
  const shown = partitions.slice(0, namedMax).map((each) => {
    const said = about(each);
    return `${each.topic}/${each.partition}${said === '' ? '' : ` (${said})`}`;
  });
  const more = partitions.length > namedMax ? [`${partitions.length - namedMax} more`] : [];
  return [...shown, ...more].join(', ');
}

/** `40 s`, `12 min`, `3.5 h`, `2.1 d` */
export function span(seconds: number): string {
  const left = Math.max(seconds, 0);
  if (left < 120) return `${Math.round(left)} s`;
  if (left < 7_200) return `${Math.round(left / 60)} min`;
  if (left < 172_800) return `${(left / 3_600).toFixed(1)} h`;
  return `${(left / 86_400).toFixed(1)} d`;
}
