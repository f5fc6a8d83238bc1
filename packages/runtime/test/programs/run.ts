/** A program under runProcess; the first argument says how it behaves. */
import { readdirSync } from 'node:fs';
import { pbkdf2 } from 'node:crypto';
import { assert, TributaryError } from '@tributary/model';
import { endWhenOutputCloses, runProcess, untilAborted } from '../../src/index.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const behaviour = process.argv[2];

await runProcess('program', async (stop, resources) => {
  for (const name of ['first', 'second']) resources.defer(() => say(`${name} closed`));
  switch (behaviour) {
    case 'return':
      return;
    case 'refuse':
      throw new TributaryError('INVALID_CONFIG', 'Port 1 is taken.');
    case 'break':
      assert(behaviour !== 'break', 'offsets are dense');
      return;
    case 'float':
      void Promise.reject(new Error('nobody waits for me'));
      return untilAborted(stop);
    case 'serve':
      say('serving');
      setInterval(() => undefined, 1_000_000);
      await untilAborted(stop);
      say('stopping');
      return;
    case 'hang':
      say('serving');
      setInterval(() => undefined, 1_000_000);
      return new Promise(() => undefined);
    case 'threads': {
      const derive = (): Promise<void> =>
        new Promise((resolve) => pbkdf2('a', 'b', 1_000, 64, 'sha512', () => resolve()));
      const before = readdirSync('/proc/self/task').length;
      await Promise.all(Array.from({ length: 64 }, derive));
      say(`${readdirSync('/proc/self/task').length - before} threads`);
      return;
    }
    case 'talk':
      endWhenOutputCloses('program');
      setInterval(() => say('x'.repeat(1_000)), 1);
      return new Promise(() => undefined);
    default:
      throw new Error(`no such behaviour: ${behaviour}`);
  }
});
