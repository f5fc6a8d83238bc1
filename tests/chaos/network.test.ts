import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requires } from '../requirements.ts';
import { TestNetwork } from './network.ts';

/** A server in a namespace that says what it hears back. */
async function echo(within: readonly string[], host: string): Promise<AsyncDisposable> {
  const program = `require('net').createServer((s) => s.pipe(s)).listen(7000, '${host}', () => console.log('listens'))`;
  const [command, ...rest] = [...within, process.execPath, '-e', program];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    [Symbol.asyncDispose]: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Whether what is said now is heard back, within so many ms. What was said earlier may come late. */
async function isAnswered(socket: net.Socket, question: string, withinMs: number): Promise<boolean> {
  let heard = '';
  const hear = (chunk: Buffer): void => void (heard += chunk.toString());
  socket.on('data', hear);
  socket.write(question);
  for (const until = performance.now() + withinMs; !heard.includes(question) && performance.now() < until; )
    await sleep(5);
  socket.off('data', hear);
  return heard.includes(question);
}

describe('a network of a test', { skip: requires('network namespaces (root, iproute2)') }, () => {
  test('carries what is sent, loses it in silence once it is cut, in either direction, and carries it again when healed', async () => {
    using network = TestNetwork.create();
    const { host, within } = network.add('server');
    await using _server = await echo(within, host);
    const socket = net.connect(7000, host);
    await once(socket, 'connect');
    assert.ok(await isAnswered(socket, 'before', 2_000));
    for (const ways of [
      [['clients', 'server']],
      [['server', 'clients']],
      [
        ['clients', 'server'],
        ['server', 'clients'],
      ],
    ] as const) {
      network.cutOneWay(ways);
      assert.equal(await isAnswered(socket, `cut ${ways.join()}`, 300), false);
      network.heal();
      assert.ok(await isAnswered(socket, `healed ${ways.join()}`, 5_000));
    }
    socket.destroy();
  });

  test('of a run that ended without cleaning up is removed by the next one, with all that runs in it', async () => {
    const program = `
      import { spawn } from 'node:child_process';
      import { TestNetwork } from ${JSON.stringify(new URL('network.ts', import.meta.url).href)};
      const network = TestNetwork.create();
      const { within } = network.add('orphan');
      const child = spawn(within[0], [...within.slice(1), 'sleep', '1000'], { stdio: 'ignore', detached: true });
      console.log(network.name, child.pid);
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), 200);`;
    const crashing = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(crashing, 'exit');
    const said: unknown[] = await once(crashing.stdout, 'data');
    const pid = Number(String(said[0]).split(' ')[1]);
    await exited;
    process.kill(pid, 0);
    TestNetwork.create()[Symbol.dispose]();
    for (const until = performance.now() + 5_000; isAlive(pid) && performance.now() < until; ) await sleep(10);
    assert.equal(isAlive(pid), false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
