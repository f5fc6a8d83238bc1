/** Where brokers can be reached: the addresses that were given, those that brokers advertise, and the way round those that are out of reach. */
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';

export class Addresses {
  readonly #bootstrap: readonly string[];
  readonly #clock: Clock;
  /** Advertised addresses that could not be reached, and until when they are not tried again. */
  readonly #detours = new Map<string, number>();
  /** Addresses that have answered. */
  readonly #reached = new Set<string>();
  /** One that answers: the way to brokers that are out of reach (F1). */
  #entry: string;
  #entryFailed = false;

  constructor(bootstrap: readonly string[], clock: Clock) {
    this.#bootstrap = bootstrap;
    this.#clock = clock;
    this.#entry = bootstrap[0] ?? '';
  }

  /** From now on the way in, until it fails. */
  enterBy(address: string): void {
    this.#entry = address;
    this.#entryFailed = false;
  }

  /** It did not answer: where it is the way in, the next one that does takes its place. */
  failed(address: string): void {
    if (address === this.#entry) this.#entryFailed = true;
  }

  /** The way to a broker, by the address that it advertises. */
  reachable(advertised: string): string {
    const until = this.#detours.get(advertised);
    if (until === undefined) return advertised;
    if (until > this.#clock.monotonicMs()) return this.#entry;
    this.#detours.delete(advertised);
    return advertised;
  }

  /** A connection to this address failed; if none ever carried anything, the way by another broker is taken for a while. */
  unreachable(address: string): void {
    // A broker that was reached before is down, not out of reach: no other address leads to it either.
    if (address === this.#entry || this.#reached.has(address)) return;
    this.#detours.set(address, this.#clock.monotonicMs() + limits.detourMs);
  }

  /** A connection to this address carried an answer. */
  reached(address: string): void {
    this.#reached.add(address);
    this.#detours.delete(address);
    if (this.#entryFailed || address === this.#entry) this.enterBy(address);
  }

  /** A broker has come, or come back: it may be reached by now. */
  appeared(address: string): void {
    this.#detours.delete(address);
  }

  /**
   * Whom to ask, each once: the way in, then the others in turn.
   * @param turn begins with another one each time. @param avoided come last.
   */
  candidates(advertised: readonly string[], turn: number, avoided: ReadonlySet<string>): readonly string[] {
    const all = [
      ...new Set([this.#entry, ...this.#bootstrap, ...advertised.map((address) => this.reachable(address))]),
    ];
    const begin = turn % all.length;
    const turned = [...all.slice(begin), ...all.slice(0, begin)];
    return [...turned.filter((each) => !avoided.has(each)), ...turned.filter((each) => avoided.has(each))];
  }
}
