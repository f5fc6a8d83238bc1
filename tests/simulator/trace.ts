/**
 * The story of a run as lines, folded into one number as they come. Two runs of one seed must give the same number; the last lines are kept
 * for whoever looks at a failure.
 */
export class Trace {
  readonly #kept: string[] = [];
  readonly #now: () => number;
  /** Lines kept: enough to see what led to a failure, little enough for hundreds of runs in one process. */
  readonly #keepLines: number;
  #low = 0x811c9dc5;
  #high = 0x01000193;
  #lines = 0;
  /** Called with each line, for `--trace`. */
  onLine: ((line: string) => void) | undefined;

  /** @param nowMicros virtual time; each line begins with it. */
  constructor(nowMicros: () => number, keepLines = 400) {
    this.#now = nowMicros;
    this.#keepLines = keepLines;
  }

  get lines(): number {
    return this.#lines;
  }

  add(who: string, what: string): void {
    const line = `${(this.#now() / 1_000).toFixed(3)} ${who} ${what}`;
    this.#lines += 1;
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i);
      this.#low = Math.imul(this.#low ^ code, 0x01000193);
      this.#high = Math.imul(this.#high + code, 0x85ebca6b) ^ (this.#low >>> 15);
    }
    this.#kept.push(line);
    if (this.#kept.length > 2 * this.#keepLines) this.#kept.splice(0, this.#keepLines);
    this.onLine?.(line);
  }

  /** 16 hexadecimal digits over all lines so far. */
  hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  tail(lines: number): readonly string[] {
    return this.#kept.slice(-lines);
  }
}
