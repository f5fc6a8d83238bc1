/**
 * Avro's logical types as values: exact text in the forms of ISO 8601, so that a program, a JSON line and a terminal show the same, and nothing
 * of a microsecond or of a decimal's last digit is lost.
 */

/** What the bytes of the underlying type hold: int, long, bytes or fixed, string. */
export type Raw = number | bigint | Uint8Array | string;

export interface LogicalForm {
  /** Equal for types whose values are the same. */
  readonly key: string;
  /** Values of one family differ in their precision only. */
  readonly family: string;
  /** What a value looks like, for sentences. */
  readonly what: string;
  /** @throws RangeError saying why these bytes are no value. */
  fromRaw(raw: Raw): unknown;
  /** @throws RangeError saying what was expected. */
  toRaw(value: unknown): Raw;
}

interface LogicalSchema {
  readonly type?: unknown;
  readonly logicalType?: unknown;
  readonly precision?: unknown;
  readonly scale?: unknown;
  readonly size?: unknown;
}

/** @returns undefined where the specification says that the annotation is to be ignored: it is unknown, or does not fit its type. */
export function logicalForm(schema: LogicalSchema): LogicalForm | undefined {
  const { type, logicalType } = schema;
  switch (`${String(logicalType)} ${String(type)}`) {
    case 'decimal bytes':
    case 'decimal fixed':
      return decimal(schema);
    case 'uuid string':
      return uuidText;
    case 'uuid fixed':
      return schema.size === 16 ? uuidBytes : undefined;
    case 'duration fixed':
      return schema.size === 12 ? duration : undefined;
    case 'date int':
      return date;
    case 'time-millis int':
      return timeOfDay(3, 'number');
    case 'time-micros long':
      return timeOfDay(6, 'bigint');
    default:
      return type === 'long' ? moment(String(logicalType)) : undefined;
  }
}

const secondsOfDay = 86_400;
/** Of a Date, either side of 1970. */
const secondsMost = 8_640_000_000_000n;

const textOf = (value: unknown, what: string): string => {
  if (typeof value === 'string') return value;
  throw new RangeError(`${what} is expected`);
};

function moment(name: string): LogicalForm | undefined {
  const digits = { millis: 3, micros: 6, nanos: 9 }[name.slice(name.lastIndexOf('-') + 1)];
  const family = name.slice(0, name.lastIndexOf('-'));
  if (digits === undefined || (family !== 'timestamp' && family !== 'local-timestamp')) return undefined;
  const zone = family === 'timestamp' ? 'Z' : '';
  const what = `a time such as "2026-01-31T12:00:00.${'0'.repeat(digits)}${zone}"${zone === '' ? ' without a zone' : ''}`;
  const scale = 10n ** BigInt(digits);
  // A value is read twice: when it is checked, and when it is written.
  let last: { readonly text: string; readonly raw: bigint } | undefined;
  return {
    key: name,
    family,
    what,
    fromRaw: (raw) => {
      const units = raw as bigint;
      const fraction = ((units % scale) + scale) % scale;
      const seconds = (units - fraction) / scale;
      if (seconds > secondsMost || seconds < -secondsMost) throw new RangeError(`${units} lies beyond the calendar`);
      const text = new Date(Number(seconds) * 1000).toISOString().slice(0, -5);
      return `${text}.${String(fraction).padStart(digits, '0')}${zone}`;
    },
    toRaw: (value) => {
      if (value instanceof Date && zone === 'Z' && Number.isFinite(value.getTime()))
        return (BigInt(value.getTime()) * scale) / 1000n;
      const text = textOf(value, what);
      if (text !== last?.text) last = { text, raw: momentOf(text, digits, zone === 'Z', what) };
      return last.raw;
    },
  };
}

const momentPattern =
  /^((?:[+-]\d{2})?\d{4}-(\d{2})-(\d{2}))T(\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})?$/;

/** @throws RangeError. */
function momentOf(text: string, digits: number, isZoned: boolean, what: string): bigint {
  const match = momentPattern.exec(text);
  if (match === null || (match[6] !== undefined) !== isZoned) throw new RangeError(`${what} is expected`);
  const [, day = '', , , clock = '', fraction = '', offset = 'Z'] = match;
  const seconds = Date.parse(`${day}T${clock.length === 5 ? `${clock}:00` : clock}${offset}`) / 1000;
  // JavaScript takes 24:00:00 and, in some engines, the 30th of February.
  if (Number.isNaN(seconds) || clock.startsWith('24') || !isDayOfMonth(day, Number(match[3])))
    throw new RangeError(`${what} is expected`);
  return BigInt(seconds) * 10n ** BigInt(digits) + fractionOf(fraction, digits);
}

function isDayOfMonth(day: string, number: number): boolean {
  return number <= 28 || new Date(`${day}T00:00:00Z`).getUTCDate() === number;
}

function timeOfDay(digits: number, raw: 'number' | 'bigint'): LogicalForm {
  const what = `a time of day such as "12:00:00.${'0'.repeat(digits)}"`;
  const scale = 10n ** BigInt(digits);
  return {
    key: `time ${digits}`,
    family: 'time',
    what,
    fromRaw: (stored) => {
      const units = BigInt(stored as number | bigint);
      const seconds = Number(units / scale);
      if (units < 0n || seconds >= secondsOfDay) throw new RangeError(`${units} lies beyond the day`);
      const clock = new Date(seconds * 1000).toISOString().slice(11, 19);
      return `${clock}.${String(units % scale).padStart(digits, '0')}`;
    },
    toRaw: (value) => {
      const match = /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,9}))?)?$/.exec(textOf(value, what));
      if (match === null) throw new RangeError(`${what} is expected`);
      const seconds = Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3] ?? 0);
      const units = BigInt(seconds) * scale + fractionOf(match[4] ?? '', digits);
      return raw === 'number' ? Number(units) : units;
    },
  };
}

/** @throws RangeError when it is finer than the type. */
function fractionOf(text: string, digits: number): bigint {
  if (/[1-9]/.test(text.slice(digits))) throw new RangeError(`at most ${digits} digits of a second are expected`);
  return BigInt(text.slice(0, digits).padEnd(digits, '0'));
}

const date: LogicalForm = {
  key: 'date',
  family: 'date',
  what: 'a date such as "2026-01-31"',
  fromRaw: (raw) => {
    const day = new Date((raw as number) * secondsOfDay * 1000);
    if (Number.isNaN(day.getTime())) throw new RangeError(`day ${String(raw)} lies beyond the calendar`);
    return day.toISOString().slice(0, -14);
  },
  toRaw: (value) => {
    const text = value instanceof Date && Number.isFinite(value.getTime()) ? value.toISOString().slice(0, -14) : value;
    const ms = typeof text === 'string' && /^([+-]\d{2})?\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, -14) !== text)
      throw new RangeError('a date such as "2026-01-31" is expected');
    return ms / (secondsOfDay * 1000);
  },
};

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const uuidWhat = 'a UUID such as "123e4567-e89b-12d3-a456-426614174000"';

function uuidOf(value: unknown): string {
  if (typeof value !== 'string' || !uuidPattern.test(value)) throw new RangeError(`${uuidWhat} is expected`);
  return value;
}

const uuidText: LogicalForm = {
  key: 'uuid',
  family: 'uuid',
  what: uuidWhat,
  // What others wrote is handed out as it is: the annotation promises nothing about bytes that are there.
  fromRaw: (raw) => raw,
  toRaw: uuidOf,
};

const uuidBytes: LogicalForm = {
  key: 'uuid',
  family: 'uuid',
  what: uuidWhat,
  fromRaw: (raw) =>
    Array.from(raw as Uint8Array, (byte) => byte.toString(16).padStart(2, '0'))
      .join('')
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
  toRaw: (value) =>
    Uint8Array.from(uuidOf(value).replaceAll('-', '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
};

/** Avro's duration: three counts that are not to be turned into each other. */
export interface AvroDuration {
  readonly months: number;
  readonly days: number;
  readonly milliseconds: number;
}

const durationParts = ['months', 'days', 'milliseconds'] as const;

const duration: LogicalForm = {
  key: 'duration',
  family: 'duration',
  what: '{"months", "days", "milliseconds"}, each a whole number of 32 bits without sign',
  fromRaw: (raw) => {
    const bytes = raw as Uint8Array;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return {
      months: view.getUint32(0, true),
      days: view.getUint32(4, true),
      milliseconds: view.getUint32(8, true),
    } satisfies AvroDuration;
  },
  toRaw: (value) => {
    const parts = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
    const bytes = new Uint8Array(12);
    for (const [index, name] of durationParts.entries()) {
      const part = parts[name];
      if (typeof part !== 'number' || part !== part >>> 0 || Object.keys(parts).length !== durationParts.length)
        throw new RangeError(`${duration.what} is expected`);
      new DataView(bytes.buffer).setUint32(index * 4, part, true);
    }
    return bytes;
  },
};

function decimal(schema: LogicalSchema): LogicalForm | undefined {
  const precision = schema.precision;
  const scale = schema.scale ?? 0;
  if (typeof precision !== 'number' || typeof scale !== 'number') return undefined;
  if (!Number.isInteger(precision) || precision < 1 || !Number.isInteger(scale) || scale < 0 || scale > precision)
    return undefined;
  const size = schema.type === 'fixed' && typeof schema.size === 'number' ? schema.size : undefined;
  const what = `a decimal such as "${scale === 0 ? '12' : `12.${'0'.repeat(scale)}`}" with at most ${precision} digits, ${scale} of them behind the point`;
  return {
    key: `decimal ${precision} ${scale}`,
    family: `decimal ${precision} ${scale}`,
    what,
    fromRaw: (raw) => decimalText(fromTwosComplement(raw as Uint8Array), scale),
    toRaw: (value) => {
      const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(textOf(value, what));
      const fraction = match?.[3] ?? '';
      if (match === null || /[1-9]/.test(fraction.slice(scale))) throw new RangeError(`${what} is expected`);
      const digits = `${match[2]}${fraction.slice(0, scale).padEnd(scale, '0')}`.replace(/^0+(?=\d)/, '');
      if (digits.length > precision) throw new RangeError(`${what} is expected`);
      return toTwosComplement(match[1] === '-' ? -BigInt(digits) : BigInt(digits), size);
    },
  };
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, point)}${scale === 0 ? '' : `.${digits.slice(point)}`}`;
}

/** Big-endian. */
function fromTwosComplement(bytes: Uint8Array): bigint {
  if (bytes.length === 0) throw new RangeError('a decimal of no bytes has no value');
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`));
}

/** @param size of a fixed; undefined: the fewest bytes that hold it. */
function toTwosComplement(value: bigint, size: number | undefined): Uint8Array {
  let least = 1;
  while (BigInt.asIntN(least * 8, value) !== value) least++;
  if (size !== undefined && size < least) throw new RangeError(`a decimal that fits into ${size} bytes is expected`);
  const bytes = new Uint8Array(size ?? least);
  let rest = value;
  for (let at = bytes.length - 1; at >= 0; at--) {
    bytes[at] = Number(BigInt.asUintN(8, rest));
    rest >>= 8n;
  }
  return bytes;
}
