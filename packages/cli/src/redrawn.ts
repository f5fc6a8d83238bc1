/** A text on the terminal that is drawn again over itself. */
import { print } from './standard-output.ts';

interface Terminal {
  readonly isTTY?: boolean;
  readonly rows?: number;
}

export const isDrawable = (output: Terminal): boolean => output.isTTY === true && process.env['TERM'] !== 'dumb';

/** Of a terminal that does not say. */
const usualRows = 24;

export class Redrawn {
  /** Lines that stand above the cursor. */
  #lines = 0;

  async draw(text: string): Promise<void> {
    const room = Math.max((process.stdout.rows || usualRows) - 2, 1);
    const lines = text.trimEnd().split('\n');
    // What has left the screen at the top cannot be drawn over.
    const shown =
      lines.length > room ? [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`] : lines;
    const up = this.#lines > 0 ? `\u001b[${this.#lines}F` : '';
    // In one write, so that nothing is seen half drawn.
    await print(`${up}\u001b[J${shown.join('\n')}\n`);
    this.#lines = shown.length;
  }
}
