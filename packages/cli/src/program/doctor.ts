/** `tributary doctor`. */
import type { Command } from 'commander';
import { wholeNumber } from '../option-values.ts';
import { examples, prose, withConnection } from './options.ts';

export function addDoctor(program: Command): void {
  const doctor = program
    .command('doctor')
    .description('Check what is installed, reachable and writable, and what to do about what is not')
    .option('--data-dir <folder>', 'check this data directory (default: ./data, where there is one)')
    .option('--topic <name>', 'read from this topic, too')
    .option('--write', 'append a record to --topic: the only check that changes anything on the cluster')
    .option('--offline', 'leave out what needs a broker')
    .option('--timeout <ms>', 'how long each hop may take', wholeNumber(1, 600_000), 5_000)
    .addHelpText(
      'after',
      examples(
        'doctor',
        'doctor --bootstrap broker-1.example:9095 --topic events',
        'doctor --offline --data-dir /var/lib/tributary',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'The way to a broker is walked hop by hop (address, name, TCP, HTTP/2, gRPC health, metadata), then to every address that the brokers advertise: the first hop that fails is named. Writing is tried with a small file in the data directory, which is removed. Ends with 1 when a check fails.',
      ),
    );
  withConnection(doctor).action(async (options) => (await import('../commands/doctor.ts')).doctor(options));
}
