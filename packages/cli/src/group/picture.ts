/** A group as `describe` shows it, now. */
import type { GroupDescription } from '@tributary/client';
import { table } from '../table.ts';
import { groupJson, headline, memberRows, membersHead, offsetRows, offsetsHead } from './description.ts';
import { warningsOf } from './warnings.ts';

/** What of it. */
export interface Sections {
  readonly members?: true;
  readonly offsets?: true;
}

export const groupJsonText = (group: GroupDescription): string =>
  JSON.stringify(groupJson(group, warningsOf(group, Date.now())));

export function groupText(group: GroupDescription, { members, offsets }: Sections): string {
  const parts = [headline(group)];
  if (members === true) parts.push(table(membersHead, memberRows(group)).trimEnd());
  if (offsets === true || members !== true)
    parts.push(
      group.partitions.length === 0
        ? 'Nothing is assigned, and nothing committed.'
        : table(offsetsHead, offsetRows(group)).trimEnd(),
    );
  const warnings = warningsOf(group, Date.now()).map((sentence) => `Warning: ${sentence}`);
  return [...parts, ...(warnings.length > 0 ? [warnings.join('\n')] : [])].join('\n\n');
}
