/**
 * Who may hold the event loop: work that takes milliseconds is cut into pieces, and all that have some take turns, a piece each. After as much as
 * `limits.subscribeChunk` the loop goes on with whatever else waits: appends, acknowledgements, other connections.
 */
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';

interface Turn {
  /** @returns what it cost, in bytes handled. */
  readonly work: () => number;
  readonly done: PromiseWithResolvers<void>;
}

const never = new AbortController().signal;

export class Turns {
  readonly #clock: Clock;
  readonly #waiting: Turn[] = [];
  #spent = 0;
  #running = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does the work when its turn has come, at once if nobody else waits. Rejects with what it throws. */
  run(work: () => number): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ work, done });
    if (!this.#running) void this.#runAll();
    return done.promise;
  }

  async #runAll(): Promise<void> {
    this.#running = true;
    for (let turn = this.#waiting.shift(); turn !== undefined; turn = this.#waiting.shift()) {
      try {
        this.#spent += turn.work();
        turn.done.resolve();
      } catch (thrown) {
        turn.done.reject(thrown);
      }
      if (this.#spent < limits.subscribeChunk) continue;
      this.#spent = 0;
      await this.#clock.sleep(0, never);
    }
    this.#running = false;
  }
}
