/** A bar on standard error, for people only: nothing is drawn unless it is a terminal. */
import { byteSize } from './figures.ts';
import { widthOf } from './terminal.ts';

/** Drawn so often, ms: smooth for the eye, nothing for the processor. */
const everyMs = 100;
const width = 30;
/** Columns that the figures beside the bar take. */
const figuresColumns = 40;

export class Progress implements Disposable {
  readonly #total: number;
  readonly #shown: boolean;
  #drawnAt = 0;
  #drawn = false;

  /** @param total bytes; undefined when nobody knows. */
  constructor(total: number | undefined) {
    this.#total = total ?? 0;
    this.#shown = total !== undefined && total > 0 && process.stderr.isTTY === true && process.env['TERM'] !== 'dumb';
  }

  at(done: number): void {
    if (!this.#shown) return;
    const now = performance.now();
    if (this.#drawn && now - this.#drawnAt < everyMs) return;
    this.#drawnAt = now;
    this.#drawn = true;
    const share = Math.min(done / this.#total, 1);
    const room = Math.min(width, Math.max((widthOf(process.stderr) ?? 0) - figuresColumns, 0));
    const full = Math.round(share * room);
    const bar = `${'█'.repeat(full)}${'░'.repeat(room - full)}`;
    process.stderr.write(
      `\r${bar} ${(share * 100).toFixed(0).padStart(3)} %  ${byteSize(done)} of ${byteSize(this.#total)}\u001b[K`,
    );
  }

  [Symbol.dispose](): void {
    if (this.#drawn) process.stderr.write('\r\u001b[K');
  }
}
