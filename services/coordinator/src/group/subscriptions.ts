// pure
import { limits } from '@tributary/model';
import type { MemberFacts } from './change.ts';
import type { CompilePattern, TopicFacts, TopicMatcher, TopicView } from './topic-view.ts';

interface Pattern {
  readonly matches: TopicMatcher;
  /** Of the topics for which `names` were found. */
  version: bigint | undefined;
  names: readonly string[];
}

/** Which topics members mean. Remembers what patterns matched: names are many, and change seldom. */
export class Subscriptions {
  readonly #compile: CompilePattern;
  readonly #patterns = new Map<string, Pattern>();

  constructor(compile: CompilePattern) {
    this.#compile = compile;
  }

  /** @throws TributaryError INVALID_REGULAR_EXPRESSION. */
  check(pattern: string): void {
    this.#pattern(pattern);
  }

  matches(pattern: string, name: string): boolean {
    return this.#pattern(pattern).matches(name);
  }

  /** Those that are there, each once. */
  topicsOf(member: MemberFacts, view: TopicView): TopicFacts[] {
    const found = new Map<string, TopicFacts>();
    const add = (name: string) => {
      const topic = view.named(name);
      if (topic !== undefined) found.set(name, topic);
    };
    for (const name of member.topics) add(name);
    if (member.topicPattern !== undefined) for (const name of this.#matched(member.topicPattern, view)) add(name);
    return [...found.values()];
  }

  #matched(text: string, view: TopicView): readonly string[] {
    const pattern = this.#pattern(text);
    if (pattern.version !== view.version) {
      pattern.names = [...view.names()].filter((name) => pattern.matches(name));
      pattern.version = view.version;
    }
    return pattern.names;
  }

  #pattern(text: string): Pattern {
    const known = this.#patterns.get(text);
    if (known !== undefined) return known;
    const pattern: Pattern = { matches: this.#compile(text), version: undefined, names: [] };
    const [oldest] = this.#patterns.keys();
    if (this.#patterns.size >= limits.groupPatterns && oldest !== undefined) this.#patterns.delete(oldest);
    this.#patterns.set(text, pattern);
    return pattern;
  }
}
