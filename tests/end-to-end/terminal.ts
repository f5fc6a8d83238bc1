// Programs on a pseudo-terminal: what somebody at a keyboard would see. Needs python3.

import { spawn } from 'node:child_process';
import path from 'node:path';

export interface TerminalOptions {
  readonly columns?: number;
  /** What is typed: milliseconds to wait before it, and the text. */
  readonly type?: readonly (readonly [number, string])[];
  /** Which output goes into a pipe instead. */
  readonly aside?: 'stdout' | 'stderr';
  readonly env?: Readonly<Record<string, string>>;
  readonly seconds?: number;
}

export interface Shown {
  /** All that the terminal got, escape sequences included. */
  readonly shown: string;
  /** What went into the pipe. */
  readonly aside: string;
  readonly code: number;
}

/** Runs it to its end, or kills it after `seconds`. Colours are decided by the terminal and `env` alone. */
export async function onTerminal(argv: readonly string[], options: TerminalOptions = {}): Promise<Shown> {
  const { columns = 100, env = {}, ...task } = options;
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|NODE_|TRIBUTARY_|INIT_CWD|NO_COLOR|FORCE_COLOR|COLUMNS)/.test(name),
  );
  const child = spawn('python3', [path.join(import.meta.dirname, 'terminal.py')], {
    env: { ...Object.fromEntries(kept), TERM: 'xterm-256color', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify({ argv, columns, ...task }));
  let said = '';
  for await (const chunk of child.stdout) said += String(chunk);
  return JSON.parse(said) as Shown;
}
