/** Bytes of a key, value or header as JSON shows them: text as a string, anything else so that nothing of it is lost. */
import { isUtf8 } from 'node:buffer';

export function byteText(bytes: Uint8Array): string | { readonly base64: string } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return isUtf8(buffer) ? buffer.toString('utf8') : { base64: buffer.toString('base64') };
}
