/**
 * Counts what happened in a run: each kind of fault and each transition that somebody registered. What was expected and never happened
 * makes a run of many seeds fail: a fault that is never injected proves nothing.
 */
export class Coverage {
  readonly #counts = new Map<string, number>();

  /** Makes it an error of the whole run when none of these ever happens. */
  expect(...names: readonly string[]): void {
    for (const name of names) if (!this.#counts.has(name)) this.#counts.set(name, 0);
  }

  count(name: string, times = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + times);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Adds the counts of another run. */
  add(counts: Iterable<readonly [string, number]>): void {
    for (const [name, times] of counts) this.count(name, times);
  }

  /** Sorted by name. */
  entries(): readonly (readonly [string, number])[] {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  missing(): readonly string[] {
    return this.entries()
      .filter(([, times]) => times === 0)
      .map(([name]) => name);
  }
}
