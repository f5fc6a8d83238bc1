/**
 * How far logs are known to reach: no commit lies beyond. A commit within what is known costs nothing; one beyond is looked at once more, as records may have
 * come since, with all that are waiting for the same answer. Where no leader answers in time nothing is known, and the commit is taken.
 */
import { limits, type Offset, offset } from '@tributary/model';
import type { ImageSource } from '@tributary/metadata';
import type { GroupPartition } from '../group/change.ts';
import type { Leaders } from '../journal/leaders.ts';
import { measure, type Question } from './measure.ts';

interface Asked {
  readonly place: GroupPartition;
  readonly offset: Offset;
}

interface Wanted {
  readonly place: GroupPartition;
  readonly answered: PromiseWithResolvers<void>;
}

const keyOf = ({ topicId, partition }: GroupPartition): string => `${topicId}/${partition}`;

export class LogEnds {
  readonly #leaders: Leaders;
  readonly #images: Pick<ImageSource, 'current'>;
  readonly #signal: AbortSignal;
  readonly #known = new Map<string, Offset>();
  /** Nobody answered the last question about them: what is known may be old. */
  readonly #unanswered = new Set<string>();
  /** For the next question. */
  #wanted = new Map<string, Wanted>();
  #isAsking = false;

  constructor(leaders: Leaders, images: Pick<ImageSource, 'current'>, signal: AbortSignal) {
    this.#leaders = leaders;
    this.#images = images;
    this.#signal = signal;
  }

  /** A leader has told. */
  learn(place: GroupPartition, highWatermark: bigint): void {
    if (this.#known.size >= limits.logEndsKnown) this.#known.clear();
    this.#known.set(keyOf(place), offset(highWatermark));
  }

  /** @returns in the order of what is asked; undefined: nobody knows. */
  async covering(asked: readonly Asked[], signal: AbortSignal): Promise<readonly (Offset | undefined)[]> {
    const beyond = asked.filter(({ place, offset: wanted }) => {
      const known = this.#known.get(keyOf(place));
      return known === undefined || wanted > known;
    });
    if (beyond.length > 0) {
      await Promise.all(beyond.map(({ place }) => this.#ask(place)));
      signal.throwIfAborted();
    }
    const image = this.#images.current;
    return asked.map(({ place, offset: wanted }) => {
      // Of a topic that is gone: what is to be said is another thing.
      if (image.topic(place.topicId) === undefined) return undefined;
      const known = this.#known.get(keyOf(place));
      return known === undefined || wanted <= known || !this.#unanswered.has(keyOf(place)) ? known : undefined;
    });
  }

  async #ask(place: GroupPartition): Promise<void> {
    const key = keyOf(place);
    const before = this.#wanted.get(key);
    if (before !== undefined) return await before.answered.promise;
    const wanted = { place, answered: Promise.withResolvers<void>() };
    this.#wanted.set(key, wanted);
    if (!this.#isAsking) void this.#questions();
    await wanted.answered.promise;
  }

  /** One after the other: what comes meanwhile is the next one. Never rejects. */
  async #questions(): Promise<void> {
    this.#isAsking = true;
    // What else is asked in this tick.
    await Promise.resolve();
    while (this.#wanted.size > 0) {
      const wanted = [...this.#wanted];
      this.#wanted = new Map();
      const questions = wanted.map(([, { place }]): Question => ({ place, offsets: [] }));
      const answers = await measure(questions, this.#leaders, this.#images, this.#signal, limits.logEndMs).catch(
        () => [],
      );
      for (const [index, [key, { place, answered }]] of wanted.entries()) {
        const answer = answers[index];
        if (answer?.kind === 'measured') {
          this.learn(place, answer.lag.highWatermark);
          this.#unanswered.delete(key);
        } else {
          if (this.#unanswered.size >= limits.logEndsKnown) this.#unanswered.clear();
          this.#unanswered.add(key);
        }
        answered.resolve();
      }
    }
    this.#isAsking = false;
  }
}
