/** A member of a group as a process of its own, to be killed: `node member.ts ADDRESS GROUP TOPIC`. It tells how many partitions it has. */
import { connect } from '@tributary/client';

const [bootstrap = '', groupId = '', topic = ''] = process.argv.slice(2);
const cluster = await connect({ bootstrap });
const consumer = cluster.consumer({ groupId });
await consumer.subscribe({ topics: [topic] });
let before = -1;
for (;;) {
  await consumer.poll({ timeoutMs: 50 });
  const { assignment } = consumer;
  if (assignment.length !== before)
    process.stdout.write(`${JSON.stringify(assignment.map(({ partition }) => partition))}\n`);
  before = assignment.length;
}
