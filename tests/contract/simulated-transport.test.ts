import { Coverage } from '../simulator/coverage.ts';
import { SimulatedNetwork } from '../simulator/network.ts';
import { Scheduler } from '../simulator/scheduler.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';
import { transportContract } from './transport.contract.ts';

transportContract('the simulated network', async (story) => {
  const random = new SeededRandom('transport contract');
  const scheduler = new Scheduler(random.stream('scheduler'));
  const network = new SimulatedNetwork(scheduler, random.stream('network'), new Coverage());
  await scheduler.run(() =>
    story({
      server: network.transport({ machine: 'server', alive: true }),
      client: network.transport({ machine: 'client', alive: true }),
      address: '0.0.0.0:0',
      reach: (served) => Promise.resolve(served),
      breakConnections: () => {
        while (network.breakOne());
      },
      sleep: (ms) => scheduler.pause(ms * 1_000),
    }),
  );
});
