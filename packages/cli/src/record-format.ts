/** How `consume` prints a record. */
import { isUtf8 } from 'node:buffer';
import type { ConsumerRecord } from '@tributary/client';
import { UsageError } from './failure.ts';
import { unescaped } from './option-values.ts';
import type { StandardOutput } from './standard-output.ts';

export type RecordFormat = (record: ConsumerRecord, output: StandardOutput) => void;

/** @param format `text`, `json`, or a template. @throws UsageError naming what is wrong with the template. */
export function recordFormat(format: string): RecordFormat {
  switch (format) {
    case 'text':
      return asText;
    case 'json':
      return asJson;
    default:
      return asTemplate(format);
  }
}

const newline = Buffer.from('\n');

function asText(record: ConsumerRecord, output: StandardOutput): void {
  if (record.value !== null) output.write(record.value);
  output.write(newline);
}

function asJson(
  { topic, partition, offset, timestamp, key, value, headers }: ConsumerRecord,
  output: StandardOutput,
): void {
  const place = `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp}`;
  const list = headers
    .map((header) => `{"key":${JSON.stringify(header.key)},"value":${jsonOf(header.value)}}`)
    .join(',');
  output.writeText(`${place},"key":${jsonOf(key)},"value":${jsonOf(value)},"headers":[${list}]}\n`);
}

/** Text as a string, other bytes so that nothing of them is lost. */
function jsonOf(bytes: Uint8Array | null): string {
  if (bytes === null) return 'null';
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return isUtf8(buffer) ? JSON.stringify(buffer.toString('utf8')) : `{"base64":"${buffer.toString('base64')}"}`;
}

const placeholders: Readonly<Record<string, RecordFormat>> = {
  t: (record, output) => output.writeText(record.topic),
  p: (record, output) => output.writeText(String(record.partition)),
  o: (record, output) => output.writeText(String(record.offset)),
  T: (record, output) => output.writeText(String(record.timestamp)),
  k: (record, output) => output.write(record.key ?? nothing),
  v: (record, output) => output.write(record.value ?? nothing),
  h: (record, output) => {
    for (const [index, { key, value }] of record.headers.entries()) {
      output.writeText(`${index === 0 ? '' : ','}${key}=`);
      output.write(value ?? nothing);
    }
  },
};
const nothing = new Uint8Array(0);

function asTemplate(template: string): RecordFormat {
  const parts: RecordFormat[] = [];
  for (const piece of template.split(/(%[\s\S]?)/)) {
    if (piece === '') continue;
    const placeholder = piece.startsWith('%') ? placeholders[piece.slice(1)] : undefined;
    if (placeholder !== undefined) {
      parts.push(placeholder);
    } else if (piece.startsWith('%') && piece !== '%%') {
      throw new UsageError(
        `Bad --format "${template}": "${piece}" means nothing; allowed are text, json, and templates with %t %p %o %T %k %v %h %%.`,
      );
    } else {
      const literal = Buffer.from(piece === '%%' ? '%' : unescaped(piece));
      parts.push((_record, output) => output.write(literal));
    }
  }
  if (!template.includes('%'))
    throw new UsageError(`Bad --format "${template}": allowed are text, json, and templates such as '%k\\t%v\\n'.`);
  return (record, output) => {
    for (const part of parts) part(record, output);
  };
}
