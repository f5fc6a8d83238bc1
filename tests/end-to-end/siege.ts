// A canary beside flooders: what it measures, and what the broker's process takes meanwhile.

import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { connect, serializers } from '@tributary/client';
import type { DevProcess } from './dev-process.ts';

export interface Siege {
  readonly idle: number;
  readonly readers: number;
  readonly writers: number;
  /** Of each kind, one after the other. */
  readonly phases: number;
  readonly phaseMs: number;
}

export interface SiegeReport {
  /** Of the broker's process, with its idle connections and after a while of work. */
  readonly restBytes: number;
  readonly mostBytes: number;
  /** Median over the phases, ms. */
  readonly quietP99Ms: number;
  readonly attackedP99Ms: number;
  readonly answeredUnderAttack: number;
  /** Calls and requests that the broker refused for want of room. */
  readonly refused: number;
  readonly text: string;
}

const mebibyte = 1024 * 1024;
const pageBytes = 4096;

class Flooders implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(args: readonly string[]) {
    this.#child = spawn(process.execPath, [path.join(import.meta.dirname, 'flooders.ts'), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('flooders have no output');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async heard(): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the flooders have ended');
    return line.value;
  }

  async toggle(): Promise<string> {
    this.#child.stdin?.write('\n');
    return await this.heard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }
}

function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * pageBytes;
}

/** Of the broker's metrics. */
async function refusedSoFar(dev: DevProcess): Promise<number> {
  const text = await (await fetch(`${dev.http}/metrics`)).text();
  const found = [...text.matchAll(/^tributary_resource_refused_total\{[^}]*\} (\d+)/gm)];
  return found.reduce((sum, [, count]) => sum + Number(count), 0);
}

const p99 = (times: number[]): number => times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? Number.NaN;
const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

export async function besieged(dev: DevProcess, siege: Siege): Promise<SiegeReport> {
  const pid = dev.pid ?? 0;
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  const { id: topicId } = await cluster.admin.createTopic({ name: 'large' });
  await cluster.admin.createTopic({ name: 'canary' });
  const epoch = (await cluster.admin.describeTopic('large')).partitionDescriptions[0]?.leaderEpoch ?? 0;
  await using producer = cluster.producer();
  for (let i = 0; i < 32; i++) await producer.send({ topic: 'large', value: Buffer.alloc(mebibyte - 1_000, i) });
  await using consumer = cluster.consumer({ valueDeserializer: serializers.string });
  await consumer.assign([{ topic: 'canary', offset: 'end' }]);
  const records = consumer[Symbol.asyncIterator]();
  const roundTrips = async (ms: number): Promise<number[]> => {
    const times: number[] = [];
    for (const until = performance.now() + ms; performance.now() < until; ) {
      const began = performance.now();
      await producer.send({ topic: 'canary', value: `${began}` });
      await records.next();
      times.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return times;
  };
  const counts = [siege.idle, siege.readers, siege.writers].map(String);
  await using flooders = new Flooders([String(dev.port), topicId, String(epoch), ...counts]);
  const idle = await flooders.heard();
  await roundTrips(2_000);
  let most = 0;
  const restBytes = residentBytes(pid);
  const watching = setInterval(() => {
    most = Math.max(most, residentBytes(pid));
  }, 50);
  const [quiet, attacked]: [number[], number[]] = [[], []];
  let answeredUnderAttack = 0;
  const before = await refusedSoFar(dev);
  try {
    for (let phase = 0; phase < siege.phases; phase++) {
      quiet.push(p99(await roundTrips(siege.phaseMs)));
      await flooders.toggle();
      const times = await roundTrips(siege.phaseMs);
      answeredUnderAttack += times.length;
      attacked.push(p99(times));
      await flooders.toggle();
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  } finally {
    clearInterval(watching);
  }
  const refused = (await refusedSoFar(dev)) - before;
  const [quietP99Ms, attackedP99Ms] = [median(quiet), median(attacked)];
  const text =
    `${idle} connections; canary p99 ${quietP99Ms.toFixed(1)} ms quiet, ${attackedP99Ms.toFixed(1)} ms under attack ` +
    `(${(attackedP99Ms / quietP99Ms).toFixed(1)} times; ${answeredUnderAttack} records came back); ` +
    `memory ${Math.round(restBytes / mebibyte)} MiB at rest, ${Math.round(most / mebibyte)} MiB at most; ${refused} refused`;
  return { restBytes, mostBytes: most, quietP99Ms, attackedP99Ms, answeredUnderAttack, refused, text };
}
