/** Tables: with lines and colours on a terminal and no wider than it, plain columns in a pipe. */
import Table from 'cli-table3';
import { coloured, widthOf } from './terminal.ts';
import { wrapped } from './wrapping.ts';

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

/** A column is not made narrower than this to fit the terminal. */
const columnLeast = 6;
/** On either side of a cell, and the line behind it. */
const framePerColumn = 3;

/** @returns text that ends in a newline. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map(String));
  const width = widthOf(process.stdout);
  const widths = width === undefined ? undefined : fitted([head, ...cells], width);
  const paint = (text: string): string => (coloured(process.stdout) ? `\u001b[36m${text}\u001b[39m` : text);
  const wrap = (row: readonly string[]): string[] =>
    widths === undefined ? [...row] : row.map((cell, index) => wrapped(cell, widths[index] ?? cell.length));
  const drawn = new Table({
    head: wrap(head).map((cell) => cell.split('\n').map(paint).join('\n')),
    style:
      widths === undefined
        ? { head: [], border: [], 'padding-left': 0, 'padding-right': 0 }
        : { head: [], border: [], compact: true },
    ...(widths === undefined ? { chars: plainChars } : {}),
  });
  for (const row of cells) drawn.push(wrap(row));
  return `${drawn
    .toString()
    .split('\n')
    .map((line) => (widths === undefined ? line.trimEnd() : line))
    .join('\n')}\n`;
}

/** Widths of the columns so that all fit, taken from the widest first. undefined: the terminal is too narrow for a table with lines. */
function fitted(rows: readonly (readonly string[])[], width: number): readonly number[] | undefined {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(1, ...rows.map((row) => lengthOf(row[index] ?? ''))));
  const room = width - 1 - widths.length * framePerColumn;
  for (;;) {
    const excess = widths.reduce((sum, each) => sum + each, 0) - room;
    if (excess <= 0) return widths;
    const widest = widths.indexOf(Math.max(...widths));
    const rest = widths.filter((_, index) => index !== widest);
    const narrower = Math.max((widths[widest] ?? 0) - excess, Math.max(columnLeast, ...rest) - 1, columnLeast);
    if (narrower >= (widths[widest] ?? 0)) return undefined;
    widths[widest] = narrower;
  }
}

const lengthOf = (text: string): number => Math.max(...text.split('\n').map((line) => Array.from(line).length));
