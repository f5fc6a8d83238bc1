/** Ends itself as a part does that can no longer trust its own state. */
import { nodeHost } from '../../src/index.ts';

process.on('exit', () => process.stdout.write('exit handlers ran\n'));
nodeHost('broker').crash('fdatasync of segment 7 failed');
process.stdout.write('still here\n');
