/** Checks what is installed, reachable and writable, and says what to do about what is not. Changes nothing that is not asked for. */
import { stat } from 'node:fs/promises';
import { Chain, type Finding, type Outcome } from '../doctor/checks.ts';
import { checkInstalled } from '../doctor/installed.ts';
import { checkWritable } from '../doctor/writable.ts';
import { UsageError } from '../failure.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { StandardOutput } from '../standard-output.ts';
import { coloured } from '../terminal.ts';

interface DoctorOptions extends ConnectionOptions {
  readonly dataDir?: string;
  readonly topic?: string;
  readonly write?: true;
  readonly timeout: number;
  readonly offline?: true;
}

/** Where `tributary dev` keeps its data when it is not told. */
const dataDirDefault = './data';

/** @throws Error counting the failures, after all checks have been printed. */
export async function doctor(options: DoctorOptions): Promise<void> {
  if (options.write === true && options.topic === undefined)
    throw new UsageError('--write needs --topic, to which a record is appended.');
  const printing = new Printing(options.output === 'json');
  const found = (finding: Finding): void => printing.found(finding);
  await checkInstalled(found);
  await printing.flush();
  if (options.offline !== true) {
    const { bootstrap, timeout, topic, write = false } = options;
    // Not before what it needs has been checked: a missing module is a finding, too.
    const module = await new Chain(`reachable ${bootstrap}`, found).hop('client', async () => {
      return { detail: 'loads', value: await import('../doctor/reachable.ts') };
    });
    await module?.checkReachable({ bootstrap, timeoutMs: timeout, topic, write }, found);
    await printing.flush();
  }
  const folder = options.dataDir ?? ((await isFolder(dataDirDefault)) ? dataDirDefault : undefined);
  if (folder !== undefined) await checkWritable(folder, found);
  await printing.end();
}

async function isFolder(folder: string): Promise<boolean> {
  try {
    return (await stat(folder)).isDirectory();
  } catch {
    return false;
  }
}

const marks: Readonly<Record<Outcome, readonly [string, number]>> = {
  ok: ['ok', 32],
  warning: ['warning', 33],
  failed: ['FAILED', 31],
  skipped: ['skipped', 90],
};

class Printing {
  readonly #json: boolean;
  readonly #colour: boolean;
  readonly #output = new StandardOutput();
  readonly #findings: Finding[] = [];
  #group = '';

  constructor(json: boolean) {
    this.#json = json;
    this.#colour = !json && coloured(process.stdout);
  }

  found(finding: Finding): void {
    this.#findings.push(finding);
    if (this.#json) return;
    const { group, check, outcome, detail, advice } = finding;
    if (group !== this.#group) this.#output.writeText(`${this.#group === '' ? '' : '\n'}${this.#paint(group, 36)}\n`);
    this.#group = group;
    const [word, colour] = marks[outcome];
    this.#output.writeText(`  ${this.#paint(word.padEnd(8), colour)} ${check.padEnd(12)} ${oneLine(detail)}\n`);
    if (advice !== '') this.#output.writeText(`           ${' '.repeat(12)}→ ${oneLine(advice)}\n`);
  }

  async flush(): Promise<void> {
    await this.#output.flush();
  }

  async end(): Promise<void> {
    const failed = this.#findings.filter(({ outcome }) => outcome === 'failed');
    if (this.#json) this.#output.writeText(`${JSON.stringify({ ok: failed.length === 0, checks: this.#findings })}\n`);
    await this.#output.flush();
    const [first] = failed;
    if (first === undefined) return;
    throw new Error(
      `${counted(failed.length, 'check')} failed; the first: ${first.group}: ${first.check}: ${first.detail.replace(/\.$/, '')}.`,
    );
  }

  #paint(text: string, colour: number): string {
    return this.#colour ? `\u001b[${colour}m${text}\u001b[39m` : text;
  }
}

const oneLine = (text: string): string => text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
