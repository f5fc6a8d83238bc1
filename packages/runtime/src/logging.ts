import type { Logger } from '@tributary/ports';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogOptions {
  /** Such as "broker". */
  readonly service: string;
  /** Of the node, where it has an id. */
  readonly node?: number;
  readonly level?: LogLevel;
  /** JSON lines for machines, text for people; unless given, text on a terminal. */
  readonly format?: 'json' | 'text';
  /** Takes one line; standard error unless given: standard output belongs to what a user asked for. */
  readonly write?: (line: string) => void;
}

/** One event per line, always with time, level, service, node, event. Loads pino, which is why it is asynchronous. */
export async function createLogger(options: LogOptions): Promise<Logger> {
  const { service, node, level = 'info' } = options;
  const write = options.write ?? writeToStandardError;
  const format = options.format ?? (process.stderr.isTTY ? 'text' : 'json');
  const { pino } = await import('pino');
  const json = pino(
    {
      level,
      base: node === undefined ? { service } : { service, node },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.errWithCause },
    },
    { write: format === 'json' ? write : (line: string) => write(asText(line)) },
  );
  return {
    info: (event, fields) => json.info(plain(fields), event),
    warn: (event, fields) => json.warn(plain(fields), event),
    error: (event, fields) => json.error(plain(fields), event),
  };
}

/** Offsets are bigints, which JSON lacks: they become text, exact. */
function plain(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields))
    result[name] = typeof value === 'bigint' ? value.toString() : value;
  return result;
}

const fixed = new Set(['time', 'level', 'service', 'node', 'event']);

/** 13:45:12.345 WARN broker: disk is nearly full directory=/data free=12 */
function asText(line: string): string {
  const entry: Record<string, unknown> = JSON.parse(line);
  const time = String(entry['time']).slice(11, 23);
  const level = entry['level'] === 'info' ? '' : `${String(entry['level']).toUpperCase()} `;
  const rest = Object.entries(entry).filter(([name]) => !fixed.has(name));
  const fields = rest.map(
    ([name, value]) => ` ${name}=${typeof value === 'string' && /^\S+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  return `${time} ${level}${String(entry['service'])}: ${String(entry['event'])}${fields.join('')}\n`;
}

function writeToStandardError(line: string): void {
  process.stderr.write(line);
}
