/** What options accept. A refused value is named together with what is allowed. */
import { InvalidArgumentError } from 'commander';

/** @param most default: the largest exact number. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const allowed =
    most === Number.MAX_SAFE_INTEGER ? `a whole number ≥ ${least}` : `a whole number from ${least} to ${most}`;
  return (text) => {
    const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) throw new InvalidArgumentError(`Allowed is ${allowed}.`);
    return value;
  };
}

/** The largest number that the protocol has room for where it counts partitions, replicas and brokers. */
export const int32Most = 2_147_483_647;
const offsetMost = 9_223_372_036_854_775_807n;

export function offsetNumber(text: string): bigint {
  const value = exactOffset(text);
  if (value === undefined) throw new InvalidArgumentError(`Allowed is a whole number from 0 to ${offsetMost}.`);
  return value;
}

function exactOffset(text: string): bigint | undefined {
  const value = /^\d{1,19}$/.test(text) ? BigInt(text) : -1n;
  return value < 0n || value > offsetMost ? undefined : value;
}

/** So many offsets on, or back. */
export function shift(text: string): bigint {
  if (!/^[+-]?\d{1,18}$/.test(text))
    throw new InvalidArgumentError('Allowed is a whole number, for example -100 or 100.');
  return BigInt(text.replace(/^\+/, ''));
}

/** An offset, or the end. */
export function offsetOrEnd(text: string): bigint | 'end' {
  if (text === 'end') return text;
  const value = exactOffset(text);
  if (value === undefined) throw new InvalidArgumentError(`Allowed is a whole number from 0 to ${offsetMost}, or end.`);
  return value;
}

/** Milliseconds since 1970, or a date and time that says its zone. */
export function timestamp(text: string): number {
  if (/^\d{1,16}$/.test(text)) return Number(text);
  const isDate = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const ms = isDate ? Date.parse(text) : Number.NaN;
  if (!(ms >= 0))
    throw new InvalidArgumentError('Allowed are milliseconds since 1970, or a time such as 2026-01-31T12:00:00Z.');
  return ms;
}

export function nodeNumber(text: string): number {
  return wholeNumber(0, int32Most)(text);
}

/** Collects names. */
export function names(text: string, before: readonly string[] = []): readonly string[] {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  return [...before, text];
}

/** Collects names, each once. */
export function distinctNames(text: string, before: readonly string[] = []): readonly string[] {
  return before.includes(text) ? before : names(text, before);
}

/** Collects numbers of partitions, each once. */
export function partitionNumbers(text: string, before: readonly number[] = []): readonly number[] {
  const partition = wholeNumber(0, int32Most)(text);
  return before.includes(partition) ? before : [...before, partition];
}

/** Collects `key=value`, given once for each key. */
export function keyValue(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Allowed is key=value, for example retention.ms=3600000.');
  const key = text.slice(0, at);
  if (Object.hasOwn(before, key)) throw new InvalidArgumentError(`${key} is given twice.`);
  return { ...before, [key]: text.slice(at + 1) };
}

/** Text in which \t, \n, \r, \0, \\ and \xHH stand for what they do elsewhere. */
export function escapedText(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  return unescaped(text);
}

export function unescaped(text: string): string {
  const plain: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', 0: '\0', '\\': '\\' };
  return text.replace(/\\(x[0-9a-fA-F]{2}|[tnr0\\])/g, (_whole, code: string) =>
    code.startsWith('x') ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (plain[code] ?? ''),
  );
}

/** `0`, `1` or `all`, as the client has them. */
export type AcksOption = 0 | 1 | 'all';

export function acks(text: string): AcksOption {
  if (text === 'all' || text === '-1') return 'all';
  if (text === '0') return 0;
  if (text === '1') return 1;
  throw new InvalidArgumentError('Allowed is 0, 1 or all.');
}
