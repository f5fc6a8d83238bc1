/** Drives every call of a server with mutated messages, several at a time, and says what a caller must never be told. */
import type { Codec } from '@tributary/ports';
import { ErrorCode, methods } from '@tributary/wire';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { mutate, type Pick } from './mutate.ts';
import { frame, type RawAnswer, type RawCall, RawClient } from './raw-call.ts';
import type { Seeds } from './seeds.ts';

/** gRPC statuses that say "the server has a bug": nothing that a client sends may bring them about. */
const bugs: readonly number[] = [2, 13];
const cancelled = 1;

export interface Finding {
  readonly call: number;
  readonly path: string;
  readonly what: string;
  /** The body, to see it again. */
  readonly body: string;
}

export interface Outcome {
  readonly findings: readonly Finding[];
  /** How often each call ended how: `Publish 3`. */
  readonly endings: ReadonlyMap<string, number>;
}

interface Target {
  readonly path: string;
  readonly request: Codec<unknown>;
  readonly response: Codec<unknown>;
  readonly message: unknown;
}

/** @param seed names the run: the same one sends the same bytes. */
export async function drive(address: string, seeds: Seeds, seed: string, calls: number): Promise<Outcome> {
  const random = new SeededRandom(seed);
  const findings: Finding[] = [];
  const endings = new Map<string, number>();
  const targets = Object.entries(methods).map(([name, method]): Target => {
    const { path, request, response } = method as unknown as Target;
    return { path, request, response, message: seeds[name as keyof Seeds] };
  });
  let next = 0;
  const worker = async (): Promise<void> => {
    let client = new RawClient(address);
    while (next < calls) {
      const call = next++;
      const pick: Pick = (
        (chance) => (below) =>
          chance.nextU32() % below
      )(random.stream(String(call)));
      const target = targets[call % targets.length];
      if (target === undefined) break;
      const raw = callOf(target, pick);
      const answer = await client.call(raw);
      const what = complaint(target, answer);
      const ending = `${target.path.split('/').at(-1)} ${answer.status ?? 'none'}`;
      endings.set(ending, (endings.get(ending) ?? 0) + 1);
      if (what !== undefined)
        findings.push({ call, path: target.path, what, body: Buffer.concat(raw.body).toString('hex').slice(0, 400) });
      // A connection that the server has given up is no finding: it may end what breaks the protocol.
      if (client.failure !== undefined) {
        client[Symbol.dispose]();
        client = new RawClient(address);
      }
    }
    client[Symbol.dispose]();
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return { findings, endings };
}

function callOf({ path, request, message }: Target, pick: Pick): RawCall {
  const bytes = mutate(request.encode(message), pick);
  const isStream = /Produce$|Fetch$|Subscribe$/.test(path);
  const again = isStream && pick(2) === 0 ? [frame(mutate(request.encode(message), pick))] : [];
  const call = { path, body: [framed(bytes, pick), ...again], lingerMs: isStream ? 20 : 0 };
  switch (pick(20)) {
    case 0:
      return { ...call, headers: { 'grpc-timeout': '0n' } };
    case 1:
      return { ...call, headers: { 'grpc-timeout': 'soon' } };
    case 2:
      return { ...call, headers: { 'x-large': 'x'.repeat(8_000) } };
    default:
      return { ...call, headers: { 'grpc-timeout': isStream ? '300m' : '5S' } };
  }
}

/** Usually a right frame. */
function framed(bytes: Uint8Array, pick: Pick): Uint8Array {
  switch (pick(40)) {
    case 0:
      return frame(bytes, 1);
    case 1:
      return frame(bytes, 7);
    case 2:
      return frame(bytes, 0, bytes.length + 1 + pick(1_000));
    case 3:
      return frame(bytes, 0, 0xffff_ffff);
    case 4:
      return frame(bytes, 0, Math.max(0, bytes.length - 1));
    default:
      return frame(bytes);
  }
}

/** What is wrong with how the server took it; undefined: nothing. */
function complaint({ response }: Target, answer: RawAnswer): string | undefined {
  const { status, errorCode, message } = answer;
  if (status === undefined) return answer.reset === undefined ? 'the call ended without a status' : undefined;
  if (bugs.includes(status)) return `status ${status}: ${message}`;
  if (status !== 0 && status !== cancelled && (errorCode === undefined || message === ''))
    return `status ${status} without a typed detail: ${message}`;
  for (const bytes of answer.messages)
    if (blames(response.decode(bytes))) return 'a part of the answer says UNKNOWN_SERVER_ERROR';
  return undefined;
}

function blames(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  if ('errorCode' in value && value.errorCode === ErrorCode.UNKNOWN_SERVER_ERROR) return true;
  return Object.values(value).some(blames);
}
