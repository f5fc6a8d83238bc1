/** Tables: with lines and colours on a terminal, plain columns in a pipe. */
import Table from 'cli-table3';

const plainChars = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** @returns text that ends in a newline. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const fancy = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
  const drawn = new Table({
    head: [...head],
    style: fancy
      ? { head: ['cyan'], border: ['grey'], compact: true }
      : { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    ...(fancy ? {} : { chars: plainChars }),
  });
  for (const row of rows) drawn.push(row.map(String));
  return `${drawn
    .toString()
    .split('\n')
    .map((line) => (fancy ? line : line.trimEnd()))
    .join('\n')}\n`;
}
