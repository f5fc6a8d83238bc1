/**
 * Keeping the picture of the cluster fresh. Asked for while all is well it is one question; while leaders are in doubt it asks one broker after another,
 * often at first and then less (`pauseMs`), until the picture shows other leaders or nobody doubts any more.
 */
import { limits, type TributaryError } from '@tributary/model';
import type { Clock, Random } from '@tributary/ports';
import type { GetMetadataResponse } from '@tributary/wire';
import { askAround } from './ask-around.ts';
import { pauseMs } from './backoff.ts';

export interface RefreshParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly retryBackoffMs: number;
  readonly retryBackoffMsMax: number;
  topics(): readonly string[];
  candidates(turn: number, avoided: ReadonlySet<string>): readonly string[];
  ask(
    address: string,
    topics: readonly string[],
    deadlineMs: number,
    signal: AbortSignal,
  ): Promise<GetMetadataResponse>;
  /** @throws TributaryError when the answer is older than what is known. */
  take(answer: GetMetadataResponse, topics: readonly string[], address: string): void;
  failed(address: string, error: TributaryError): void;
  /** Of the partition's leader as it is known. */
  leaderEpoch(topic: string, partition: number): number | undefined;
  /** Somebody waits for what the topic does not have yet. */
  isIncomplete(topic: string): boolean;
  /** After each round, whatever came of it. */
  refreshed(): void;
}

interface Doubt {
  readonly topic: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  /** On the monotonic clock, ms. */
  until: number;
}

export class MetadataRefresh {
  readonly #parts: RefreshParts;
  readonly #closing = new AbortController();
  readonly #doubts = new Map<string, Doubt>();
  #running: Promise<void> | undefined;
  #wanted = false;
  /** Not to be asked first in the next round. */
  #avoided = new Set<string>();
  /** On the monotonic clock, ms: since when the picture has been wanting; undefined: it is not, as far as anybody knows. */
  #wantingSince: number | undefined;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #turn = 0;

  constructor(parts: RefreshParts) {
    this.#parts = parts;
  }

  /** On the monotonic clock, ms: when the last round ended. */
  get refreshedAt(): number {
    return this.#refreshedAt;
  }

  /** Asks for a fresh picture, unless that is under way. */
  refresh(): void {
    this.#wanted = true;
    if (this.#running !== undefined || this.#closing.signal.aborted) return;
    this.#running = this.#rounds().finally(() => {
      this.#running = undefined;
    });
  }

  /** Asks others than the broker at this address, which may not know that it no longer leads. */
  refreshAvoiding(address: string): void {
    this.#avoided.add(address);
    this.refresh();
  }

  /** The leader of this epoch does not do what a leader does: asked after until there is one of a newer epoch, or nobody has said so for a while. */
  doubt(topic: string, partition: number, leaderEpoch: number): void {
    const key = `${topic}/${partition}`;
    const before = this.#doubts.get(key);
    const until = this.#parts.clock.monotonicMs() + limits.doubtMs;
    if (before !== undefined && before.leaderEpoch >= leaderEpoch) before.until = until;
    else {
      this.#doubts.set(key, { topic, partition, leaderEpoch, until });
      // A new trouble is asked about as often as a first one, however long others have lasted.
      this.#wantingSince = undefined;
    }
    this.refresh();
  }

  /** The leader has answered. */
  trust(topic: string, partition: number): void {
    if (this.#doubts.size > 0) this.#doubts.delete(`${topic}/${partition}`);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #rounds(): Promise<void> {
    const { clock, random, retryBackoffMs, retryBackoffMsMax } = this.#parts;
    while (this.#wanted && !this.#closing.signal.aborted) {
      this.#wanted = false;
      this.#wantingSince ??= clock.monotonicMs();
      if (this.#refreshedAt >= this.#wantingSince) {
        // A cluster in trouble must not be asked by all its clients in a loop.
        const failingFor = this.#refreshedAt - this.#wantingSince;
        const wait =
          this.#refreshedAt + pauseMs(failingFor, retryBackoffMs, retryBackoffMsMax, random) - clock.monotonicMs();
        if (wait > 0) await clock.sleep(wait, this.#closing.signal).catch(() => undefined);
        if (this.#closing.signal.aborted) return;
        this.#turn++;
      } else {
        this.#turn = this.#avoided.size > 0 ? this.#turn + 1 : 0;
      }
      await this.#round();
    }
  }

  async #round(): Promise<void> {
    const parts = this.#parts;
    const topics = parts.topics();
    const avoided = this.#avoided;
    this.#avoided = new Set();
    const taken = await askAround({
      addresses: parts.candidates(this.#turn, avoided),
      ask: (address, deadlineMs, signal) => parts.ask(address, topics, deadlineMs, signal),
      take: (answer: GetMetadataResponse, address) => parts.take(answer, topics, address),
      failed: (address, error) => parts.failed(address, error),
      deadlineMs: limits.attemptTimeoutMs,
      clock: parts.clock,
      signal: this.#closing.signal,
    });
    this.#refreshedAt = parts.clock.monotonicMs();
    if (taken === undefined || this.#isDoubted() || topics.some((name) => parts.isIncomplete(name)))
      this.#wanted = true;
    else this.#wantingSince = undefined;
    parts.refreshed();
  }

  #isDoubted(): boolean {
    for (const [key, { topic, partition, leaderEpoch, until }] of this.#doubts) {
      const known = this.#parts.leaderEpoch(topic, partition);
      const isOver = known === undefined || known > leaderEpoch || until <= this.#refreshedAt;
      if (isOver) this.#doubts.delete(key);
    }
    return this.#doubts.size > 0;
  }
}
