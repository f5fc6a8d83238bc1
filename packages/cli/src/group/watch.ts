/** Looking at a group again and again, until Ctrl-C. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type GroupDescription, TributaryError } from '@tributary/client';
import { say } from '../failure.ts';
import { print } from '../standard-output.ts';
import { isDrawable, Redrawn } from '../redrawn.ts';
import { changesBetween } from './changes.ts';
import { offsetRows } from './description.ts';
import { groupJsonText } from './picture.ts';
import { warningsOf } from './warnings.ts';

export interface WatchOptions {
  readonly output: 'text' | 'json';
  /** Seconds. */
  readonly interval: number;
  readonly picture: (group: GroupDescription) => string;
}

/** Never returns. @throws TributaryError of a look that failed for good; OutputClosedError. */
export async function watchGroup(
  first: GroupDescription,
  look: () => Promise<GroupDescription>,
  options: WatchOptions,
): Promise<never> {
  const view = viewOf(options);
  await view(first, undefined);
  let before = first;
  let trouble = '';
  for (;;) {
    await sleep(options.interval * 1000);
    try {
      const now = await look();
      trouble = '';
      await view(now, before);
      before = now;
    } catch (thrown) {
      if (!(thrown instanceof TributaryError) || !thrown.retriable) throw thrown;
      // Once: what lasts is no news.
      if (thrown.error !== trouble) say(thrown.message);
      trouble = thrown.error;
    }
  }
}

type View = (now: GroupDescription, before: GroupDescription | undefined) => Promise<void>;

function viewOf({ output, picture }: WatchOptions): View {
  if (output === 'json') {
    let shown = '';
    return async (now) => {
      const text = groupJsonText(now);
      // What only grows older by itself is no change.
      const key = JSON.stringify([now.phase, now.members.map(({ memberId }) => memberId), offsetRows(now)]);
      if (key === shown) return;
      shown = key;
      await print(text);
    };
  }
  if (isDrawable(process.stdout)) {
    const screen = new Redrawn();
    return async (now) => await screen.draw(`${new Date().toISOString()}\n${picture(now)}`);
  }
  return async (now, before) => {
    if (before === undefined) {
      await print(picture(now));
      return;
    }
    const stamp = new Date().toISOString();
    const told = new Set(warningsOf(before, Date.now()).map(kindOf));
    const warnings = warningsOf(now, Date.now()).filter((sentence) => !told.has(kindOf(sentence)));
    const lines = [...changesBetween(before, now), ...warnings.map((sentence) => `Warning: ${sentence}`)];
    if (lines.length > 0) await print(lines.map((line) => `${stamp} ${line}`).join('\n'));
  };
}

/** Without its figures, which change all the time. */
const kindOf = (sentence: string): string => sentence.replace(/\d+(\.\d+)?( (s|min|h|d)\b)?/g, '');
