/** The one form of every benchmark's results: a table for people, JSON for programs. Each figure is a median with its range. */
import { availableParallelism, loadavg } from 'node:os';
import { writeFileSync } from 'node:fs';

/** What one repeat measured, by its title with unit: `{ 'MiB/s': 512 }`. */
export type Figures = Readonly<Record<string, number>>;

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly values: readonly number[];
}

export interface Row {
  readonly name: string;
  readonly figures: Readonly<Record<string, Spread>>;
}

export interface Report {
  readonly benchmark: string;
  readonly rows: readonly Row[];
  readonly notes?: readonly string[];
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1), values };
}

/** @param q in [0, 1]. @param sorted ascending. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Collects what the repeats of the rows measured, in the order in which the rows first came. */
export class Collection {
  readonly #rows = new Map<string, Map<string, number[]>>();

  add(name: string, figures: Figures): void {
    const row = this.#rows.get(name) ?? new Map<string, number[]>();
    this.#rows.set(name, row);
    for (const [title, value] of Object.entries(figures)) {
      const values = row.get(title) ?? [];
      row.set(title, values);
      values.push(value);
    }
  }

  get rows(): readonly Row[] {
    return [...this.#rows].map(([name, figures]) => ({
      name,
      figures: Object.fromEntries([...figures].map(([title, values]) => [title, spread(values)])),
    }));
  }
}

/** @param output what `--output` was given. @param file where the JSON goes as well. */
export function publish(report: Report, output: string, file?: string): void {
  const machine = {
    cores: availableParallelism(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    load: loadavg()[0],
  };
  const json = `${JSON.stringify({ ...report, date: new Date().toISOString(), machine }, undefined, 2)}\n`;
  if (file !== undefined) writeFileSync(file, json);
  if (output === 'json') {
    process.stdout.write(json);
    return;
  }
  if (output !== 'table') throw new Error(`--output ${output}: it is table or json`);
  process.stdout.write(
    `${report.benchmark}: ${machine.cores} cores, Node ${machine.node}, load ${machine.load?.toFixed(1)}\n`,
  );
  process.stdout.write(table(report.rows));
  for (const note of report.notes ?? []) process.stdout.write(`${note}\n`);
}

/** Columns are all titles that occur; a Markdown table, so that it can go into a page as it stands. */
export function table(rows: readonly Row[]): string {
  const titles = [...new Set(rows.flatMap((row) => Object.keys(row.figures)))];
  const lines = [['', ...titles], ...rows.map((row) => [row.name, ...titles.map((title) => cell(row.figures[title]))])];
  const widths = lines[0]?.map((_, column) => Math.max(3, ...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  const drawn = lines.map(
    (line) =>
      `| ${line.map((text, column) => (column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0))).join(' | ')} |`,
  );
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return `${[drawn[0], rule, ...drawn.slice(1)].join('\n')}\n`;
}

function cell(figure: Spread | undefined): string {
  if (figure === undefined) return '';
  const { median, min, max, values } = figure;
  return values.length === 1 ? number(median) : `${number(median)} [${number(min)}–${number(max)}]`;
}

/** Three digits or more. */
function number(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 }).format(value);
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
