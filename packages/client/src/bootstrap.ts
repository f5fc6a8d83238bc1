// pure
import { TributaryError } from '@tributary/model';

/** @param given `host:port`, several of them separated by commas, or a list. @throws TributaryError INVALID_CONFIG naming what is wrong. */
export function bootstrapAddresses(given: string | readonly string[]): readonly string[] {
  const addresses = (typeof given === 'string' ? given.split(',') : given)
    .map((address) => address.trim())
    .filter((address) => address !== '');
  if (addresses.length === 0)
    throw new TributaryError(
      'INVALID_CONFIG',
      'The bootstrap address is empty: give host:port of a broker, for example localhost:9095.',
    );
  for (const address of addresses) {
    const port = Number(/^(?:\[[^\]]+\]|[^:[\]]+):(\d{1,5})$/.exec(address)?.[1]);
    if (!(port >= 1 && port <= 65_535)) {
      throw new TributaryError(
        'INVALID_CONFIG',
        `Bad bootstrap address "${address}": it must be host:port, for example localhost:9095.`,
      );
    }
  }
  return addresses;
}
