/** From start to exit: signals, the order of closing, and what is said when it goes wrong. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { AssertionFailure, limits, TributaryError } from '@tributary/model';
import { FileError, MetadataStoreError } from '@tributary/ports';
import { crashExitCode } from './node-host.ts';

/** A refusal that the user or operator can mend: the sentence on standard error says how. */
const refusedExitCode = 1;

/**
 * Threads of libuv's pool: all syncs at once may wait for the disk, and cold reads need not wait behind them (ADR 1). libuv looks at it when
 * the pool is first used: a process may set it for itself as long as it has asked nothing asynchronous of the disk, and imports ask nothing.
 */
const threads = String(limits.syncsInFlight + 16);

/**
 * Runs a program until it returns. To be called before anything asynchronous: it also sets how many threads wait for the disk. SIGTERM or SIGINT abort `stop`; a second one ends the process at once. When the program has returned or
 * thrown, everything in `resources` is closed in the reverse order. Operating errors are one line on standard error and exit code 1; a broken
 * invariant, or an error that nobody handled, is its stack and exit code 70.
 * @param name before each line on standard error.
 */
export async function runProcess(
  name: string,
  program: (stop: AbortSignal, resources: AsyncDisposableStack) => Promise<void>,
): Promise<void> {
  process.env['UV_THREADPOOL_SIZE'] ??= threads;
  const stop = new AbortController();
  const fail = (thrown: unknown): never => {
    lastWords(name, thrown);
    process.exit(exitCodeOf(thrown));
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(128 + constants.signals[signal]);
      stop.abort(new TributaryError('BROKER_NOT_AVAILABLE', `${name} was asked to stop by ${signal}.`));
    });
  }
  let exitCode = 0;
  try {
    await using resources = new AsyncDisposableStack();
    await program(stop.signal, resources);
  } catch (thrown) {
    lastWords(name, thrown);
    exitCode = exitCodeOf(thrown);
  }
  process.exitCode = exitCode;
  // With everything closed the process ends by itself; a handle that somebody forgot must not keep it.
  setTimeout(() => process.exit(exitCode), limits.closeGraceMs).unref();
}

/** For programs that serve until they are told to stop. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * A reader that closes standard output early, as `head` does, is not a defect of the program: one line on standard error and exit code 1,
 * once `tidy` has run.
 */
export function endWhenOutputCloses(name: string, tidy: () => Promise<void> = async () => undefined): void {
  process.stdout.on('error', (failure: NodeJS.ErrnoException) => {
    say(`${name}: standard output was closed (${failure.code ?? failure.message}).\n`);
    const end = (): never => process.exit(refusedExitCode);
    tidy().then(end, end);
  });
}

function exitCodeOf(thrown: unknown): number {
  return isOperating(thrown) ? refusedExitCode : crashExitCode;
}

function isOperating(thrown: unknown): thrown is Error {
  return thrown instanceof TributaryError || thrown instanceof FileError || thrown instanceof MetadataStoreError;
}

function lastWords(name: string, thrown: unknown): void {
  if (isOperating(thrown)) say(`${name}: ${thrown.message}\n`);
  else if (thrown instanceof AssertionFailure) say(`${name}: an invariant broke, this is a bug: ${thrown.stack}\n`);
  else say(`${name}: unexpected error: ${thrown instanceof Error ? thrown.stack : String(thrown)}\n`);
}

function say(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // Standard error is closed: there is nobody left to tell.
  }
}
