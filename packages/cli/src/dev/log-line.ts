/** What the parts of `tributary dev` have to say, on standard error: a line each, for people; as JSON where it is not a terminal. */
import type { Logger } from '@tributary/ports';

type Level = 'info' | 'warn' | 'error';

export function devLogger(): Logger {
  const pretty = process.stderr.isTTY === true;
  const line = (level: Level, event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    const time = new Date().toISOString();
    const rest = { ...fields };
    if (pretty) {
      const details = Object.entries(rest).map(([name, value]) => `${name}=${typeof value === 'string' ? value : json(value)}`);
      process.stderr.write(`${time.slice(11, 23)} ${level.padEnd(5)} ${[event, ...details].join('  ')}\n`);
    } else {
      process.stderr.write(`${json({ level, time, service: 'dev', event, ...rest })}\n`);
    }
  };
  return {
    info: (event, fields) => line('info', event, fields),
    warn: (event, fields) => line('warn', event, fields),
    error: (event, fields) => line('error', event, fields),
  };
}

function json(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? Number(each) : each));
}
