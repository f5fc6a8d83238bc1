// pure
/** What goes by itself (G6): commits of topics that are gone, commits that nobody has needed for long, groups without members or commits. */
import type { Change, GroupPartition } from './change.ts';
import type { Circumstances } from './decision.ts';
import type { Group } from './group.ts';
import type { GroupSettings } from './settings.ts';

/** When an empty group's commits have all expired, wall clock, ms; undefined: it has members. */
export function expiresMs(group: Group, settings: GroupSettings): number | undefined {
  const since = group.facts?.emptySinceMs;
  if (since === undefined) return undefined;
  let newest = since;
  for (const [, { committedMs }] of group.commits.entries()) newest = Math.max(newest, committedMs);
  return newest + settings.offsetsRetentionMs;
}

/** Of topics that are gone. */
export function orphans(group: Group, at: Circumstances): GroupPartition[] {
  const gone = new Set([...group.commits.topicIds()].filter((id) => at.topics.topic(id) === undefined));
  if (gone.size === 0) return [];
  return [...group.commits.entries()].flatMap(([place]) => (gone.has(place.topicId) ? [place] : []));
}

/** Commits expire in a group without members, counted from when the last one left; with members, where nobody is to have the topic. */
export function expiredCommits(group: Group, settings: GroupSettings, at: Circumstances): GroupPartition[] {
  const since = group.facts?.emptySinceMs;
  const before = at.wallMs - settings.offsetsRetentionMs;
  if (since !== undefined && since > before) return [];
  return [...group.commits.entries()].flatMap(([place, { committedMs }]) => {
    if (committedMs > before) return [];
    const needed =
      since === undefined && (group.wanted.hasTopic(place.topicId) || group.holders.hasTopic(place.topicId));
    return needed ? [] : [place];
  });
}

/** The group and all that is its. */
export function removal(group: Group, places: Iterable<GroupPartition>): Change[] {
  const groupId = group.id;
  const changes: Change[] = [...places].map((place) => ({ kind: 'offset-gone', groupId, place }));
  return [...changes, { kind: 'group-gone', groupId }];
}
