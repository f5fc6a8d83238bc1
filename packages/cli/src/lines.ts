/** Bytes in, lines out: views onto the chunks, so that nothing is copied but a line that crosses from one chunk to the next. */

const newline = 0x0a;

export interface LineSink {
  /**
   * One line, without its newline; a carriage return before that is part of it. The bytes are the caller's only until this returns.
   * @returns a promise when the next line must wait.
   */
  line(bytes: Uint8Array, number: number): Promise<void> | undefined;
  /** A line of so many bytes, more than allowed: it is not kept, and must throw. */
  tooLong(number: number, size: number, whole: boolean): never;
}

/** A line that is too long is measured this far, bytes, to say how long: an endless one must end somewhere. */
const measuredMost = 1024 * 1024 * 1024;

/** @param lineBytesMost the longest line that is kept, without its newline. */
export async function readLines(source: AsyncIterable<Buffer>, lineBytesMost: number, sink: LineSink): Promise<void> {
  let number = 0;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const take = (bytes: Buffer): Promise<void> | undefined => {
    number++;
    if (bytes.length > lineBytesMost) sink.tooLong(number, bytes.length, true);
    return sink.line(bytes, number);
  };
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      let line = chunk.subarray(start, end);
      start = end + 1;
      if (pendingBytes > 0) {
        if (pendingBytes + line.length > lineBytesMost) sink.tooLong(number + 1, pendingBytes + line.length, true);
        line = Buffer.concat([...pending, line]);
        pending = [];
        pendingBytes = 0;
      }
      const full = take(line);
      if (full !== undefined) await full;
    }
    if (start === chunk.length) continue;
    const rest = chunk.subarray(start);
    pendingBytes += rest.length;
    if (pendingBytes <= lineBytesMost) pending.push(Buffer.from(rest));
    else {
      pending = [];
      if (pendingBytes > measuredMost) sink.tooLong(number + 1, pendingBytes, false);
    }
  }
  if (pendingBytes > lineBytesMost) sink.tooLong(number + 1, pendingBytes, true);
  if (pendingBytes > 0) await take(Buffer.concat(pending));
}
