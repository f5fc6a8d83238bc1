import type { SeededRandom } from './seeded-random.ts';

/** An action that waits for its virtual time. */
export interface Timer {
  cancel(): void;
}

interface Scheduled {
  readonly atMicros: number;
  /** Drawn from the seed: what falls on the same microsecond runs in an order that each seed chooses anew. */
  readonly tie: number;
  readonly sequence: number;
  action: (() => void) | undefined;
}

/** A run that gets this far without an end has two parts that wake each other for ever. */
const EVENTS_MAX = 20_000_000;

/**
 * Virtual time. An event runs, then everything that it set off (the microtask queue, to its end), then the next event: time stands still
 * while anybody can still do something. Nothing here looks at a real clock, so a run takes as long as its computing takes.
 */
export class Scheduler {
  readonly #random: SeededRandom;
  readonly #heap: Scheduled[] = [];
  #nowMicros = 0;
  #sequence = 0;
  #events = 0;
  #failure: { readonly thrown: unknown } | undefined;
  /** Called after each event and all that it set off; invariants are checked here. */
  afterEvent: (() => void) | undefined;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Since the beginning of the run. */
  get nowMicros(): number {
    return this.#nowMicros;
  }

  /** Events run so far. */
  get events(): number {
    return this.#events;
  }

  /** Runs `action` after `delayMicros` (at least one: a loop that waits for nothing must not stop time). */
  after(delayMicros: number, action: () => void): Timer {
    const atMicros = this.#nowMicros + Math.max(1, Math.round(delayMicros));
    const scheduled: Scheduled = { atMicros, tie: this.#random.nextU32(), sequence: this.#sequence++, action };
    this.#push(scheduled);
    return {
      cancel: () => {
        // The entry stays in the heap until its time; only what it holds is let go.
        scheduled.action = undefined;
      },
    };
  }

  /** Resolves after `delayMicros`. For the simulator's own story; nodes sleep by their own clock. */
  pause(delayMicros: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMicros, resolve);
    });
  }

  /** Ends the run: {@link run} rejects with it. For a broken invariant, or an error that nobody was waiting for. */
  fail(thrown: unknown): void {
    this.#failure ??= { thrown };
  }

  /**
   * Runs events until `story` has settled, and returns what it returned.
   * @throws what `story` threw, or was given to {@link fail}, or a sentence when nothing is left that could wake the story.
   */
  async run<T>(story: () => Promise<T>): Promise<T> {
    let outcome: { readonly value: T } | undefined;
    story().then(
      (value) => {
        outcome = { value };
      },
      (thrown: unknown) => this.fail(thrown),
    );
    const onUnhandled = (reason: unknown): void => this.fail(reason);
    // While a run is on, an error that nobody waits for is the run's alone: a test runner's own listeners would blame the test at hand.
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', onUnhandled);
    try {
      await drained();
      while (outcome === undefined && this.#failure === undefined) {
        this.#step();
        await drained();
        if (this.#failure === undefined) this.afterEvent?.();
      }
    } catch (thrown) {
      this.fail(thrown);
    } finally {
      process.off('unhandledRejection', onUnhandled);
      for (const listener of others) process.on('unhandledRejection', listener);
    }
    if (this.#failure !== undefined) throw this.#failure.thrown;
    if (outcome === undefined) throw new Error('the run stopped without an outcome');
    return outcome.value;
  }

  #step(): void {
    let next = this.#pop();
    while (next !== undefined && next.action === undefined) next = this.#pop();
    if (next?.action === undefined)
      throw new Error(`deadlock at ${this.#nowMicros} µs: the story waits, and nothing is left that could happen`);
    this.#events += 1;
    if (this.#events > EVENTS_MAX) throw new Error(`no end after ${EVENTS_MAX} events`);
    this.#nowMicros = next.atMicros;
    next.action();
  }

  #push(scheduled: Scheduled): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(scheduled);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || !isBefore(scheduled, parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = scheduled;
  }

  #pop(): Scheduled | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = heap[childAt];
      if (child === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        childAt += 1;
      }
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  if (a.atMicros !== b.atMicros) return a.atMicros < b.atMicros;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}

/** Resolves when the microtask queue is empty: a macrotask runs only then. */
function drained(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
