/** Whose turn it is: the application's, or that of a rebalance that has something to ask it. Callbacks run only while the application waits for records. */
import type { Bell } from '../waiting.ts';

export class Floor {
  readonly #arrival: Bell;
  #asked: PromiseWithResolvers<boolean> | undefined;
  #given: PromiseWithResolvers<void> | undefined;
  #isOpen = false;

  /** @param arrival what the application waits for. */
  constructor(arrival: Bell) {
    this.#arrival = arrival;
  }

  /** The application should give it, before it takes any record. */
  get isWanted(): boolean {
    return this.#asked !== undefined;
  }

  /** Waits until the application has come back. @returns false: aborted before. Who has it gives it `back`. */
  async take(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.#isOpen) return true;
    const asked = Promise.withResolvers<boolean>();
    this.#asked = asked;
    const stop = (): void => {
      if (this.#asked === asked) this.#asked = undefined;
      asked.resolve(false);
    };
    signal.addEventListener('abort', stop, { once: true });
    this.#arrival.ring();
    const taken = await asked.promise;
    signal.removeEventListener('abort', stop);
    return taken;
  }

  back(): void {
    this.#given?.resolve();
    this.#given = undefined;
  }

  /** The application has come back, and waits until it may go on. */
  async give(): Promise<void> {
    const asked = this.#asked;
    if (asked === undefined) return;
    const given = Promise.withResolvers<void>();
    this.#asked = undefined;
    this.#given = given;
    asked.resolve(true);
    await given.promise;
  }

  /** The application closes the consumer: it does not come back, and nothing needs to wait for it. */
  open(): void {
    this.#isOpen = true;
    const asked = this.#asked;
    this.#asked = undefined;
    asked?.resolve(true);
  }
}
