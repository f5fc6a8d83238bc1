/** Publish and Subscribe as a client with generated stubs sees them: in Go, one process, one connection; records of 100 B, 100 to a request. */
import { goClient, run } from '../../tests/conformance/foreign.ts';
import { newTopic, type Scenario, type Stage } from './scenario.ts';

const partitions = 3;
const recordsPerRequest = 100;
const recordBytes = 100;
const requestsAtOnce = 16;
const records = 1_000_000;

interface Figures {
  readonly recordsPerSecond: number;
  readonly seconds: number;
  readonly clientCpuSeconds: number;
}

async function client(...args: readonly (string | number)[]): Promise<Figures> {
  const { code, stdout, stderr } = await run(await goClient(), args.map(String));
  if (code !== 0) throw new Error(`the Go client ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Figures;
}

async function both({ contenders, comparison, scale }: Stage, counted: boolean): Promise<void> {
  const note = (what: string, { recordsPerSecond, clientCpuSeconds, seconds }: Figures): void => {
    if (!counted) return;
    comparison.ours(`${what}, records/s`, recordsPerSecond);
    comparison.ours(`${what}, processor share of the client, %`, (100 * clientCpuSeconds) / seconds);
  };
  for (const contender of contenders) {
    // Kafka has no such API.
    if (contender.address === undefined) continue;
    for (const policy of contender.flushPolicies) {
      const topic = newTopic();
      await contender.createTopic(topic, partitions, policy);
      const count = Math.ceil(records * scale);
      const sizes = [count, recordsPerRequest, recordBytes, requestsAtOnce];
      note(`publish (${policy})`, await client('publish', contender.address, topic, ...sizes));
      note(`subscribe (${policy})`, await client('subscribe', contender.address, topic, count));
      await contender.deleteTopic(topic);
    }
  }
}

export const recordLevel: Scenario = {
  name: 'records',
  warmUp: (stage) => both({ ...stage, scale: stage.scale / 4 }, false),
  measure: (stage) => both(stage, true),
};
