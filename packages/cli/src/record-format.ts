/** How `consume` prints a record. */
import type { ConsumerRecord } from '@tributary/client';
import { byteText } from './byte-text.ts';
import { UsageError } from './failure.ts';
import { unescaped } from './option-values.ts';
import type { StandardOutput } from './standard-output.ts';
import type { ValueFormat } from './value-format.ts';

export type RecordFormat = (record: ConsumerRecord, output: StandardOutput) => void;

/**
 * @param format `text`, `json`, or a template.
 * @param values how values are shown; undefined: as their bytes.
 * @throws UsageError naming what is wrong with the template.
 */
export function recordFormat(format: string, values?: ValueFormat): RecordFormat {
  const writeValue: RecordFormat = (record, output) => {
    if (record.value === null) return;
    if (values === undefined) output.write(record.value);
    else output.writeText(values.toJson(record.value, record));
  };
  switch (format) {
    case 'text':
      return (record, output) => {
        writeValue(record, output);
        output.write(newline);
      };
    case 'json':
      return (record, output) => asJson(record, output, values);
    default:
      return asTemplate(format, { ...placeholders, v: writeValue });
  }
}

const newline = Buffer.from('\n');

function asJson(record: ConsumerRecord, output: StandardOutput, values: ValueFormat | undefined): void {
  const { topic, partition, offset, timestamp, key, value, headers } = record;
  const place = `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp}`;
  const list = headers
    .map((header) => `{"key":${JSON.stringify(header.key)},"value":${jsonOf(header.value)}}`)
    .join(',');
  const shown = value === null || values === undefined ? jsonOf(value) : values.toJson(value, record);
  output.writeText(`${place},"key":${jsonOf(key)},"value":${shown},"headers":[${list}]}\n`);
}

const jsonOf = (bytes: Uint8Array | null): string => (bytes === null ? 'null' : JSON.stringify(byteText(bytes)));

const placeholders: Readonly<Record<string, RecordFormat>> = {
  t: (record, output) => output.writeText(record.topic),
  p: (record, output) => output.writeText(String(record.partition)),
  o: (record, output) => output.writeText(String(record.offset)),
  T: (record, output) => output.writeText(String(record.timestamp)),
  k: (record, output) => output.write(record.key ?? nothing),
  h: (record, output) => {
    for (const [index, { key, value }] of record.headers.entries()) {
      output.writeText(`${index === 0 ? '' : ','}${key}=`);
      output.write(value ?? nothing);
    }
  },
};
const nothing = new Uint8Array(0);

function asTemplate(template: string, known: Readonly<Record<string, RecordFormat>>): RecordFormat {
  const parts: RecordFormat[] = [];
  for (const piece of template.split(/(%[\s\S]?)/)) {
    if (piece === '') continue;
    const placeholder = piece.startsWith('%') ? known[piece.slice(1)] : undefined;
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
