// pure
import type { GroupListing, GroupPhase, GroupSnapshot } from './decision.ts';
import { allCommits } from './commits.ts';
import { expiresMs } from './expiry.ts';
import type { Group } from './group.ts';
import { settled } from './reconcile.ts';
import type { GroupSettings } from './settings.ts';

function phaseOf(group: Group): GroupPhase {
  const { facts, members } = group;
  if (facts === undefined || members.size === 0) return 'empty';
  if (facts.assignmentEpoch < facts.groupEpoch) return 'assigning';
  for (const member of members.values()) if (!settled(member, facts.assignmentEpoch)) return 'reconciling';
  return 'stable';
}

export function listingOf(group: Group): GroupListing {
  return {
    groupId: group.id,
    phase: phaseOf(group),
    members: group.members.size,
    assignor: group.facts?.assignor ?? '',
  };
}

export function snapshotOf(group: Group, settings: GroupSettings): GroupSnapshot | undefined {
  if (group.facts === undefined) return undefined;
  return {
    groupId: group.id,
    phase: phaseOf(group),
    group: group.facts,
    members: [...group.members].map(([memberId, member]) => ({ memberId, member })),
    commits: allCommits(group),
    expiresMs: expiresMs(group, settings),
  };
}
