/** Prints what lies in files of a data directory, and says what is corrupt and where. Reads only: a broker may be using them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TributaryError } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { counted } from '../figures.ts';
import { dumpFile, kindOfPath } from '../log-dump/files.ts';
import { dumpFolder } from '../log-dump/folders.ts';
import { Report } from '../log-dump/report.ts';
import type { OutputOption } from '../program/options.ts';
import { StandardOutput } from '../standard-output.ts';
import { coloured } from '../terminal.ts';

interface LogDumpOptions extends OutputOption {
  readonly batches?: true;
  readonly records?: true;
}

/** A broker that is writing has written on by then. */
const writerMs = 300;

/** @throws Error naming how many problems there are, after they have been printed; FileError when a file cannot be read. */
export async function logDump(targets: readonly string[], options: LogDumpOptions): Promise<void> {
  const output = new StandardOutput();
  const json = options.output === 'json';
  let problems = 0;
  for (const target of targets) {
    const isFolder = (await kindOfPath(target)) === 'folder';
    const report = new Report(
      {
        json,
        details: options.batches === true || options.records === true || !isFolder,
        records: options.records === true,
        colour: !json && coloured(process.stdout),
        awaitWriter: () => sleep(writerMs),
      },
      output,
    );
    try {
      if (isFolder) await dumpFolder(target.replace(/(?<=.)\/+$/, ''), report);
      else await dumpFile(target, report);
    } catch (thrown) {
      await output.flush();
      throw named(target, thrown);
    }
    problems += report.problems;
    await output.flush();
  }
  if (problems > 0)
    throw new Error(`${counted(problems, 'problem')} found; see the lines marked ${json ? '"corrupt"' : 'CORRUPT'}.`);
}

/** A file that went away while it was being looked at, or that the system refuses. */
function named(target: string, thrown: unknown): unknown {
  if (thrown instanceof FileError && thrown.reason === 'absent')
    return new Error(`"${target}" changed while it was being read: ${thrown.message} Try again.`, { cause: thrown });
  return thrown instanceof TributaryError || thrown instanceof Error ? thrown : new Error(String(thrown));
}
