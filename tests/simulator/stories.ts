/** The stories that seeds tell: each is a world of its own. */
import { clusterStory, expectEverything as expectOfCluster } from './cluster/story.ts';
import { expectEverything as expectOfGroups, groupsStory } from './groups/story.ts';
import type { Coverage } from './coverage.ts';
import type { RunResult } from './run-result.ts';
import { expectEverything as expectOfOneBroker, logAndProduce } from './scenarios/log-and-produce.ts';
import type { WorldOptions } from './world.ts';

export interface Story {
  /** @throws RunFailure. */
  readonly run: (seed: number, options?: WorldOptions) => Promise<RunResult>;
  /** What many seeds must have met. */
  readonly expect: (coverage: Coverage) => void;
}

export const stories = {
  /** One broker's log, produce and fetch path. */
  'one-broker': { run: logAndProduce, expect: expectOfOneBroker },
  /** Brokers and controllers: replication, elections, takeovers. */
  cluster: { run: clusterStory, expect: expectOfCluster },
  /** Coordinators and consumer groups on such a cluster. */
  groups: { run: groupsStory, expect: expectOfGroups },
} as const satisfies Readonly<Record<string, Story>>;

export type StoryName = keyof typeof stories;

export const storyNames = Object.keys(stories) as readonly StoryName[];

/** @throws Error naming those there are. */
export function storyNamed(name: string): StoryName {
  const found = storyNames.find((each) => each === name);
  if (found === undefined) throw new Error(`no story is called ${name}; there are: ${storyNames.join(', ')}`);
  return found;
}
