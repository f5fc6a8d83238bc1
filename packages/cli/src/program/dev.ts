/** `tributary dev`. */
import type { Command } from 'commander';
import { keyValue, wholeNumber } from '../option-values.ts';
import { examples, withOutput } from './options.ts';

export function addDev(program: Command): void {
  const dev = program
    .command('dev')
    .description('Run every part in one process, with its data in one folder')
    .option('--data-dir <folder>', 'where records and metadata are kept', './data')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port of the gRPC services', wholeNumber(1, 65_435), 9095)
    .option(
      '--http-port <number>',
      'port of /metrics, /healthz and /readyz (default: --port + 100)',
      wholeNumber(0, 65_535),
    )
    .option(
      '--config <key=value>',
      'a broker setting by its name, where none is set with `broker alter`; may be repeated',
      keyValue,
    )
    .addHelpText(
      'after',
      examples('dev', 'dev --data-dir /var/tmp/log --port 19095', 'dev --config disk.high.watermark.ratio=0.99'),
    );
  withOutput(dev).action(async (options) => (await import('../commands/dev.ts')).dev(options));
}
