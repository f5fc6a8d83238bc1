/** A canary's round trip beside clients that never read and clients that never stop writing: no more than three times as slow, by the median of phases. */
import { DevProcess } from '../../tests/end-to-end/dev-process.ts';
import { besieged } from '../../tests/end-to-end/siege.ts';
import type { Scenario } from './scenario.ts';

const mebibyte = 1024 * 1024;
const slowerMax = 3;

export const limitsOfMemory: Scenario = {
  name: 'limits',
  warmUp: () => Promise.resolve(),
  measure: async ({ comparison, scale }) => {
    await using dev = await DevProcess.begin({ args: ['--config', `queued.max.request.bytes=${384 * mebibyte}`] });
    const siege = { idle: 2_000, readers: 100, writers: 20, phases: 5, phaseMs: Math.ceil(4_000 * scale) };
    const report = await besieged(dev, siege);
    comparison.ours('canary p99 quiet, ms', report.quietP99Ms);
    comparison.ours('canary p99 under attack, ms', report.attackedP99Ms);
    comparison.ours('memory at rest, MiB', report.restBytes / mebibyte);
    comparison.ours('memory under attack, MiB', report.mostBytes / mebibyte);
    comparison.ours('refused', report.refused);
    process.stderr.write(`${report.text}\n`);
    if (report.attackedP99Ms <= slowerMax * report.quietP99Ms) return;
    process.stderr.write(`Under attack the canary is more than ${slowerMax} times as slow.\n`);
    process.exitCode = 1;
  },
};
