/** What `doctor` finds out, and how a check that cannot be made is told from one that fails. */

/** `skipped`: something that it needs has failed before. */
export type Outcome = 'ok' | 'warning' | 'failed' | 'skipped';

export interface Finding {
  /** `installed`, `reachable 127.0.0.1:9095`, `writable data/broker-1` */
  readonly group: string;
  readonly check: string;
  readonly outcome: Outcome;
  /** What was found. */
  readonly detail: string;
  /** What to do about it; empty where nothing need be done. */
  readonly advice: string;
  readonly tookMs: number;
}

/** What one check says of itself. */
export interface Verdict {
  readonly outcome?: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  readonly advice?: string;
}

/** A check that failed, in the words of whoever knows why. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
  readonly advice: string;
  constructor(message: string, advice: string) {
    super(message);
    this.advice = advice;
  }
}

/** Hops of one way: each needs all before it. */
export class Chain {
  readonly #group: string;
  readonly #found: (finding: Finding) => void;
  #broken: string | undefined;

  constructor(group: string, found: (finding: Finding) => void) {
    this.#group = group;
    this.#found = found;
  }

  /** Nothing further along the way can work. */
  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** @param needed what comes after it cannot work without it. @returns undefined when the check failed or could not be made. */
  async hop<T>(
    check: string,
    run: () => Promise<Verdict & { readonly value?: T }>,
    needed = true,
  ): Promise<T | undefined> {
    if (this.#broken !== undefined) {
      this.#found({
        group: this.#group,
        check,
        outcome: 'skipped',
        detail: `needs ${this.#broken}`,
        advice: '',
        tookMs: 0,
      });
      return undefined;
    }
    const began = performance.now();
    const finding = (verdict: Verdict): void => {
      const { outcome = 'ok', detail, advice = '' } = verdict;
      if (outcome === 'failed' && needed) this.#broken = check;
      this.#found({
        group: this.#group,
        check,
        outcome,
        detail,
        advice,
        tookMs: Math.round(performance.now() - began),
      });
    };
    try {
      const verdict = await run();
      finding(verdict);
      return verdict.outcome === 'failed' ? undefined : verdict.value;
    } catch (thrown) {
      const detail = thrown instanceof Error ? thrown.message : String(thrown);
      finding({ outcome: 'failed', detail, advice: thrown instanceof CheckFailed ? thrown.advice : '' });
      return undefined;
    }
  }
}
