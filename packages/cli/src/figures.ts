/** Numbers as people read them. */

const thousands = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** 1,234,567 */
export function count(value: number | bigint): string {
  return thousands.format(value);
}

/** "1 record", "2 records" */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** 12.3 MiB */
export function byteSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? count(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** 1.23 s */
export function duration(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** Per second; of an instant, what it would be in one millisecond. */
export function perSecond(amount: number, ms: number): number {
  return (amount / Math.max(ms, 1)) * 1000;
}

export function mebibytes(bytes: number): number {
  return bytes / (1024 * 1024);
}
