/**
 * How far logs are known to reach: no commit lies beyond. A commit within what is known costs nothing; one beyond is looked at once more, as records may have
 * come since, with all that are waiting for the same answer. Before it is refused the store must say that whoever answered leads still: a leader that has a
 * successor and has not heard of it knows of fewer records than others have read. Where nobody answers in time nothing is known, and the commit is taken.
 */
import { limits, type Offset, offset } from '@tributary/model';
import { type ImageSource, LinkedAbort, type MetadataKeys } from '@tributary/metadata';
import type { CallContext, Clock, MetadataStore } from '@tributary/ports';
import type { GroupPartition } from '../group/change.ts';
import type { Leaders } from '../journal/leaders.ts';
import { measure, type Question } from './measure.ts';

interface Ports {
  readonly images: Pick<ImageSource, 'current' | 'reached'>;
  readonly store: Pick<MetadataStore, 'read'>;
  readonly keys: MetadataKeys;
  readonly clock: Clock;
}

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
  readonly #ports: Ports;
  readonly #signal: AbortSignal;
  readonly #known = new Map<string, Offset>();
  /** Nobody answered the last question about them: what is known may be old. */
  readonly #unanswered = new Set<string>();
  /** For the next question. */
  #wanted = new Map<string, Wanted>();
  #isAsking = false;

  constructor(leaders: Leaders, ports: Ports, signal: AbortSignal) {
    this.#leaders = leaders;
    this.#ports = ports;
    this.#signal = signal;
  }

  /** A leader has told, some time ago: others may have told of more since. */
  learn(place: GroupPartition, highWatermark: bigint): void {
    const known = this.#known.get(keyOf(place));
    if (known === undefined || known < highWatermark) this.#note(place, highWatermark);
  }

  #note(place: GroupPartition, highWatermark: bigint): void {
    if (this.#known.size >= limits.logEndsKnown) this.#known.clear();
    this.#known.set(keyOf(place), offset(highWatermark));
  }

  /** @returns in the order of what is asked; undefined: nobody knows. */
  async covering(asked: readonly Asked[], call: Pick<CallContext, 'signal'>): Promise<readonly (Offset | undefined)[]> {
    const { images } = this.#ports;
    const before = images.current;
    const isBeyond = ({ place, offset: wanted }: Asked): boolean => {
      const known = this.#known.get(keyOf(place));
      return known === undefined || wanted > known;
    };
    const beyond = asked.filter(isBeyond);
    if (beyond.length > 0) await Promise.all(beyond.map(({ place }) => this.#ask(place)));
    const isSure = !beyond.some(isBeyond) || (await this.#hasHeardAll(call.signal));
    if (beyond.length > 0) call.signal.throwIfAborted();
    const image = images.current;
    return asked.map(({ place, offset: wanted }) => {
      const { topicId, partition } = place;
      // Of a topic that is gone: what is to be said is another thing.
      if (image.topic(topicId) === undefined) return undefined;
      const known = this.#known.get(keyOf(place));
      if (known === undefined || wanted <= known) return known;
      const epochs = [before, image].map((each) => each.partition(topicId, partition)?.leaderEpoch);
      return isSure && epochs[0] === epochs[1] && !this.#unanswered.has(keyOf(place)) ? known : undefined;
    });
  }

  /** The image has everything that the store held when this was called. @returns false: that cannot be told in time. */
  async #hasHeardAll(signal: AbortSignal): Promise<boolean> {
    const { store, keys, images, clock } = this.#ports;
    using limited = new LinkedAbort(signal);
    const heard = async (): Promise<boolean> => {
      const { revision } = await store.read(keys.of({ kind: 'cluster' }));
      await images.reached(revision, limited.signal);
      return true;
    };
    const late = async (): Promise<boolean> => {
      await clock.sleep(limits.logEndMs, limited.signal);
      return false;
    };
    const either = await Promise.race([heard().catch(() => false), late().catch(() => false)]);
    limited.abort(new Error('It is known.'));
    return either;
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
      const answers = await measure(questions, this.#leaders, this.#ports.images, this.#signal, limits.logEndMs).catch(
        () => [],
      );
      for (const [index, [key, { place, answered }]] of wanted.entries()) {
        const answer = answers[index];
        if (answer?.kind === 'measured') {
          this.#note(place, answer.lag.highWatermark);
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
