/**
 * One record for each line. Lines are handed to the producer as they are read, and reading waits while enough is on its way: the memory used does
 * not depend on the size of the input. The first failure ends the reading; what is under way is brought to its end either way, so that the last
 * line can say how much was acknowledged.
 */
import type { Producer, TopicDescription, Tributary } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import { batchHeaderBytes, type Compression } from '@tributary/record';
import { open } from '../cluster.ts';
import { InterruptedError, OutputClosedError, say } from '../failure.ts';
import { byteSize, count, counted, duration, perSecond } from '../figures.ts';
import { type Input, openInput } from '../input.ts';
import { Interruption } from '../interruption.ts';
import { readLines } from '../lines.ts';
import type { AcksOption } from '../option-values.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { Progress } from '../progress.ts';
import { print, StandardOutput } from '../standard-output.ts';
import { type ValueFormat, type ValueFormatOptions, valueFormat } from '../value-format.ts';

/** What `bench produce` takes as well. */
export interface SendingOptions extends ConnectionOptions {
  readonly acks: AcksOption;
  readonly compression: Compression;
  readonly batchSize?: number;
  readonly linger?: number;
}

interface ProduceOptions extends SendingOptions, ValueFormatOptions {
  readonly file?: string;
  readonly keySeparator?: string;
  readonly partition?: number;
}

/** The client's own bound of one record where a compressed one may be smaller than it looks, and of what it buffers. */
const recordBytesCompressed = 1024 * 1024;
const bufferedBytes = 32 * 1024 * 1024;

export async function produce(topic: string, options: ProduceOptions): Promise<void> {
  const format = await valueFormat(options);
  const input = await openInput(options.file);
  try {
    await using cluster = await open(options);
    const description = await describe(cluster, topic);
    if (options.partition !== undefined) checkPartition(description, options.partition);
    if (input.name === 'standard input' && process.stdin.isTTY) say('one record a line; end with Ctrl-D');
    await new Sending(cluster, description, options, input, format).run();
  } finally {
    input.stream.destroy();
  }
}

/** @throws TributaryError UNKNOWN_TOPIC_OR_PARTITION, with the command that creates it. */
export async function describe(cluster: Tributary, topic: string): Promise<TopicDescription> {
  try {
    return await cluster.admin.describeTopic(topic);
  } catch (thrown) {
    const error = TributaryError.from(thrown);
    if (error.error !== 'UNKNOWN_TOPIC_OR_PARTITION' || error.message.includes('tributary topic create')) throw error;
    throw new TributaryError(error.error, `${error.message} Create it with: tributary topic create ${topic}`, {
      cause: thrown,
    });
  }
}

export function checkPartition({ name, partitions }: TopicDescription, partition: number): void {
  if (partition < partitions) return;
  const which = partitions === 1 ? 'its only partition is 0' : `its partitions are 0 to ${partitions - 1}`;
  throw new TributaryError('UNKNOWN_TOPIC_OR_PARTITION', `Topic "${name}" has no partition ${partition}: ${which}.`);
}

/** Options of the client, as the command line and the topic have them. */
export function producerOptions({ acks, compression, batchSize, linger }: SendingOptions, topic: TopicDescription) {
  const maxMessageBytes = Number(
    topic.configs.find(({ name }) => name === 'max.message.bytes')?.value ?? recordBytesCompressed,
  );
  const bare = Math.max(maxMessageBytes - batchHeaderBytes, 1);
  const maxRequestBytes = compression === 'none' ? bare : Math.max(bare, recordBytesCompressed);
  return {
    acks,
    compression,
    maxRequestBytes,
    maxBufferedBytes: Math.max(bufferedBytes, 2 * maxRequestBytes),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(linger === undefined ? {} : { lingerMs: linger }),
  };
}

class Sending {
  readonly #topic: string;
  readonly #options: ProduceOptions;
  readonly #input: Input;
  readonly #producer: Producer;
  readonly #recordBytesMost: number;
  readonly #separator: Buffer | undefined;
  readonly #format: ValueFormat | undefined;
  readonly #acknowledged: AcknowledgedOutput | undefined;
  #sent = 0;
  #bytes = 0;
  #failedRecords = 0;
  #failure: Error | undefined;

  constructor(
    cluster: Tributary,
    description: TopicDescription,
    options: ProduceOptions,
    input: Input,
    format: ValueFormat | undefined,
  ) {
    this.#format = format;
    const settings = producerOptions(options, description);
    this.#topic = description.name;
    this.#options = options;
    this.#input = input;
    this.#recordBytesMost = settings.maxRequestBytes;
    this.#separator = options.keySeparator === undefined ? undefined : Buffer.from(options.keySeparator);
    this.#acknowledged = options.output === 'json' ? new AcknowledgedOutput() : undefined;
    this.#producer = cluster.producer({
      ...settings,
      onError: ({ records, error }) => {
        this.#failedRecords += records;
        this.#stop(error);
      },
    });
  }

  async run(): Promise<void> {
    const began = performance.now();
    using interruption = new Interruption();
    interruption.signal.addEventListener('abort', () => this.#stop(new InterruptedError('Interrupted.')));
    try {
      await this.#read();
    } catch (thrown) {
      this.#failure ??= asError(thrown);
    }
    try {
      await this.#producer.close();
    } catch (thrown) {
      this.#failure ??= asError(thrown);
    }
    const took = performance.now() - began;
    await this.#acknowledged?.flush();
    if (this.#failure !== undefined) throw this.#explained(this.#failure);
    if (this.#acknowledged === undefined) await print(`${this.#summary(took)}.`);
  }

  async #read(): Promise<void> {
    const { stream, size } = this.#input;
    using progress = new Progress(size);
    async function* chunks(): AsyncGenerator<Buffer> {
      let done = 0;
      for await (const chunk of stream) {
        yield chunk as Buffer;
        done += (chunk as Buffer).length;
        progress.at(done);
      }
    }
    await readLines(chunks(), this.#recordBytesMost, {
      line: (bytes, number) => this.#send(bytes, number),
      tooLong: (number, length, whole) => {
        const sizes = `${whole ? '' : 'more than '}${count(length)} bytes, at most ${count(this.#recordBytesMost)} are allowed`;
        throw new TributaryError(
          'MESSAGE_TOO_LARGE',
          `Line ${count(number)} of ${this.#input.name} has ${sizes} by the topic’s max.message.bytes.`,
        );
      },
    });
  }

  #send(line: Uint8Array, number: number): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    const at = this.#separator === undefined ? -1 : (line as Buffer).indexOf(this.#separator);
    if (this.#separator !== undefined && at < 0) {
      throw new TributaryError(
        'INVALID_RECORD',
        `Line ${count(number)} of ${this.#input.name} has no key: ${JSON.stringify(this.#options.keySeparator)} does not occur in it.`,
      );
    }
    const key = at < 0 ? null : line.subarray(0, at);
    const text = this.#separator === undefined ? line : line.subarray(at + this.#separator.length);
    const value = this.#format?.toBytes(text, `Line ${count(number)} of ${this.#input.name}`) ?? text;
    try {
      const delivery = this.#producer.send({ topic: this.#topic, key, value, partition: this.#options.partition });
      this.#sent++;
      this.#bytes += line.length;
      if (this.#acknowledged !== undefined) {
        const waiting = this.#acknowledged.await(delivery);
        if (waiting !== undefined) return waiting;
      }
      // The first record finds the partitions and their leaders: others would pile up for it.
      if (this.#sent === 1) return delivery.then(nothing, nothing);
    } catch (thrown) {
      if (thrown instanceof OutputClosedError) throw thrown;
      const error = TributaryError.from(thrown);
      throw new TributaryError(
        error.error,
        `Line ${count(number)} of ${this.#input.name} cannot be sent: ${error.message}`,
        { cause: thrown },
      );
    }
    return this.#producer.ready();
  }

  /** Reads no further; what waits on the input wakes up. */
  #stop(why: Error): void {
    this.#failure ??= why;
    this.#input.stream.destroy();
  }

  #explained(failure: Error): Error {
    if (failure instanceof OutputClosedError) return failure;
    const tally = `${count(this.#sent - this.#failedRecords)} of ${counted(this.#sent, 'record')} sent ${this.#sent === 1 ? 'was' : 'were'} acknowledged`;
    const text = `${failure.message} ${this.#options.acks === 0 ? `${counted(this.#sent, 'record')} had been sent` : tally}.`;
    return failure instanceof InterruptedError ? new InterruptedError(text) : new Error(text, { cause: failure });
  }

  #summary(ms: number): string {
    const rates = `${count(perSecond(this.#sent, ms))} records/s, ${byteSize(perSecond(this.#bytes, ms))}/s`;
    const acknowledged = {
      0: 'not acknowledged (acks=0)',
      1: 'acknowledged by the leader',
      all: 'acknowledged by all in-sync replicas',
    };
    return `${counted(this.#sent, 'record')}, ${byteSize(this.#bytes)} in ${duration(ms)} (${rates}), ${acknowledged[this.#options.acks]}`;
  }
}

const nothing = (): void => undefined;
const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

/** With --output json: what was acknowledged, a line each, in the order of the acknowledgements. */
class AcknowledgedOutput {
  readonly #output = new StandardOutput();
  #scheduled = false;

  /** @returns a promise when nobody has read the lines so far. @throws OutputClosedError. */
  await(delivery: ReturnType<Producer['send']>): Promise<void> | undefined {
    delivery.then(
      ({ topic, partition, offset, timestamp }) => {
        this.#output.writeText(
          `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset ?? 'null'},"timestamp":${timestamp}}\n`,
        );
        this.#pushSoon();
      },
      // Told to onError, with all others of its batch.
      () => undefined,
    );
    if (this.#output.failed || this.#output.full) return this.#output.flush();
    return undefined;
  }

  async flush(): Promise<void> {
    await this.#output.flush();
  }

  /** What is acknowledged together is written together. */
  #pushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#output.push();
    });
  }
}
