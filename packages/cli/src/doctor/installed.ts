/** Node, and the native code that the command and a broker need: loaded here and not above, so that what is missing is a finding. */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { Compression } from '@tributary/record';
import { byteSize } from '../figures.ts';
import { Chain, type Finding, type Verdict } from './checks.ts';

const nodeMajorLeast = 24;
/** Of nine digits: the check value that CRC32C's catalogue gives. */
const crcOfDigits = 0xe3069283;
/** Open files that a broker of a thousand partitions may want. */
const openFilesAdvised = 65_536;

export async function checkInstalled(found: (finding: Finding) => void): Promise<void> {
  const chain = new Chain('installed', found);
  await chain.hop('node', async () => nodeVersion(), false);
  await chain.hop('crc32c', () => checksum(), false);
  for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) await chain.hop(codec, () => roundTrip(codec), false);
  await chain.hop(
    'grpc',
    async () => {
      await import('@tributary/runtime');
      return { detail: 'loads' };
    },
    false,
  );
  await chain.hop(
    'file locks',
    async () => {
      await import('node:sqlite');
      return { detail: 'node:sqlite loads' };
    },
    false,
  );
  await chain.hop('open files', async () => openFiles(), false);
  await chain.hop(
    'memory',
    async () => ({
      detail: `${byteSize(Math.min(process.constrainedMemory() || totalmem(), totalmem()))} for this process`,
    }),
    false,
  );
}

function nodeVersion(): Verdict {
  const detail = `${process.version} on ${process.platform} ${process.arch}`;
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= nodeMajorLeast) return { detail };
  return {
    outcome: 'failed',
    detail,
    advice: `Install Node ${nodeMajorLeast} or newer (26 is what Tributary is made for).`,
  };
}

async function checksum(): Promise<Verdict> {
  const { crc32c } = await import('@tributary/record');
  const sum = crc32c(Buffer.from('123456789'));
  if (sum === crcOfDigits) return { detail: 'native, sums right' };
  return {
    outcome: 'failed',
    detail: `sums 0x${sum.toString(16)} instead of 0x${crcOfDigits.toString(16)}`,
    advice: 'Install the package again: npm install.',
  };
}

async function roundTrip(codec: Compression): Promise<Verdict> {
  const { compress, decompress } = await import('@tributary/record');
  const bytes = Buffer.alloc(10_000, 'tributary ');
  if (Buffer.from(decompress(codec, compress(codec, bytes))).equals(bytes)) return { detail: 'works' };
  return {
    outcome: 'failed',
    detail: 'does not give back what it was given',
    advice: 'Install the package again: npm install.',
  };
}

function openFiles(): Verdict {
  const limit = softLimit();
  if (limit === undefined) return { detail: 'the system does not tell the limit' };
  if (limit >= openFilesAdvised) return { detail: `up to ${limit}` };
  return {
    outcome: 'warning',
    detail: `up to ${limit}`,
    advice: `Enough for a client; raise it for a broker of many partitions: ulimit -n ${openFilesAdvised} (systemd: LimitNOFILE=).`,
  };
}

/** Linux only. */
function softLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return undefined;
  }
}
