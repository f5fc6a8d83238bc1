/** What a dump prints: lines for people or JSON objects for programs, and a tally of what is wrong. */
import path from 'node:path';
import { byteSize } from '../figures.ts';
import type { StandardOutput } from '../standard-output.ts';

/** `problem`: corrupt. `note`: worth knowing, and in order. */
export type FindingKind = 'problem' | 'note';

export interface Finding {
  readonly kind: FindingKind;
  readonly file: string;
  /** Byte of the file; undefined: of all of it. */
  readonly position?: number;
  readonly why: string;
}

export type Fields = Readonly<Record<string, unknown>>;

export interface DumpOptions {
  readonly json: boolean;
  /** One line for each batch and index entry. */
  readonly details: boolean;
  readonly records: boolean;
  readonly colour: boolean;
  /** Gives a writer, if there is one, time to go on: a torn tail that grows is being written. */
  readonly awaitWriter: () => Promise<void>;
}

export type DumpOutput = Pick<StandardOutput, 'writeText' | 'full' | 'flush'>;

export class Report {
  readonly options: DumpOptions;
  readonly #output: DumpOutput;
  /** Shared with the quiet ones. */
  #told = { problems: 0 };

  constructor(options: DumpOptions, output: DumpOutput) {
    this.options = options;
    this.#output = output;
  }

  /** @param text for people. @param fields for programs: one object on a line, with bigints as their digits. */
  line(text: string, fields: Fields): void {
    this.#output.writeText(this.options.json ? `${jsonOf(fields)}\n` : `${text}\n`);
  }

  /** For people only: a heading. */
  heading(text: string): void {
    if (!this.options.json) this.#output.writeText(`${this.options.colour ? `\u001b[36m${text}\u001b[39m` : text}\n`);
  }

  finding(finding: Finding): void {
    if (finding.kind === 'problem') this.#told.problems++;
    const place = `${path.basename(finding.file)}${finding.position === undefined ? '' : ` at byte ${finding.position}`}`;
    const text = `${finding.kind === 'problem' ? 'CORRUPT' : 'note'} ${place}: ${finding.why}`;
    const colour = finding.kind === 'problem' ? 31 : 33;
    this.line(this.options.colour ? `\u001b[${colour}m${text}\u001b[39m` : text, {
      what: finding.kind === 'problem' ? 'corrupt' : 'note',
      file: finding.file,
      ...(finding.position === undefined ? {} : { position: finding.position }),
      why: finding.why,
    });
  }

  /** The same report without lines for batches, entries and records: findings and totals only. */
  quiet(): Report {
    const quiet = new Report({ ...this.options, details: false, records: false }, this.#output);
    quiet.#told = this.#told;
    return quiet;
  }

  /** Problems found since there were `before` of them were none: what they are of has changed meanwhile. */
  forgive(before: number): void {
    this.#told.problems = before;
  }

  get problems(): number {
    return this.#told.problems;
  }

  /** Something waits to be written: await {@link flush} before more comes. */
  get isFull(): boolean {
    return this.#output.full;
  }

  async flush(): Promise<void> {
    await this.#output.flush();
  }
}

/** bigints are printed as numbers, every digit. */
function jsonOf(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, each]) => each !== undefined);
    return `{${entries.map(([key, each]) => `${JSON.stringify(key)}:${jsonOf(each)}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/** 1,234 bytes as people read them, with the exact number. */
export const sized = (bytes: number): string =>
  bytes < 1024 ? `${bytes} bytes` : `${byteSize(bytes)} (${bytes} bytes)`;

/** Of a record or batch, ms since 1970. */
export function timeText(ms: number): string {
  const date = new Date(ms);
  return ms < 0 || Number.isNaN(date.getTime()) ? 'none' : date.toISOString();
}
