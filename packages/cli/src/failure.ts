/** How a command ends when it does not end well: one line on standard error, and a code that scripts can tell apart. */
import { writeSync } from 'node:fs';
import { AssertionFailure } from '@tributary/model';
import { FileError } from '@tributary/ports';

const exitCodes = {
  /** What was asked for could not be done. */
  failed: 1,
  /** What was asked for makes no sense: an unknown option, a bad value. */
  usage: 2,
  /** An invariant of our own broke (sysexits: internal software error). */
  defect: 70,
  /** Interrupted by Ctrl-C: 128 + SIGINT. */
  interrupted: 130,
  /** Whoever read standard output has gone: 128 + SIGPIPE. */
  outputClosed: 141,
} as const;

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Standard output is closed. Nobody reads on, so nothing is said. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError';
  constructor() {
    super('Standard output is closed.');
  }
}

/** The user pressed Ctrl-C, and what was under way has been brought to its end. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/** Says what went wrong, in one line, and with TRIBUTARY_DEBUG=1 also where. @returns the exit code. */
export function report(thrown: unknown): number {
  if (thrown instanceof OutputClosedError) return exitCodes.outputClosed;
  say(sentence(thrown));
  if (process.env['TRIBUTARY_DEBUG'] === '1') writeError(`${trace(thrown)}\n`);
  if (thrown instanceof InterruptedError) return exitCodes.interrupted;
  if (thrown instanceof AssertionFailure) return exitCodes.defect;
  return thrown instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}

/** One line on standard error. */
export function say(message: string): void {
  writeError(`tributary: ${message}\n`);
}

/** As one line without control characters: what a broker sends must not move the cursor of the terminal. */
function sentence(thrown: unknown): string {
  const said = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  const text = thrown instanceof AssertionFailure ? `This is a bug: ${said}. TRIBUTARY_DEBUG=1 shows where.` : said;
  const hint =
    thrown instanceof FileError && thrown.reason === 'locked'
      ? ' Stop the other process first, or use another --data-dir.'
      : '';
  return `${text}${text.includes(hint.trim()) ? '' : hint}`.replace(/[\s\p{Cc}]+/gu, ' ').trim();
}

function trace(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? '' : `\ncaused by ${trace(thrown.cause)}`;
  return `${thrown.stack ?? thrown.message}${cause}`;
}

/** Synchronous, because the process is about to end. */
function writeError(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // There is nobody left to tell.
  }
}
