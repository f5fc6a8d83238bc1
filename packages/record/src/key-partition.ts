import murmurhash from 'murmurhash';

/** Kafka's. Another seed would send the keys of a Java producer and ours to different partitions. */
const seed = 0x9747b28c;

/**
 * The partition of a key, as Kafka's Java client chooses it: murmur2 of the serialised key, made positive, modulo the number of partitions.
 * @param key as serialised; a string stands for its UTF-8.
 */
export function partitionOfKey(key: Uint8Array | string, partitions: number): number {
  return (murmurhash.v2(typeof key === 'string' ? Buffer.from(key) : key, seed) & 0x7fffffff) % partitions;
}
