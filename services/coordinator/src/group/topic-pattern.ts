/**
 * Topic patterns, RE2's syntax. What a user gives must not stop the event loop that serves all groups: RE2 matches in time linear in the
 * name, where the language's own expressions may take for ever.
 */
import { RE2JS, RE2JSException } from 're2js';
import { limits, TributaryError } from '@tributary/model';
import type { TopicMatcher } from './topic-view.ts';

/** @throws TributaryError INVALID_REGULAR_EXPRESSION, saying why. */
export function compileTopicPattern(pattern: string): TopicMatcher {
  if (pattern.length > limits.groupPatternLength) {
    throw new TributaryError(
      'INVALID_REGULAR_EXPRESSION',
      `The topic pattern has ${pattern.length} characters; at most ${limits.groupPatternLength} are allowed.`,
    );
  }
  const compiled = compile(pattern);
  return (name) => compiled.matches(name);
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (thrown) {
    if (!(thrown instanceof RE2JSException)) throw thrown;
    throw new TributaryError(
      'INVALID_REGULAR_EXPRESSION',
      `Bad topic pattern "${pattern.slice(0, 300)}": ${thrown.message}.`,
      { cause: thrown },
    );
  }
}
