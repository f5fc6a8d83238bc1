/**
 * JSON as people and Kafka's tools write it ↔ values. Bytes are strings of which each character is a byte (Avro's JSON encoding); a branch of a union
 * may be named (`{"string": "x"}`) and must be where values do not tell; numbers keep every digit. Logical types are their text, or the number
 * beneath it.
 */
import { checkValue, unexpected, unknownField, wrappedBranch } from './check-value.ts';
import {
  type Branch,
  described,
  Mismatch,
  mismatch,
  type Node,
  type RecordNode,
  shapeOfNode,
  shapeOfValue,
  type UnionNode,
} from './nodes.ts';

type Path = (string | number)[];

/** A number as it was written. */
class Digits {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** @throws SyntaxError when it is no JSON. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' && context?.source !== undefined ? new Digits(context.source) : value,
  );
}

/** Whole numbers beyond 2^53 become bigints: defaults of a schema are exact, too. @throws SyntaxError when it is no JSON. */
export function parseSchema(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context?.source ?? 0)
      : value,
  );
}

/** @param json as {@link parseExact} returns it. @throws Mismatch naming the field. */
export function fromJson(node: Node, json: unknown, path: Path = []): unknown {
  if ('logical' in node && node.logical !== undefined) return logicalFrom(node, json, path);
  switch (node.kind) {
    case 'int':
      return json instanceof Digits && isWhole(json) ? Number(json.text) : wrong(node, json, path);
    case 'long':
      return json instanceof Digits && isWhole(json) ? BigInt(json.text) : wrong(node, json, path);
    case 'float':
    case 'double':
      if (json === 'NaN' || json === 'Infinity' || json === '-Infinity') return Number(json);
      return json instanceof Digits ? Number(json.text) : wrong(node, json, path);
    case 'bytes':
    case 'fixed':
      return bytesFrom(node, json, path);
    case 'record':
      return recordFrom(node, json, path);
    case 'union':
      return unionFrom(node, json, path);
    case 'array':
      if (!Array.isArray(json)) return wrong(node, json, path);
      return json.map((item, index) => fromJson(node.items, item, [...path, index]));
    case 'map':
      if (!isObject(json)) return wrong(node, json, path);
      return Object.fromEntries(
        Object.entries(json).map(([key, item]) => [key, fromJson(node.values, item, [...path, key])]),
      );
    default:
      // null, boolean, string, enum: as they are; whether they fit is checked with the whole value.
      return json instanceof Digits ? wrong(node, json, path) : json;
  }
}

const isWhole = ({ text }: Digits): boolean => /^-?\d+$/.test(text);
const isObject = (json: unknown): json is Readonly<Record<string, unknown>> =>
  typeof json === 'object' && json !== null && !Array.isArray(json) && !(json instanceof Digits);

function wrong(node: Node, json: unknown, path: Path): never {
  if (json instanceof Digits) throw mismatch(path, `${described(node)} is expected, ${json.text} (number) is there`);
  throw unexpected(node, json, path);
}

function logicalFrom(
  node: Node & { readonly logical?: { toRaw(value: unknown): unknown; fromRaw(raw: never): unknown; what: string } },
  json: unknown,
  path: Path,
): unknown {
  const { logical } = node;
  if (logical === undefined || !(json instanceof Digits)) return isObject(json) ? numbersOf(json) : json;
  // A decimal reads as its digits, a time as what it counts.
  if (node.kind === 'bytes' || node.kind === 'fixed') return json.text;
  if (!isWhole(json)) return wrong(node, json, path);
  try {
    return logical.fromRaw((node.kind === 'long' ? BigInt(json.text) : Number(json.text)) as never);
  } catch (thrown) {
    if (thrown instanceof RangeError) throw mismatch(path, thrown.message);
    throw thrown;
  }
}

/** Of a duration. */
const numbersOf = (json: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(json).map(([name, value]) => [name, value instanceof Digits ? Number(value.text) : value]),
  );

function bytesFrom(node: Node, json: unknown, path: Path): Uint8Array {
  if (typeof json !== 'string') return wrong(node, json, path);
  if (/[\u0100-\uffff]/.test(json))
    throw mismatch(
      path,
      `bytes are expected as a string of characters up to U+00FF, ${JSON.stringify(json.slice(0, 40))} is there`,
    );
  return Uint8Array.from(json, (character) => character.charCodeAt(0));
}

function recordFrom(node: RecordNode, json: unknown, path: Path): unknown {
  if (!isObject(json)) return wrong(node, json, path);
  const record: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    const field = node.byName.get(name);
    if (field === undefined) throw unknownField(node, name, path);
    record[name] = fromJson(field.node, value, [...path, name]);
  }
  return record;
}

/** A named branch first, then the first that reads it. */
function unionFrom(node: UnionNode, json: unknown, path: Path): unknown {
  if (json === null) return null;
  const branches = node.branches.filter((branch) => branch.node.kind !== 'null');
  const named = json instanceof Digits ? undefined : wrappedBranch(branches, json);
  const tries = [
    ...(named === undefined ? [] : [{ branch: named.branch, json: named.value }]),
    ...branches.map((branch) => ({ branch, json })),
  ];
  let first: Mismatch | undefined;
  for (const attempt of tries) {
    try {
      const value = readAs(attempt.branch, attempt.json, path);
      return node.wrapped ? { [attempt.branch.name]: value } : value;
    } catch (thrown) {
      if (!(thrown instanceof Mismatch)) throw thrown;
      first ??= thrown;
    }
  }
  // With one candidate its own sentence says more than a list of the branches.
  if (first !== undefined && (tries.length === 1 || named !== undefined)) throw first;
  return wrong(node, json, path);
}

function readAs({ node }: Branch, json: unknown, path: Path): unknown {
  const value = fromJson(node, json, path);
  checkValue(node, value, path);
  return value;
}

/** @param value that follows the schema. @returns JSON on one line. */
export function toJson(node: Node, value: unknown): string {
  if ('logical' in node && node.logical !== undefined) return JSON.stringify(value);
  switch (node.kind) {
    case 'long':
      return String(value);
    case 'float':
    case 'double':
      return Number.isFinite(value) ? JSON.stringify(value) : JSON.stringify(String(value));
    case 'bytes':
    case 'fixed':
      return JSON.stringify(Array.from(value as Uint8Array, (byte) => String.fromCharCode(byte)).join(''));
    case 'array':
      return `[${(value as readonly unknown[]).map((item) => toJson(node.items, item)).join(',')}]`;
    case 'map': {
      const entries = Object.entries(value as Readonly<Record<string, unknown>>);
      return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${toJson(node.values, item)}`).join(',')}}`;
    }
    case 'record': {
      const record = value as Readonly<Record<string, unknown>>;
      return `{${node.fields.map(({ name, node: field }) => `${JSON.stringify(name)}:${toJson(field, record[name])}`).join(',')}}`;
    }
    case 'union':
      return unionToJson(node, value);
    default:
      return JSON.stringify(value);
  }
}

function unionToJson(node: UnionNode, value: unknown): string {
  if (value === null) return 'null';
  if (node.wrapped) {
    const wrapped = wrappedBranch(node.branches, value);
    return wrapped === undefined
      ? 'null'
      : `{${JSON.stringify(wrapped.branch.name)}:${toJson(wrapped.branch.node, wrapped.value)}}`;
  }
  const shape = shapeOfValue(value);
  const branch = node.branches.find((each) => shapeOfNode(each.node) === shape);
  return branch === undefined ? 'null' : toJson(branch.node, value);
}
