/** Where brokers can be reached: the addresses that were given, those that brokers advertise, and the way round those that are out of reach. */
import { limits } from '@tributary/model';
import type { Clock } from '@tributary/ports';

export class Addresses {
  readonly #bootstrap: readonly string[];
  readonly #clock: Clock;
  /** Advertised addresses that could not be reached, and when they are tried again, on the monotonic clock, ms. */
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
    return this.#detours.has(advertised) ? this.#entry : advertised;
  }

  /** It has been gone round for so long that it may be tried again; not again before as much time has passed. */
  isDueForTrial(advertised: string): boolean {
    const until = this.#detours.get(advertised);
    const now = this.#clock.monotonicMs();
    if (until === undefined || until > now) return false;
    this.#detours.set(advertised, now + limits.detourMs);
    return true;
  }

  /** A connection to this address failed; if none ever carried anything, the way by another broker is taken. */
  unreachable(address: string): void {
    // A broker that was reached before, and refuses connections, is down rather than out of reach.
    if (!this.#reached.has(address)) this.outOfReach(address);
  }

  /** Nothing comes from this address, and yet others say that a broker is there: the way by another one is taken, if there is one (F1). */
  outOfReach(address: string): void {
    if (address !== this.#entry) this.#detours.set(address, this.#clock.monotonicMs() + limits.detourMs);
  }

  /** A connection to this address carried an answer. */
  reached(address: string): void {
    this.answered(address);
    if (this.#entryFailed || address === this.#entry) this.enterBy(address);
  }

  /** As `reached`, of what is no broker: it never becomes the way in. */
  answered(address: string): void {
    this.#reached.add(address);
    this.#detours.delete(address);
  }

  /** Nobody else reaches it either: if it was ever reached from here, it is down rather than out of reach, and tried at once when it is back. */
  isDown(address: string): void {
    if (this.#reached.has(address)) this.#detours.delete(address);
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
